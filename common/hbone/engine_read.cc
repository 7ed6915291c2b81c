// What the peer says, frame by frame: frames put together, DATA and HEADERS. The other kinds: engine_control.cc.
#include <algorithm>
#include <utility>

#include "common/base/format.h"
#include "common/hbone/engine.h"

namespace culvert::hbone {
namespace {

constexpr std::size_t kMaxControlPayload = 64 * 1024;  // of a frame that is gathered whole, except header blocks
constexpr std::size_t kKeptBlock = 4 * 1024;           // memory for the next header block
constexpr unsigned kMaxBlockFrames = 32;               // HEADERS and CONTINUATION of one header block

bool forbidden(std::string_view name, std::string_view value) {
  static constexpr std::string_view kNames[] = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"};
  return std::ranges::contains(kNames, name) || (name == "te" && value != "trailers");
}

bool lower_case(std::string_view name) {
  return std::ranges::none_of(name, [](char c) { return c >= 'A' && c <= 'Z'; });
}

// RFC 9113 §8.2, §8.3: pseudo headers first, known, each once; names in lower case; nothing about the connection.
bool well_formed(const http::HeaderList& headers, std::span<const std::string_view> pseudo) {
  bool regular = false;
  std::vector<std::string_view> seen;
  for (const auto& header : headers) {
    if (header.name.empty() || !lower_case(header.name)) return false;
    if (header.name.front() == ':') {
      if (regular || !std::ranges::contains(pseudo, header.name) || std::ranges::contains(seen, header.name)) return false;
      seen.push_back(header.name);
      continue;
    }
    regular = true;
    if (forbidden(header.name, header.value)) return false;
  }
  return std::ranges::contains(seen, pseudo.front());
}

constexpr std::string_view kRequestPseudo[] = {":method", ":authority", ":scheme", ":path", ":protocol"};
constexpr std::string_view kResponsePseudo[] = {":status"};

}  // namespace

Event Engine::next(std::span<const std::byte>& input) {
  while (!failed_) {
    Step step;
    if (preface_left_ > 0) {
      if (input.empty()) return {};
      step = read_preface(input);
    } else if (!in_frame_) {
      if (!read_frame_header(input)) return {};
      step = begin_frame();
    } else if (frame_.type == FrameType::kData) {
      if (input.empty() && data_left_ + padding_left_ > 0) return {};
      step = continue_data(input);
    } else {
      const std::size_t missing = frame_.length - partial_.size();
      const auto part = input.first(std::min(missing, input.size()));
      input = input.subspan(part.size());
      if (partial_.empty() && part.size() == missing) {
        in_frame_ = false;
        step = finish_frame(part);
      } else {
        partial_.insert(partial_.end(), part.begin(), part.end());
        if (part.size() < missing) return {};
        in_frame_ = false;
        const auto payload = std::exchange(partial_, {});
        step = finish_frame(payload);
      }
    }
    if (step) return std::move(*step);
  }
  input = {};
  return {};
}

Event Engine::fail(ErrorCode code, std::string text) {
  put_goaway(last_peer_id_, code, text);
  failed_ = true;
  streams_.clear();
  return {.kind = Event::Kind::kFailed,
          .code = code,
          .error = {culvert::format("HTTP/2: {} ({})", text, name(code)), Reason::kHttp2Failure}};
}

Engine::Step Engine::stream_error(std::uint32_t id, ErrorCode code, std::string text) {
  const bool known = streams_.contains(id);
  const bool ended = known && streams_[id].remote_end;
  reset(id, code);
  if (!known) return noise(text);
  return Event{
      .kind = Event::Kind::kReset, .stream = id, .end = ended, .code = code, .error = {std::move(text), Reason::kHttp2Failure}};
}

Engine::Step Engine::noise(std::string_view what) {
  if (noise_.spend(now_)) return std::nullopt;
  return fail(ErrorCode::kEnhanceYourCalm, culvert::format("flooded with {}", what));
}

Engine::Step Engine::read_preface(std::span<const std::byte>& input) {
  const auto expected = std::as_bytes(std::span(kPreface)).last(preface_left_);
  const auto part = input.first(std::min(expected.size(), input.size()));
  input = input.subspan(part.size());
  preface_left_ -= part.size();
  if (std::ranges::equal(part, expected.first(part.size()))) return std::nullopt;
  return fail(ErrorCode::kProtocolError, "the connection preface is not HTTP/2's");
}

bool Engine::read_frame_header(std::span<const std::byte>& input) {
  if (partial_.empty() && input.size() >= kFrameHeader) {
    frame_ = decode_header(input.first<kFrameHeader>());
    input = input.subspan(kFrameHeader);
    in_frame_ = true;
    return true;
  }
  const auto part = input.first(std::min(kFrameHeader - partial_.size(), input.size()));
  input = input.subspan(part.size());
  partial_.insert(partial_.end(), part.begin(), part.end());
  if (partial_.size() < kFrameHeader) return false;
  frame_ = decode_header(std::span(partial_).first<kFrameHeader>());
  partial_.clear();
  in_frame_ = true;
  return true;
}

// Whether this frame may come now, and how much of it we are willing to hold.
Engine::Step Engine::begin_frame() {
  if (!settings_seen_ && (frame_.type != FrameType::kSettings || frame_.has(kAck)))
    return fail(ErrorCode::kProtocolError, "the first frame is not SETTINGS");
  if (block_stream_ != 0 && (frame_.type != FrameType::kContinuation || frame_.stream != block_stream_))
    return fail(ErrorCode::kProtocolError, "another frame inside a header block");
  if (frame_.length > options_.max_frame) return fail(ErrorCode::kFrameSizeError, "a frame larger than advertised");

  switch (frame_.type) {
    case FrameType::kData: return begin_data();
    case FrameType::kHeaders:
    case FrameType::kContinuation:
      if (block_.size() + frame_.length > options_.max_header_list || ++block_frames_ > kMaxBlockFrames)
        return fail(ErrorCode::kEnhanceYourCalm, "a header block larger than advertised");
      return std::nullopt;
    case FrameType::kPushPromise: return fail(ErrorCode::kProtocolError, "PUSH_PROMISE");
    case FrameType::kReset:
    case FrameType::kSettings:
    case FrameType::kPing:
    case FrameType::kGoaway:
    case FrameType::kWindowUpdate:
      if (frame_.length > kMaxControlPayload) return fail(ErrorCode::kFrameSizeError, "a control frame too large");
      return std::nullopt;
    case FrameType::kPriority:
      if (frame_.stream == 0) return fail(ErrorCode::kProtocolError, "PRIORITY without a stream");
      [[fallthrough]];
    default:  // not known to us, and to be ignored
      frame_.type = FrameType::kData;
      frame_.flags = 0;
      data_stream_ = 0;
      data_left_ = frame_.length;
      padding_left_ = 0;
      padding_unread_ = false;
      return noise("frames of no use");
  }
}

// --- DATA --------------------------------------------------------------------------------------------------------

Engine::Step Engine::begin_data() {
  if (frame_.stream == 0 || is_idle(frame_.stream)) return fail(ErrorCode::kProtocolError, "DATA on a stream that nobody opened");
  if (frame_.has(kPadded) && frame_.length == 0) return fail(ErrorCode::kFrameSizeError, "padded DATA without a padding length");
  receive_window_ -= frame_.length;
  if (receive_window_ < 0) return fail(ErrorCode::kFlowControlError, "more DATA than the connection window allows");
  credit_connection();

  data_stream_ = 0;  // thrown away, unless all is well below
  data_left_ = frame_.length;
  padding_left_ = 0;
  padding_unread_ = false;
  const auto found = streams_.find(frame_.stream);
  if (found == streams_.end()) return std::nullopt;  // was on its way when we reset the stream
  Stream& stream = found->second;
  if (stream.remote_end) return stream_error(frame_.stream, ErrorCode::kStreamClosed, "DATA after END_STREAM");
  if (role_ == Role::kClient && !stream.answered)
    return stream_error(frame_.stream, ErrorCode::kProtocolError, "DATA before HEADERS");
  stream.receive_window -= frame_.length;
  if (stream.receive_window < 0)
    return stream_error(frame_.stream, ErrorCode::kFlowControlError, "more DATA than the stream window allows");
  data_stream_ = frame_.stream;
  padding_unread_ = frame_.has(kPadded);
  if (frame_.length == 0 && !frame_.has(kEndStream)) return noise("empty DATA frames");
  return std::nullopt;
}

Engine::Step Engine::continue_data(std::span<const std::byte>& input) {
  if (padding_unread_) {
    padding_unread_ = false;
    padding_left_ = std::to_integer<std::size_t>(input.front());
    input = input.subspan(1);
    data_left_ -= 1;
    if (padding_left_ > data_left_) return fail(ErrorCode::kProtocolError, "more padding than DATA");
    data_left_ -= padding_left_;
    consumed(data_stream_, padding_left_ + 1);
    if (data_left_ == 0 && !frame_.has(kEndStream)) {
      if (auto failed = noise("empty DATA frames")) return failed;
    }
  }
  const auto chunk = input.first(std::min(data_left_, input.size()));
  input = input.subspan(chunk.size());
  data_left_ -= chunk.size();
  const auto id = streams_.contains(data_stream_) ? data_stream_ : 0;  // 0 also when its owner reset it meanwhile
  Step step;
  if (data_left_ == 0 && frame_.has(kEndStream) && id != 0) {
    step = end_of_stream(id, chunk);
    data_stream_ = 0;
  } else if (!chunk.empty() && id != 0) {
    step = Event{.kind = Event::Kind::kData, .stream = id, .data = chunk};
  }
  if (data_left_ == 0) {
    const auto padding = std::min(padding_left_, input.size());
    input = input.subspan(padding);
    padding_left_ -= padding;
    in_frame_ = padding_left_ > 0;
  }
  return step;
}

Engine::Step Engine::end_of_stream(std::uint32_t id, std::span<const std::byte> chunk) {
  streams_[id].remote_end = true;
  close_if_done(id);
  return Event{.kind = Event::Kind::kData, .stream = id, .end = true, .data = chunk};
}

// --- HEADERS -----------------------------------------------------------------------------------------------------

Engine::Step Engine::finish_frame(std::span<const std::byte> payload) {
  switch (frame_.type) {
    case FrameType::kHeaders: return on_headers(payload);
    case FrameType::kContinuation: return on_continuation(payload);
    case FrameType::kReset: return on_reset(payload);
    case FrameType::kSettings: return on_settings(payload);
    case FrameType::kPing: return on_ping(payload);
    case FrameType::kGoaway: return on_goaway(payload);
    case FrameType::kWindowUpdate: return on_window_update(payload);
    default: return std::nullopt;
  }
}

Engine::Step Engine::on_headers(std::span<const std::byte> payload) {
  if (frame_.stream == 0) return fail(ErrorCode::kProtocolError, "HEADERS without a stream");
  if (role_ == Role::kServer ? frame_.stream % 2 == 0 : is_idle(frame_.stream))
    return fail(ErrorCode::kProtocolError, "HEADERS on a stream that the peer may not open");
  std::size_t padding = 0;
  if (frame_.has(kPadded)) {
    if (payload.empty()) return fail(ErrorCode::kFrameSizeError, "padded HEADERS without a padding length");
    padding = std::to_integer<std::size_t>(payload.front());
    payload = payload.subspan(1);
  }
  if (frame_.has(kPriorityFlag)) {
    if (payload.size() < 5) return fail(ErrorCode::kFrameSizeError, "HEADERS with a priority cut short");
    payload = payload.subspan(5);
  }
  if (padding > payload.size()) return fail(ErrorCode::kProtocolError, "more padding than HEADERS");
  payload = payload.first(payload.size() - padding);

  block_stream_ = frame_.stream;
  block_end_ = frame_.has(kEndStream);
  block_.assign(payload.begin(), payload.end());
  return frame_.has(kEndHeaders) ? on_header_block() : std::nullopt;
}

Engine::Step Engine::on_continuation(std::span<const std::byte> payload) {
  if (block_stream_ == 0) return fail(ErrorCode::kProtocolError, "CONTINUATION without HEADERS");
  block_.insert(block_.end(), payload.begin(), payload.end());
  return frame_.has(kEndHeaders) ? on_header_block() : std::nullopt;
}

Engine::Step Engine::on_header_block() {
  const auto id = std::exchange(block_stream_, 0);
  block_frames_ = 0;
  auto decoded = decoder_.decode(block_, options_.max_header_list);
  block_.clear();
  if (block_.capacity() > kKeptBlock) block_.shrink_to_fit();
  if (!decoded) return fail(ErrorCode::kCompressionError, decoded.error().text);

  if (const auto found = streams_.find(id); found != streams_.end()) {
    if (found->second.remote_end) return stream_error(id, ErrorCode::kStreamClosed, "HEADERS after END_STREAM");
    if (role_ == Role::kServer || found->second.answered) return on_trailers(id);
    return on_response(id, std::move(*decoded));
  }
  if (role_ == Role::kClient || id <= last_peer_id_) return noise("headers of streams that are gone");
  return on_request(id, std::move(*decoded));
}

Engine::Step Engine::on_request(std::uint32_t id, http::HpackDecoder::Decoded decoded) {
  const bool full = drain_ == Drain::kDone || streams_.size() >= options_.max_streams;
  last_peer_id_ = id;
  add_stream(id);
  if (full) {
    reset(id, ErrorCode::kRefusedStream);
    return noise("requests beyond the limit of streams");
  }
  const bool good = !decoded.too_large && well_formed(decoded.headers, kRequestPseudo);
  if (!good) {
    reset(id, decoded.too_large ? ErrorCode::kEnhanceYourCalm : ErrorCode::kProtocolError);
    return noise("malformed requests");
  }
  streams_[id].remote_end = block_end_;
  return Event{.kind = Event::Kind::kRequest, .stream = id, .end = block_end_, .headers = std::move(decoded.headers)};
}

Engine::Step Engine::on_response(std::uint32_t id, http::HpackDecoder::Decoded decoded) {
  if (decoded.too_large || !well_formed(decoded.headers, kResponsePseudo))
    return stream_error(id, ErrorCode::kProtocolError, "a malformed response");
  const auto& status = std::ranges::find(decoded.headers, ":status", &http::HeaderField::name)->value;
  if (status.starts_with('1') && !block_end_) return noise("informational responses");
  streams_[id].answered = true;
  streams_[id].remote_end = block_end_;
  close_if_done(id);
  return Event{.kind = Event::Kind::kResponse, .stream = id, .end = block_end_, .headers = std::move(decoded.headers)};
}

Engine::Step Engine::on_trailers(std::uint32_t id) {
  if (!block_end_) return stream_error(id, ErrorCode::kProtocolError, "a second HEADERS without END_STREAM");
  return end_of_stream(id, {});
}

bool Engine::is_idle(std::uint32_t id) const {
  if (role_ == Role::kServer) return id % 2 == 0 || id > last_peer_id_;
  return id % 2 == 0 || id >= next_id_;
}

}  // namespace culvert::hbone
