// WebSocket frames in pieces of any size: what is read does not depend on where the pieces end, and our own frames read back as they were written.
#include <fuzzer/FuzzedDataProvider.h>

#include "common/base/check.h"
#include "common/http/websocket.h"

using namespace culvert;
using namespace culvert::http;

namespace {

std::pair<std::vector<WebSocketMessage>, bool> read(std::string_view text, std::size_t piece) {
  constexpr std::size_t kMost = 200;
  WebSocketReader reader(kMost);
  std::vector<WebSocketMessage> messages;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    const std::string_view next = text.substr(at, piece);
    if (!reader.feed(std::as_bytes(std::span(next)))) return {std::move(messages), true};
    for (;;) {
      auto message = reader.take();
      if (!message) return {std::move(messages), true};
      if (!*message) break;
      CULVERT_CHECK((*message)->payload.size() <= kMost);
      messages.push_back(std::move(**message));
    }
  }
  return {std::move(messages), false};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  const std::size_t piece = input.ConsumeIntegralInRange<std::size_t>(1, 20);
  const std::string text = input.ConsumeRemainingBytesAsString();
  CULVERT_CHECK(read(text, text.size() + 1) == read(text, piece));

  // Masked with nothing, and without the bit that says so, a client's frame is a server's.
  if (text.size() > 125) return 0;
  std::string own = websocket_frame(WebSocketMessage::Kind::kData, text, {});
  own[1] = static_cast<char>(own[1] & 0x7f);
  own.erase(2, 4);
  const auto [messages, failed] = read(own, piece);
  CULVERT_CHECK(!failed && messages.size() == 1 && messages.front().payload == text);
  return 0;
}
