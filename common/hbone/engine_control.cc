// What the peer says about the connection and its streams: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, RST_STREAM.
#include <utility>

#include "common/base/format.h"
#include "common/hbone/engine.h"

namespace culvert::hbone {
namespace {

constexpr std::size_t kSetting = 6;        // bytes of one setting
constexpr std::size_t kMostSettings = 32;  // in one frame; HTTP/2 defines six

}  // namespace

Engine::Step Engine::on_settings(std::span<const std::byte> payload) {
  if (frame_.stream != 0) return fail(ErrorCode::kProtocolError, "SETTINGS on a stream");
  if (frame_.has(kAck)) {
    if (!payload.empty()) return fail(ErrorCode::kFrameSizeError, "a SETTINGS acknowledgement with content");
    return noise("SETTINGS acknowledgements");
  }
  if (payload.size() % kSetting != 0) return fail(ErrorCode::kFrameSizeError, "SETTINGS of a broken length");
  if (payload.size() > kMostSettings * kSetting) return fail(ErrorCode::kEnhanceYourCalm, "SETTINGS with too many of them");
  settings_seen_ = true;
  if (auto failed = noise("SETTINGS")) return failed;
  const auto before = peer_initial_window_;
  for (; !payload.empty(); payload = payload.subspan(kSetting))
    if (auto failed = apply_setting(static_cast<Setting>(read_u16(payload)), read_u32(payload.subspan(2)))) return failed;
  if (auto failed = shift_windows(static_cast<std::int64_t>(peer_initial_window_) - before)) return failed;
  put({.type = FrameType::kSettings, .flags = kAck});
  return Event{.kind = Event::Kind::kRoom};
}

Engine::Step Engine::apply_setting(Setting id, std::uint32_t value) {
  switch (id) {
    case Setting::kHeaderTableSize: encoder_.set_table_limit(value); break;
    case Setting::kEnablePush:
      if (value > 1 || (role_ == Role::kClient && value != 0)) return fail(ErrorCode::kProtocolError, "ENABLE_PUSH out of range");
      break;
    case Setting::kMaxConcurrentStreams: peer_max_streams_ = value; break;
    case Setting::kInitialWindowSize:
      if (value > kMaxWindow) return fail(ErrorCode::kFlowControlError, "INITIAL_WINDOW_SIZE out of range");
      peer_initial_window_ = value;
      break;
    case Setting::kMaxFrameSize:
      if (value < kDefaultMaxFrame || value > kLargestFrame)
        return fail(ErrorCode::kProtocolError, "MAX_FRAME_SIZE out of range");
      peer_max_frame_ = value;
      break;
    default: break;  // MAX_HEADER_LIST_SIZE is advisory, others are unknown
  }
  return std::nullopt;
}

// Once a frame, with the last word of it: a peer that repeats the setting must not make us walk over all streams each time.
Engine::Step Engine::shift_windows(std::int64_t change) {
  if (change == 0) return std::nullopt;
  for (auto& [id, stream] : streams_) {
    stream.send_window += change;
    if (stream.send_window > kMaxWindow) return fail(ErrorCode::kFlowControlError, "INITIAL_WINDOW_SIZE overflows a window");
  }
  return std::nullopt;
}

Engine::Step Engine::on_ping(std::span<const std::byte> payload) {
  if (payload.size() != 8) return fail(ErrorCode::kFrameSizeError, "PING of a wrong length");
  if (frame_.stream != 0) return fail(ErrorCode::kProtocolError, "PING on a stream");
  if (frame_.has(kAck)) {
    const std::uint64_t about = std::uint64_t{read_u32(payload)} << 32 | read_u32(payload.subspan(4));
    if (about == kDrainPing && drain_ == Drain::kAsked) {
      last_call();
      return Event{.kind = Event::Kind::kDrained};
    }
    if (about == kPing && std::exchange(pinged_, false)) return Event{.kind = Event::Kind::kPong};
    return noise("answers to no PING");
  }
  put({.type = FrameType::kPing, .flags = kAck}, payload);
  return noise("PING");
}

Engine::Step Engine::on_goaway(std::span<const std::byte> payload) {
  if (payload.size() < 8) return fail(ErrorCode::kFrameSizeError, "GOAWAY of a wrong length");
  if (frame_.stream != 0) return fail(ErrorCode::kProtocolError, "GOAWAY on a stream");
  if (std::exchange(peer_goaway_, true))
    if (auto failed = noise("GOAWAY")) return failed;
  return Event{.kind = Event::Kind::kGoaway,
               .stream = read_u32(payload) & kMaxWindow,
               .code = static_cast<ErrorCode>(read_u32(payload.subspan(4)))};
}

Engine::Step Engine::on_window_update(std::span<const std::byte> payload) {
  if (payload.size() != 4) return fail(ErrorCode::kFrameSizeError, "WINDOW_UPDATE of a wrong length");
  const auto id = frame_.stream;
  const std::int64_t more = read_u32(payload) & kMaxWindow;
  if (id == 0) {
    if (more == 0) return fail(ErrorCode::kProtocolError, "WINDOW_UPDATE of nothing");
    const bool was_shut = send_window_ <= 0;
    send_window_ += more;
    if (send_window_ > kMaxWindow) return fail(ErrorCode::kFlowControlError, "the connection window overflows");
    return was_shut ? Step(Event{.kind = Event::Kind::kRoom}) : std::nullopt;
  }
  if (is_idle(id)) return fail(ErrorCode::kProtocolError, "WINDOW_UPDATE on a stream that nobody opened");
  const auto found = streams_.find(id);
  if (found == streams_.end()) return std::nullopt;  // was on its way when the stream ended
  if (more == 0) return stream_error(id, ErrorCode::kProtocolError, "WINDOW_UPDATE of nothing");
  const bool was_shut = found->second.send_window <= 0;
  found->second.send_window += more;
  if (found->second.send_window > kMaxWindow)
    return stream_error(id, ErrorCode::kFlowControlError, "the stream window overflows");
  return was_shut && found->second.send_window > 0 ? Step(Event{.kind = Event::Kind::kRoom, .stream = id}) : std::nullopt;
}

Engine::Step Engine::on_reset(std::span<const std::byte> payload) {
  if (payload.size() != 4) return fail(ErrorCode::kFrameSizeError, "RST_STREAM of a wrong length");
  const auto id = frame_.stream;
  if (id == 0 || is_idle(id)) return fail(ErrorCode::kProtocolError, "RST_STREAM on a stream that nobody opened");
  const auto found = streams_.find(id);
  if (found == streams_.end()) return noise("RST_STREAM of streams that are gone");
  const auto code = static_cast<ErrorCode>(read_u32(payload));
  const bool ended = found->second.remote_end;
  const bool rapid = role_ == Role::kServer && !found->second.answered;
  erase(id);
  if (rapid && !resets_.spend(now_)) return fail(ErrorCode::kEnhanceYourCalm, "flooded with requests that are reset at once");
  return Event{.kind = Event::Kind::kReset,
               .stream = id,
               .end = ended,
               .code = code,
               .error = {culvert::format("the far end reset the stream ({})", name(code)), Reason::kPeerReset}};
}

}  // namespace culvert::hbone
