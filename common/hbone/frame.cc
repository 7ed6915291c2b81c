#include "common/hbone/frame.h"

namespace culvert::hbone {

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNoError: return "NO_ERROR";
    case ErrorCode::kProtocolError: return "PROTOCOL_ERROR";
    case ErrorCode::kInternalError: return "INTERNAL_ERROR";
    case ErrorCode::kFlowControlError: return "FLOW_CONTROL_ERROR";
    case ErrorCode::kSettingsTimeout: return "SETTINGS_TIMEOUT";
    case ErrorCode::kStreamClosed: return "STREAM_CLOSED";
    case ErrorCode::kFrameSizeError: return "FRAME_SIZE_ERROR";
    case ErrorCode::kRefusedStream: return "REFUSED_STREAM";
    case ErrorCode::kCancel: return "CANCEL";
    case ErrorCode::kCompressionError: return "COMPRESSION_ERROR";
    case ErrorCode::kConnectError: return "CONNECT_ERROR";
    case ErrorCode::kEnhanceYourCalm: return "ENHANCE_YOUR_CALM";
    case ErrorCode::kInadequateSecurity: return "INADEQUATE_SECURITY";
    case ErrorCode::kHttp11Required: return "HTTP_1_1_REQUIRED";
  }
  return "UNKNOWN";
}

FrameHeaderBytes encode(const FrameHeader& header) {
  const auto byte = [](std::uint32_t value, int shift) { return static_cast<std::byte>(value >> shift & 0xff); };
  return {byte(header.length, 16),
          byte(header.length, 8),
          byte(header.length, 0),
          static_cast<std::byte>(header.type),
          static_cast<std::byte>(header.flags),
          byte(header.stream, 24),
          byte(header.stream, 16),
          byte(header.stream, 8),
          byte(header.stream, 0)};
}

FrameHeader decode_header(std::span<const std::byte, kFrameHeader> bytes) {
  return {.length = read_u32(bytes) >> 8,
          .type = static_cast<FrameType>(bytes[3]),
          .flags = std::to_integer<std::uint8_t>(bytes[4]),
          .stream = read_u32(bytes.subspan(5)) & kMaxWindow};
}

}  // namespace culvert::hbone
