#include "common/rpc/connection.h"

#include <random>
#include <utility>

namespace culvert::rpc {
namespace {

constexpr std::size_t kPlaintext = 64 * 1024;
constexpr std::size_t kUnprovedRead = 8 * 1024;  // of one who has still to prove himself, looked at one after the other
constexpr std::size_t kSealed = 64 * 1024;       // that waits for the socket, of what waits to be sent
constexpr std::size_t kFrames = 32 * 1024;       // that are sealed at one time
constexpr std::chrono::seconds kPingAfter{30}, kPingPatience{10};
constexpr std::chrono::seconds kIdle{60};    // a connection without a call: whoever has no token to show goes soon
constexpr std::chrono::seconds kGrace{10};   // for calls under way when a connection is too old
constexpr std::chrono::seconds kFlight{1};   // in which what a peer has sent before it heard that we end has come
constexpr std::chrono::seconds kParting{2};  // for the peer to read why we end

// Of the thread: what is in them is used before anything waits.
std::span<std::byte> plaintext_scratch() {
  thread_local const auto memory = std::make_unique_for_overwrite<std::byte[]>(kPlaintext);
  return {memory.get(), kPlaintext};
}
std::vector<std::byte>& frames_scratch() {
  thread_local std::vector<std::byte> memory;
  memory.clear();
  return memory;
}

// Those that came together do not go together.
net::Clock::duration spread(net::Clock::duration age) {
  thread_local std::minstd_rand random(std::random_device{}());
  return age / 100 * std::uniform_int_distribution<int>(90, 110)(random);
}

}  // namespace

Connection::Connection(House& house, net::Stream socket, std::optional<tls::Context> tls, Gate::Id id,
                       std::function<void(Gate::Id)> ended)
    : house_(house),
      socket_(std::move(socket)),
      tls_(std::move(tls)),
      id_(id),
      ended_(std::move(ended)),
      peer_(socket_.peer()),
      certificate_(std::make_shared<const std::string>()),
      wanted_(socket_.loop()),
      unblocked_(socket_.loop()),
      age_(spread(house.options.max_connection_age)) {}

void Connection::start() {
  if (!tls_) greet();
  net::Loop& loop = socket_.loop();
  loop.spawn(writing(shared_from_this()));
  loop.spawn(reading(shared_from_this()));
}

// --- reading ---------------------------------------------------------------------------------------------------------

net::Task<> Connection::reading(std::shared_ptr<Connection> self) {
  Connection& connection = *self;
  net::Loop& loop = connection.socket_.loop();
  while (connection.socket_) {
    if (!co_await connection.socket_.readable()) break;
    while (connection.blocked_ && connection.socket_) co_await connection.unblocked_.wait();
    if (!connection.socket_) break;
    const auto scratch = connection.proved_ ? loop.scratch() : loop.scratch().first(kUnprovedRead);
    const net::Io io = connection.socket_.try_read(scratch);
    if (io.state == net::Io::kWouldBlock) continue;
    if (!io.ok()) break;
    connection.heard_ = net::Clock::now();
    connection.received_ += io.bytes;
    if (!connection.closing_ && !connection.take(scratch.first(io.bytes))) connection.close_soon();
    connection.want_write();
    if (!connection.house_.door.sent(connection.id_, connection.received_)) break;
    if (io.bytes == scratch.size()) co_await loop.yield();
  }
  connection.end();
}

// False: it is to end, once what there is to say has been said.
bool Connection::take(std::span<const std::byte> received) {
  if (!tls_) return take_plaintext(received);
  if (!session_) session_.emplace(tls_->accept());
  session_->feed(received);
  if (session_->state() == tls::Session::State::kHandshake) {
    session_->keep();
    return true;
  }
  if (!http_ && session_->established()) {
    certificate_ = std::make_shared<const std::string>(session_->peer_chain_pem());
    greet();
  }
  for (;;) {
    const auto scratch = plaintext_scratch();
    const net::Io io = session_->read(scratch);
    if (io.state == net::Io::kWouldBlock) return true;
    if (!io.ok() || !take_plaintext(scratch.first(io.bytes))) return false;
  }
}

bool Connection::take_plaintext(std::span<const std::byte> plaintext) {
  const bool sound = http_->receive(plaintext).has_value();
  if (!sound) house_.door.count_broken();
  return sound && !http_->over() && house_.door.knows(id_);
}

void Connection::greet() {
  const auto& limits = house_.options.connections;
  http_.emplace(http::Http2::Role::kServer, http::Http2::Limits{.streams = static_cast<std::uint32_t>(limits.calls)},
                static_cast<http::Http2::Events&>(*this));
}

// --- writing ---------------------------------------------------------------------------------------------------------

net::Task<> Connection::writing(std::shared_ptr<Connection> self) {
  Connection& connection = *self;
  while (connection.socket_) {
    if (!connection.seal()) connection.close_soon();
    if (connection.http_ && connection.http_->broken() && !connection.closing_) {
      connection.house_.door.count_broken();
      connection.close_soon();
    }
    if (connection.output().empty()) {
      if (connection.closing_) connection.socket_.shutdown_write();
      co_await connection.wanted_.wait();
      continue;
    }
    if (!connection.send_some()) break;
    if (connection.output().empty()) continue;
    connection.blocked_ = true;
    const bool writable = (co_await connection.socket_.writable()).has_value();
    connection.blocked_ = false;
    connection.unblocked_.notify_all();
    if (!writable) break;
    co_await connection.socket_.loop().yield();  // who takes what we say, however slowly, is listened to
  }
  connection.socket_.close();
  connection.unblocked_.notify_all();
}

std::span<const std::byte> Connection::output() const { return session_ ? session_->output() : plain_output_; }

// Frames become what is sent, as much as fits. False: the connection is to end.
bool Connection::seal() {
  while (http_ && output().size() < kSealed && http_->has_output()) {
    if (!tls_) {
      const std::size_t before = plain_output_.size();
      if (!http_->output(plain_output_, kSealed)) return false;
      if (plain_output_.size() == before) return true;
      continue;
    }
    if (!session_->established()) return true;
    std::vector<std::byte>& frames = frames_scratch();
    const bool sound = http_->output(frames, kFrames).has_value();
    if (!frames.empty() && !session_->write(frames)) return false;
    if (!sound) return false;
    if (frames.empty()) return true;
  }
  return true;
}

// As much as the socket takes. False: it is gone.
bool Connection::send_some() {
  const net::Io io = socket_.try_write(output());
  if (!io.ok() && io.state != net::Io::kWouldBlock) return false;
  if (session_) session_->sent(io.bytes);
  else plain_output_.erase(plain_output_.begin(), plain_output_.begin() + static_cast<std::ptrdiff_t>(io.bytes));
  if (plain_output_.empty()) plain_output_.shrink_to_fit();
  return true;
}

// --- the end ---------------------------------------------------------------------------------------------------------

void Connection::close_soon() {
  if (!closing_) closing_ = net::Clock::now();
}

void Connection::cut() {
  if (socket_) socket_.reset();
  want_write();
  unblocked_.notify_all();
}

void Connection::shut() {
  for (auto& [stream, incoming] : streams_) answer(stream, {.code = 14, .text = "shutting down"});
  if (http_) http_->end();
  close_soon();
  if (socket_ && seal() && send_some() && output().empty()) socket_.shutdown_write();
}

void Connection::end() {
  if (std::exchange(over_, true)) return;
  socket_.close();
  want_write();
  unblocked_.notify_all();
  house_.door.leave(id_);
  for (auto& [stream, incoming] : std::exchange(streams_, {})) close_call(incoming);
  ended_(id_);
}

void Connection::look(net::Clock::time_point now) {
  if (over_ || !socket_) return;
  if (closing_ && now - *closing_ > kParting) return cut();
  if (!http_ || received_ == 0) {
    if (now - since_ > house_.options.handshake_timeout) cut();
    return;
  }
  for (auto& [stream, incoming] : streams_)
    if (incoming.shared_at && now - *incoming.shared_at > house_.options.message_timeout)
      refuse(stream, 8, "a message took too long to come: others wait for its memory");
  if (!streams_.empty()) busy_ = now;
  grow_old(now);
  if (now - heard_ < kPingAfter) return pinged_.reset();
  if (!pinged_) {
    pinged_ = now;
    http_->ping();
    want_write();
  } else if (now - *pinged_ > kPingPatience) {
    cut();
  }
}

// Its peer connects again, and is spread and proved anew.
void Connection::grow_old(net::Clock::time_point now) {
  if (!announced_) {
    if (now - since_ < age_ && now - busy_ < kIdle) return;
    announced_ = now;
    http_->announce_end();
    return want_write();
  }
  if (now - *announced_ > kFlight && !std::exchange(said_end_, true)) {
    http_->end();
    want_write();
  }
  if (said_end_ && streams_.empty()) {
    close_soon();
    want_write();
  }
  if (now - *announced_ > std::min<net::Clock::duration>(kGrace, house_.options.max_connection_age) + kFlight) cut();
}

}  // namespace culvert::rpc
