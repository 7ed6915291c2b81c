#include <algorithm>
#include <array>

#include "common/base/check.h"
#include "common/base/format.h"
#include "common/hbone/tunnel_life.h"

namespace culvert::hbone {
namespace {

constexpr std::size_t kGather = 4 * 1024;  // smaller frames are copied together, so that they share a TLS record
constexpr std::size_t kRecord = 16 * 1024;
constexpr std::size_t kMaxOutput = 1024 * 1024;    // four times what applications may have waiting: the rest is answers
constexpr std::size_t kLeastOutput = 2 * kFrugal;  // what a peer that does not read may have waiting although no memory is left
constexpr std::size_t kItself = 40 * 1024;         // about what TLS, HPACK's tables and the rest of an idle tunnel take
constexpr std::chrono::milliseconds kLastPatience{2'000};  // for the peer's close after ours, or its answer to the first GOAWAY
constexpr std::chrono::microseconds kCompany{20};          // between sends that had better leave together
constexpr std::chrono::milliseconds kParting{1'000};       // for the peer to read why we end

}  // namespace

Tunnel::Tunnel(net::Loop& loop, net::Stream socket, tls::Session session, Engine::Role role, const TunnelOptions& options)
    : loop_(loop),
      options_(options),
      role_(role),
      socket_(std::move(socket)),
      session_(std::move(session)),
      peer_(socket_.peer()),
      local_(socket_.local()),
      charge_(options_.backlog),
      wanted_(loop),
      output_room_(loop),
      ended_(loop),
      alarm_(loop) {}

net::Task<Status> Tunnel::shake_hands() {
  bool late = false;
  greet_by_ = net::Clock::now() + options_.handshake_timeout;
  net::Timer timer(loop_);
  timer.arm(options_.handshake_timeout, [this, &late] {
    late = true;
    socket_.close();
  });
  const auto fail = [&](const std::string& why) -> Status {
    if (over_) return std::unexpected(error_);
    return failure(culvert::format("TLS handshake with {}: {}", peer_.text(),
                                   late ? culvert::format("no end after {}", options_.handshake_timeout) : why),
                   Reason::kTlsFailure);
  };
  while (true) {
    bool blocked = false;
    if (!send_some(blocked)) co_return fail("the connection broke");
    if (blocked) {
      if (!co_await socket_.writable()) co_return fail("the connection broke");
      continue;
    }
    if (session_.state() != tls::Session::State::kHandshake) break;
    if (!co_await socket_.readable()) co_return fail("the connection broke");
    const auto scratch = loop_.scratch();
    const net::Io io = socket_.try_read(scratch);
    if (io.state == net::Io::kWouldBlock) continue;
    if (!io.ok()) co_return fail(io.state == net::Io::kEof ? "the peer closed the connection" : io.text());
    session_.feed(scratch.first(io.bytes));
    session_.keep();
  }
  if (!session_.established()) {
    const std::string why =
        session_.state() == tls::Session::State::kFailed ? session_.error().text : "the peer closed the session";
    auto failed = fail(why);
    // A server's peers are many and prove nothing: the handshake is under way until the socket is closed. A client's caller waits for the word.
    if (role_ == Engine::Role::kServer) co_await part(socket_);
    else loop_.spawn(part_alone(std::move(socket_)));
    co_return failed;
  }
  peer_identity_ = session_.peer_identity();
  EngineOptions engine = options_.engine;
  if (short_of_memory()) engine.stream_window = std::min(engine.stream_window, engine.stream_window_floor);
  engine_.emplace(role_, engine);
  charge_.set(kItself);
  co_return Status{};
}

// Closing a socket with bytes unread resets it, and a reset may overtake the alert that we have just sent.
net::Task<> Tunnel::part(net::Stream& socket) {
  if (!socket) co_return;
  socket.shutdown_write();
  net::Timer patience(socket.loop());
  patience.arm(kParting, [&socket] { socket.close(); });
  while ((co_await socket.read(socket.loop().scratch())).ok()) co_await socket.loop().yield();
  socket.close();
}

net::Task<> Tunnel::part_alone(net::Stream socket) { co_await part(socket); }

void Tunnel::start() {
  started_ = true;
  heard_ = idle_since_ = net::Clock::now();
  alarm_.arm(std::max(greet_by_ - heard_, net::Clock::duration::zero()), [this] { on_alarm(); });
  loop_.spawn(reading(shared_from_this()));
  loop_.spawn(writing(shared_from_this()));
  if (drain_asked_) drain();
}

// --- writing -----------------------------------------------------------------------------------------------------

net::Task<> Tunnel::writing(std::shared_ptr<Tunnel> self) {
  Tunnel& tunnel = *self;
  while (!tunnel.over_) {
    if (tunnel.queued() == 0) {
      co_await tunnel.wanted_.wait();  // woken after whatever else is ready now, which goes out with it
      continue;
    }
    tunnel.lone_sender_ = std::exchange(tunnel.sends_, 0) == 1;
    tunnel.blocked_ = false;
    if (!tunnel.seal() || !tunnel.send_some(tunnel.blocked_)) co_return;
    tunnel.account();
    if (!tunnel.output_full()) tunnel.output_room_.notify_all();
    if (tunnel.blocked_ && !co_await tunnel.socket_.writable()) co_return;
    if (!tunnel.blocked_ && tunnel.closing_) tunnel.socket_.shutdown_write();
  }
}

// What the engine has framed becomes ciphertext.
bool Tunnel::seal() {
  auto& frames = engine_->output();
  if (closing_ || session_.state() == tls::Session::State::kClosed) frames.clear();  // nobody reads them any more
  if (frames.empty()) return true;
  const auto sealed = session_.write(frames);
  frames.clear();
  if (frames.capacity() > 2 * kRecord) frames.shrink_to_fit();
  if (!sealed) lose(sealed.error());
  return sealed.has_value();
}

// Sends what is sealed until the socket takes no more. False when the connection is gone.
bool Tunnel::send_some(bool& blocked) {
  while (!session_.output().empty()) {
    const net::Io io = socket_.try_write(session_.output());
    if (io.state == net::Io::kWouldBlock) {
      session_.sent(0);  // what is left may do with less memory
      blocked = true;
      return true;
    }
    if (!io.ok()) {
      // What the peer said before it went (an alert, GOAWAY) explains more than our failed write: reading finds it.
      return false;
    }
    session_.sent(io.bytes);
  }
  return true;
}

void Tunnel::want_flush() {
  if (queued() > kMaxOutput) return lose({culvert::format("{} does not read", peer_.text()), Reason::kTunnelLost});
  if (queued() > 0) wanted_.notify_all();
  if (blocked_) account();
}

// Counts what stays here: not what goes out, or shows that it cannot, in the turn of writing(). When there is no memory left, it is lost
// as soon as it asks for more.
void Tunnel::account() {
  if (over_ || !options_.backlog || (!blocked_ && queued() > 0)) return;
  if (short_of_memory()) session_.sent(0);  // as in send_some
  const std::size_t before = charge_.bytes();
  charge_.set(kItself + engine_->held() + session_.held());
  if (charge_.bytes() > before && queued() > kLeastOutput && options_.backlog->full())
    lose({culvert::format("{} does not read, and too many bytes wait already", peer_.text()), Reason::kTunnelLost});
}

// At once when nobody else would have gone with it: the turn of writing() costs a look at all sockets first. Who comes again this soon has company.
void Tunnel::flush_sent() {
  const auto now = net::Clock::now();
  const bool alone = lone_sender_ && now - std::exchange(sent_, now) > kCompany;
  ++sends_;
  if (!alone || blocked_ || closing_) return want_flush();
  sends_ = 0;
  bool blocked = false;
  if (seal() && send_some(blocked) && blocked) want_flush();
}

void Tunnel::send(StreamState& stream, std::span<const std::byte> bytes) {
  while (!bytes.empty() && !over_) {
    const std::size_t limit = engine_->max_data() == kDefaultMaxFrame ? kRecord - kFrameHeader : engine_->max_data();
    const auto part = bytes.first(std::min(bytes.size(), limit));
    bytes = bytes.subspan(part.size());
    const auto header = engine_->data(stream.id, part.size(), false);
    auto& frames = engine_->output();
    if (part.size() < kGather) {
      frames.insert(frames.end(), header.begin(), header.end());
      frames.insert(frames.end(), part.begin(), part.end());
      if (frames.size() >= kRecord && !seal()) return;
      continue;
    }
    const std::array<std::span<const std::byte>, 3> parts = {frames, header, part};
    const auto sealed = session_.write(parts);
    frames.clear();
    if (!sealed) return lose(sealed.error());
  }
  flush_sent();
}

// --- streams -----------------------------------------------------------------------------------------------------

std::shared_ptr<StreamState> Tunnel::find(std::uint32_t id) const {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second;
}

std::shared_ptr<StreamState> Tunnel::open(std::span<const http::HeaderField> request) {
  if (over_) return nullptr;
  const auto id = engine_->open(request);
  if (!id) return nullptr;
  auto stream = std::make_shared<StreamState>(loop_, shared_from_this(), *id);
  streams_.emplace(*id, stream);
  want_flush();
  return stream;
}

void Tunnel::respond(StreamState& stream, std::span<const http::HeaderField> response, bool end) {
  if (over_ || stream.over) return;
  stream.answered = true;
  stream.local_end = end;
  engine_->respond(stream.id, response, end);
  want_flush();
  forget_if_done(stream);
}

void Tunnel::refuse_nonsense(StreamState& stream) {
  respond(stream, ConnectResponse{.status = 400}.headers(), true);
  if (over_) return;
  if (auto failed = engine_->annoyed("requests that are no CONNECT")) on_event(*failed);
}

void Tunnel::finish(StreamState& stream) {
  if (over_ || stream.over || stream.local_end) return;
  stream.local_end = true;
  const auto header = engine_->data(stream.id, 0, true);
  engine_->output().insert(engine_->output().end(), header.begin(), header.end());
  want_flush();
  forget_if_done(stream);
}

void Tunnel::consumed(StreamState& stream, std::size_t bytes) {
  if (over_) return;
  engine_->consumed(stream.id, bytes, short_of_memory());
  want_flush();
}

void Tunnel::reset(StreamState& stream, ErrorCode code, Reason reason, std::string text) {
  const auto hold = stream.shared_from_this();
  if (!over_ && streams_.erase(stream.id) > 0) {
    engine_->reset(stream.id, code);
    want_flush();
  }
  stream.finish(reason, std::move(text));
  changed();
}

void Tunnel::forget_if_done(StreamState& stream) {
  if (engine_->knows(stream.id)) return;
  if (streams_.erase(stream.id) > 0) changed();
}

void Tunnel::changed() {
  if (streams_.empty()) idle_since_ = net::Clock::now();
  if (on_change_) on_change_();
  close_if_empty();
}

// --- the end -----------------------------------------------------------------------------------------------------

void Tunnel::drain() {
  if (over_) return;
  if (!started_) {  // whoever shakes hands has nobody else to go to by now: served first, told then
    drain_asked_ = true;
    return;
  }
  if (engine_->draining()) return;
  engine_->drain();
  if (!engine_->drained()) last_call_.emplace(loop_).arm(kLastPatience, [this] { last_call(); });
  want_flush();
  changed();
}

void Tunnel::last_call() {
  engine_->last_call();
  want_flush();
  changed();
}

void Tunnel::close_if_empty() {
  if (over_ || closing_ || !engine_->drained() || !streams_.empty() || !requests_.empty()) return;
  engine_->last_call();  // our own GOAWAY, if only the peer has said it
  if (!seal()) return;
  session_.close();
  closing_ = true;
  want_flush();
  alarm_.arm(kLastPatience, [this] { on_alarm(); });
}

void Tunnel::close(Reason reason, std::string text) {
  if (over_) return;
  for (const auto& [id, stream] : streams_) engine_->reset(id, ErrorCode::kInternalError);
  if (started_) {
    engine_->last_call();
    if (!seal()) return;
  }
  lose({std::move(text), reason});
}

void Tunnel::lose(Error error) {
  if (over_) return;
  const auto hold = shared_from_this();
  over_ = true;
  alarm_.cancel();
  last_call_.reset();
  if (error.text.empty() && !error_.text.empty()) error.text = error_.text;
  error_ = std::move(error);
  // Before the peer's SETTINGS the handshake's failure is the reason (a refused certificate arrives that late); afterwards
  // applications care about one thing: the tunnel is gone under them.
  const bool ours = !started_ || error_.reason == Reason::kPodRemoved || error_.reason == Reason::kPolicyChanged ||
                    error_.reason == Reason::kDraining;
  const Reason reason = ours || !greeted_ ? error_.reason : Reason::kTunnelLost;
  for (const auto& [id, stream] : std::exchange(streams_, {})) stream->finish(reason, error_.text);
  requests_.clear();
  bool blocked = false;
  if (socket_) send_some(blocked);  // GOAWAY or an alert, if it can go now
  // Whoever is told why must be able to read it before a reset overtakes it.
  const bool told =
      started_ && !blocked && (ours || error_.reason == Reason::kTlsFailure || error_.reason == Reason::kHttp2Failure);
  if (told) {
    socket_.shutdown_write();
    alarm_.arm(kParting, [this] { socket_.close(); });
  } else {
    socket_.close();
  }
  wanted_.notify_all();
  output_room_.notify_all();
  ended_.set();
  on_request_ = nullptr;
  if (const auto tell = std::exchange(on_change_, nullptr)) tell();
}

}  // namespace culvert::hbone
