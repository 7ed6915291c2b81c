#pragma once
// HTTP/2 frames as bytes (RFC 9113 §4, §6): numbers, headers, names. Pure.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace culvert::hbone {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr std::size_t kFrameHeader = 9;
inline constexpr std::uint32_t kMaxWindow = 0x7fffffff;
inline constexpr std::uint32_t kDefaultWindow = 65535;
inline constexpr std::uint32_t kDefaultMaxFrame = 16384;
inline constexpr std::uint32_t kLargestFrame = 0xffffff;

enum class FrameType : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

inline constexpr std::uint8_t kEndStream = 0x1;
inline constexpr std::uint8_t kAck = 0x1;
inline constexpr std::uint8_t kEndHeaders = 0x4;
inline constexpr std::uint8_t kPadded = 0x8;
inline constexpr std::uint8_t kPriorityFlag = 0x20;

enum class Setting : std::uint16_t {
  kHeaderTableSize = 1,
  kEnablePush = 2,
  kMaxConcurrentStreams = 3,
  kInitialWindowSize = 4,
  kMaxFrameSize = 5,
  kMaxHeaderListSize = 6,
};

enum class ErrorCode : std::uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kFlowControlError = 3,
  kSettingsTimeout = 4,
  kStreamClosed = 5,
  kFrameSizeError = 6,
  kRefusedStream = 7,
  kCancel = 8,
  kCompressionError = 9,
  kConnectError = 10,
  kEnhanceYourCalm = 11,
  kInadequateSecurity = 12,
  kHttp11Required = 13,
};
// "REFUSED_STREAM"; "error N" is not needed: unknown codes read "UNKNOWN".
std::string_view name(ErrorCode code);

struct FrameHeader {
  std::uint32_t length = 0;  // 24 bits
  FrameType type = FrameType::kData;
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;  // 31 bits

  bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};
using FrameHeaderBytes = std::array<std::byte, kFrameHeader>;

FrameHeaderBytes encode(const FrameHeader& header);
FrameHeader decode_header(std::span<const std::byte, kFrameHeader> bytes);

inline std::uint32_t read_u32(std::span<const std::byte> bytes) {
  return std::to_integer<std::uint32_t>(bytes[0]) << 24 | std::to_integer<std::uint32_t>(bytes[1]) << 16 |
         std::to_integer<std::uint32_t>(bytes[2]) << 8 | std::to_integer<std::uint32_t>(bytes[3]);
}
inline std::uint16_t read_u16(std::span<const std::byte> bytes) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[0]) << 8 | std::to_integer<unsigned>(bytes[1]));
}

}  // namespace culvert::hbone
