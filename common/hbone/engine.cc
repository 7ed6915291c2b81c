// What we say. Reading is in engine_read.cc and engine_control.cc.
#include "common/hbone/engine.h"

#include <algorithm>

#include "common/base/check.h"

namespace culvert::hbone {
namespace {

constexpr std::uint32_t kConnectionCreditStep = 64 * 1024 * 1024;  // the connection window is refilled this rarely

void append_u32(std::vector<std::byte>& out, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::byte>(value >> shift & 0xff));
}

}  // namespace

bool Engine::Budget::spend(Clock::time_point now) {
  if (now > filled) {
    tokens = std::min(most, tokens + per_second * std::chrono::duration<double>(now - filled).count());
    filled = now;
  }
  if (tokens < 1) return false;
  tokens -= 1;
  return true;
}

Engine::Engine(Role role, const EngineOptions& options)
    : role_(role),
      options_(options),
      preface_left_(role == Role::kServer ? kPreface.size() : 0),
      peer_max_streams_(options.pool_streams),
      noise_{.tokens = 10'000, .most = 10'000, .per_second = 1'000},
      resets_{.tokens = 1'000, .most = 1'000, .per_second = 200} {
  if (role == Role::kClient) {
    const auto preface = std::as_bytes(std::span(kPreface));
    output_.assign(preface.begin(), preface.end());
  }
  put_settings();
  put_window_update(0, kMaxWindow - kDefaultWindow);
}

void Engine::put_settings() {
  std::vector<std::byte> payload;
  const auto setting = [&](Setting id, std::uint32_t value) {
    payload.push_back(std::byte{0});
    payload.push_back(static_cast<std::byte>(id));
    append_u32(payload, value);
  };
  if (role_ == Role::kClient) setting(Setting::kEnablePush, 0);
  if (role_ == Role::kServer) setting(Setting::kMaxConcurrentStreams, options_.max_streams);
  setting(Setting::kInitialWindowSize, options_.stream_window);
  setting(Setting::kMaxFrameSize, options_.max_frame);
  setting(Setting::kMaxHeaderListSize, options_.max_header_list);
  put({.type = FrameType::kSettings}, payload);
}

void Engine::put(const FrameHeader& header, std::span<const std::byte> payload) {
  FrameHeader whole = header;
  whole.length = static_cast<std::uint32_t>(payload.size());
  const auto bytes = encode(whole);
  output_.insert(output_.end(), bytes.begin(), bytes.end());
  output_.insert(output_.end(), payload.begin(), payload.end());
}

void Engine::put_headers(std::uint32_t id, std::span<const http::HeaderField> headers, bool end) {
  std::vector<std::byte> block;
  encoder_.encode(headers, block);
  std::span<const std::byte> rest = block;
  FrameHeader header{.type = FrameType::kHeaders, .flags = end ? kEndStream : std::uint8_t{0}, .stream = id};
  while (true) {
    const auto part = rest.first(std::min<std::size_t>(rest.size(), peer_max_frame_));
    rest = rest.subspan(part.size());
    if (rest.empty()) header.flags |= kEndHeaders;
    put(header, part);
    if (rest.empty()) return;
    header = {.type = FrameType::kContinuation, .stream = id};
  }
}

void Engine::put_goaway(std::uint32_t last, ErrorCode code, std::string_view text) {
  std::vector<std::byte> payload;
  append_u32(payload, last);
  append_u32(payload, static_cast<std::uint32_t>(code));
  const auto debug = std::as_bytes(std::span(text));
  payload.insert(payload.end(), debug.begin(), debug.end());
  put({.type = FrameType::kGoaway}, payload);
}

void Engine::put_ping(std::uint64_t payload) {
  std::vector<std::byte> bytes;
  append_u32(bytes, static_cast<std::uint32_t>(payload >> 32));
  append_u32(bytes, static_cast<std::uint32_t>(payload));
  put({.type = FrameType::kPing}, bytes);
}

void Engine::put_window_update(std::uint32_t id, std::uint32_t bytes) {
  std::vector<std::byte> payload;
  append_u32(payload, bytes);
  put({.type = FrameType::kWindowUpdate, .stream = id}, payload);
}

// --- streams -----------------------------------------------------------------------------------------------------

std::uint32_t Engine::open_room() const {
  if (role_ != Role::kClient || failed_ || draining() || next_id_ > kMaxWindow - 2) return 0;
  const auto most = std::min(options_.pool_streams, peer_max_streams_);
  return most > streams_.size() ? most - static_cast<std::uint32_t>(streams_.size()) : 0;
}

Engine::Stream& Engine::add_stream(std::uint32_t id) {
  return streams_[id] = Stream{.send_window = peer_initial_window_,
                               .receive_window = options_.stream_window,
                               .window_size = options_.stream_window};
}

std::optional<std::uint32_t> Engine::open(std::span<const http::HeaderField> request) {
  if (open_room() == 0) return std::nullopt;
  const auto id = next_id_;
  next_id_ += 2;
  add_stream(id);
  put_headers(id, request, false);
  return id;
}

void Engine::respond(std::uint32_t id, std::span<const http::HeaderField> response, bool end) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.local_end) return;
  found->second.answered = true;
  found->second.local_end = end;
  put_headers(id, response, end);
  close_if_done(id);
  if (end) reset(id, ErrorCode::kNoError);  // nobody reads what the peer may still send (RFC 9113 §8.1)
}

void Engine::close_if_done(std::uint32_t id) {
  const auto found = streams_.find(id);
  if (found != streams_.end() && found->second.local_end && found->second.remote_end) erase(id);
}

void Engine::erase(std::uint32_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  grown_ -= std::int64_t{found->second.window_size} - options_.stream_window;
  streams_.erase(found);
}

std::size_t Engine::sendable(std::uint32_t id) const {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.local_end) return 0;
  return static_cast<std::size_t>(std::max<std::int64_t>(0, std::min(found->second.send_window, send_window_)));
}

FrameHeaderBytes Engine::data(std::uint32_t id, std::size_t length, bool end) {
  const auto found = streams_.find(id);
  CULVERT_CHECK(found != streams_.end() && !found->second.local_end);
  CULVERT_CHECK(length <= peer_max_frame_ && (length == 0 || length <= sendable(id)));
  found->second.send_window -= static_cast<std::int64_t>(length);
  send_window_ -= static_cast<std::int64_t>(length);
  found->second.local_end = end;
  if (end) close_if_done(id);
  return encode({.length = static_cast<std::uint32_t>(length),
                 .type = FrameType::kData,
                 .flags = end ? kEndStream : std::uint8_t{0},
                 .stream = id});
}

std::size_t Engine::window_of(std::uint32_t id) const {
  const auto found = streams_.find(id);
  return found == streams_.end() ? 0 : static_cast<std::size_t>(std::max<std::int64_t>(0, found->second.receive_window));
}

void Engine::consumed(std::uint32_t id, std::size_t bytes, bool frugal) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.remote_end) return;
  Stream& stream = found->second;
  stream.to_credit += static_cast<std::uint32_t>(bytes);
  if (stream.to_credit < stream.window_size / 2) return;
  if (frugal) shrink(stream);
  else grow(id, stream);
  if (stream.to_credit == 0) return;
  put_window_update(id, stream.to_credit);
  stream.receive_window += stream.to_credit;
  stream.to_credit = 0;
}

// The peer has nearly used up the window and the reader has taken everything: the window, not the reader, is what limits them.
void Engine::grow(std::uint32_t id, Stream& stream) {
  const auto under_way = data_stream_ == id ? data_left_ : 0;  // of a frame that counts as received since its header
  const bool used_up = stream.receive_window < stream.window_size / 4;
  const bool all_taken = stream.receive_window + stream.to_credit + static_cast<std::int64_t>(under_way) == stream.window_size;
  if (!used_up || !all_taken) return;
  const std::int64_t more =
      std::min({std::int64_t{stream.window_size}, std::int64_t{options_.stream_window_cap} - stream.window_size,
                std::int64_t{options_.window_budget} - grown_});
  if (more <= 0) return;
  stream.window_size += static_cast<std::uint32_t>(more);
  stream.to_credit += static_cast<std::uint32_t>(more);
  grown_ += more;
}

// Of what the reader has taken, only what the floor leaves is given back.
void Engine::shrink(Stream& stream) {
  const auto floor = std::min(options_.stream_window_floor, stream.window_size);
  const auto less = std::min(stream.window_size - floor, stream.to_credit);
  stream.window_size -= less;
  stream.to_credit -= less;
  grown_ -= less;
}

void Engine::reset(std::uint32_t id, ErrorCode code) {
  if (!streams_.contains(id)) return;
  erase(id);
  std::vector<std::byte> payload;
  append_u32(payload, static_cast<std::uint32_t>(code));
  put({.type = FrameType::kReset, .stream = id}, payload);
}

void Engine::ping() {
  pinged_ = true;
  put_ping(kPing);
}

void Engine::drain() {
  if (role_ == Role::kClient) return last_call();
  if (drain_ != Drain::kNo || failed_) return;
  drain_ = Drain::kAsked;
  put_goaway(kMaxWindow, ErrorCode::kNoError);
  put_ping(kDrainPing);
}

void Engine::last_call() {
  if (drain_ == Drain::kDone || failed_) return;
  drain_ = Drain::kDone;
  put_goaway(last_peer_id_, ErrorCode::kNoError);
}

void Engine::credit_connection() {
  const auto missing = static_cast<std::uint32_t>(kMaxWindow - receive_window_);
  if (missing < kConnectionCreditStep) return;
  put_window_update(0, missing);
  receive_window_ = kMaxWindow;
}

}  // namespace culvert::hbone
