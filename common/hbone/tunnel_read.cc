// What a tunnel does with what its peer sends, and with its silence.

#include <utility>

#include "common/base/format.h"
#include "common/hbone/tunnel_life.h"

namespace culvert::hbone {
namespace {

constexpr std::size_t kScratch = 272 * 1024;  // what one read of ciphertext holds, and a record begun before it
constexpr std::size_t kMostParts = 64;

// Plaintext of one session at a time; the loop's own scratch holds the ciphertext meanwhile.
std::span<std::byte> plaintext_scratch() {
  thread_local const auto memory = std::make_unique_for_overwrite<std::byte[]>(kScratch);
  return {memory.get(), kScratch};
}

}  // namespace

net::Task<> Tunnel::reading(std::shared_ptr<Tunnel> self) {
  Tunnel& tunnel = *self;
  tunnel.read_plaintext();  // what came with the end of the handshake
  tunnel.run_requests();
  while (tunnel.socket_) {
    if (!co_await tunnel.socket_.readable()) break;
    const auto scratch = tunnel.loop_.scratch();
    const net::Io io = tunnel.socket_.try_read(scratch);
    if (io.state == net::Io::kWouldBlock) continue;
    if (!io.ok()) {
      tunnel.on_cut(io);
      break;
    }
    if (!tunnel.over_) {  // else the peer is still to read why
      tunnel.session_.feed(scratch.first(io.bytes));
      tunnel.read_plaintext();
      tunnel.run_requests();
      tunnel.account();
    }
    if (io.bytes == scratch.size()) co_await tunnel.loop_.yield();
  }
  tunnel.socket_.close();
}

void Tunnel::read_plaintext() {
  const auto now = net::Clock::now();
  engine_->set_now(now);
  while (!over_) {
    const auto scratch = plaintext_scratch();
    const net::Io io = session_.read(scratch);
    if (io.ok()) {
      heard_ = now;
      dispatch(scratch.first(io.bytes));
      continue;
    }
    if (io.state == net::Io::kEof) on_cut(io);
    if (io.state == net::Io::kError || io.state == net::Io::kReset)
      lose({session_.state() == tls::Session::State::kFailed ? session_.error().text : io.text(), Reason::kTlsFailure});
    break;
  }
  if (over_) return;
  if (!greeted_ && engine_->greeted()) {
    greeted_ = true;
    if (!closing_) alarm_.arm(options_.ping_after, [this] { on_alarm(); });
  }
  want_flush();
}

void Tunnel::dispatch(std::span<const std::byte> plaintext) {
  while (!over_) {
    Event event = engine_->next(plaintext);
    if (event.kind == Event::Kind::kData) {
      gather(event, event.stream == (gathering_ ? gathering_->id : 0) ? gathering_ : find(event.stream));
      continue;
    }
    deliver_gathered();
    if (event.kind == Event::Kind::kNone) return;
    on_event(event);
  }
  gathering_ = nullptr;  // lost meanwhile: what was gathered goes with it
  parts_.clear();
}

void Tunnel::gather(Event& event, std::shared_ptr<StreamState> stream) {
  if (stream != gathering_) deliver_gathered();
  if (!stream) return;
  gathering_ = std::move(stream);
  if (!event.data.empty())
    parts_.push_back({.iov_base = const_cast<std::byte*>(event.data.data()), .iov_len = event.data.size()});
  if (event.end || parts_.size() == kMostParts) deliver_gathered(event.end);
}

void Tunnel::deliver_gathered(bool end) {
  const auto stream = std::exchange(gathering_, nullptr);
  if (!stream) return;
  if (!stream->over) stream->deliver(parts_, end);
  parts_.clear();
  if (end) forget_if_done(*stream);
}

void Tunnel::on_event(Event& event) {
  const auto stream = find(event.stream);
  switch (event.kind) {
    case Event::Kind::kNone:
    case Event::Kind::kData: break;
    case Event::Kind::kPong:
      pinged_.reset();
      if (!closing_) alarm_.arm(options_.ping_after, [this] { on_alarm(); });
      break;
    case Event::Kind::kRequest: {
      auto made = std::make_shared<StreamState>(loop_, shared_from_this(), event.stream);
      made->remote_end = event.end;
      streams_.emplace(event.stream, made);
      requests_.emplace_back(std::move(made), std::move(event.headers));
      break;
    }
    case Event::Kind::kResponse:
      if (!stream) break;
      if (auto response = ConnectResponse::parse(event.headers)) {
        stream->response = *std::move(response);
        stream->answered = true;
        stream->deliver({}, event.end);
        stream->arrived.notify_all();
        forget_if_done(*stream);
      } else {
        reset(*stream, ErrorCode::kProtocolError, Reason::kHttp2Failure, response.error().text);
      }
      break;
    case Event::Kind::kReset:
      if (!stream) break;
      std::erase_if(requests_, [&](const auto& request) { return request.first == stream; });  // one that is taken back is none
      stream->unprocessed = event.code == ErrorCode::kRefusedStream && !stream->answered;
      streams_.erase(event.stream);
      stream->finish(event.error.reason, std::move(event.error.text));
      changed();
      break;
    case Event::Kind::kRoom: on_room(event.stream); break;
    case Event::Kind::kDrained: changed(); break;
    case Event::Kind::kGoaway: on_goaway(event); break;
    case Event::Kind::kFailed:
      seal();
      lose(std::move(event.error));
      break;
  }
}

void Tunnel::on_room(std::uint32_t id) {
  if (const auto stream = find(id)) return stream->room.notify_all();
  for (const auto& [each, stream] : streams_) stream->room.notify_all();
  changed();
}

void Tunnel::on_goaway(const Event& event) {
  if (event.code != ErrorCode::kNoError && error_.reason == Reason::kNone)
    error_ = {culvert::format("{} ended the tunnel ({})", peer_.text(), name(event.code)), Reason::kNone};
  std::vector<std::shared_ptr<StreamState>> unseen;
  if (role_ == Engine::Role::kClient)
    for (const auto& [id, stream] : streams_)
      if (id > event.stream) unseen.push_back(stream);
  for (const auto& stream : unseen) {
    stream->unprocessed = !stream->answered;
    reset(*stream, ErrorCode::kCancel, Reason::kTunnelLost, "the far end closed the tunnel before the request");
  }
  changed();
  close_if_empty();
}

void Tunnel::run_requests() {
  for (auto& [stream, headers] : std::exchange(requests_, {}))
    if (!stream->over && on_request_) on_request_(stream, headers);
}

// The TCP connection or the TLS session ended. Only with nothing under way is that a good end.
void Tunnel::on_cut(const net::Io& io) {
  if (streams_.empty() && (io.state == net::Io::kEof || closing_)) return lose({"", Reason::kNone});
  if (io.state == net::Io::kEof)
    return lose({culvert::format("{} closed the tunnel under live streams", peer_.text()), Reason::kTunnelLost});
  lose({culvert::format("tunnel with {}: {}", peer_.text(), io.text()), Reason::kTunnelLost});
}

void Tunnel::on_alarm() {
  if (closing_) return lose({"", Reason::kNone});
  if (!greeted_) return lose({culvert::format("{} says nothing that is HTTP/2", peer_.text()), Reason::kHttp2Failure});
  const auto now = net::Clock::now();
  if (role_ == Engine::Role::kServer && streams_.empty() && now - idle_since_ >= options_.idle_close) drain();
  if (pinged_ && heard_ < *pinged_)
    return lose({culvert::format("{} does not answer (PING, {})", peer_.text(), options_.ping_timeout), Reason::kTunnelLost});
  pinged_.reset();
  if (now - heard_ < options_.ping_after) return alarm_.arm(options_.ping_after - (now - heard_), [this] { on_alarm(); });
  pinged_ = now;
  engine_->ping();
  want_flush();
  alarm_.arm(options_.ping_timeout, [this] { on_alarm(); });
}

}  // namespace culvert::hbone
