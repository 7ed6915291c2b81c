#pragma once
// WebSocket (RFC 6455) without I/O: the frames of a client, after the server has switched to it. No extensions, which nobody asked for.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace culvert::http {

struct WebSocketMessage {
  enum class Kind : std::uint8_t { kData = 2, kClose = 8, kPing = 9, kPong = 10 };  // the numbers are the wire's
  Kind kind = Kind::kData;
  std::string payload = {};

  friend bool operator==(const WebSocketMessage&, const WebSocketMessage&) = default;
};

// Reads what the server sends. A message in fragments comes as one; control messages between them come first, as they may.
class WebSocketReader {
 public:
  // `most`: bytes of a message.
  explicit WebSocketReader(std::size_t most = std::size_t{16} << 20) : most_(most) {}

  // Takes all of it. Fails for good when it is not WebSocket, masked, longer than agreed, or follows a close.
  Status feed(std::span<const std::byte> bytes);
  // The next whole message.
  Result<std::optional<WebSocketMessage>> take();

 private:
  struct Head;
  Result<std::optional<Head>> head() const;
  Status refuse(std::string_view why);

  std::size_t most_;
  std::string buffer_;   // what is not taken yet
  std::size_t at_ = 0;   // of it, what is done with
  std::string message_;  // the fragments so far
  bool within_ = false;  // of a message in fragments
  std::string broken_;   // why nothing more is read
};

// One message in one frame, masked as a client's must be: `mask` is to be random.
std::string websocket_frame(WebSocketMessage::Kind kind, std::string_view payload, std::array<std::uint8_t, 4> mask);

}  // namespace culvert::http
