#include "common/http/websocket.h"

#include "common/base/format.h"

namespace culvert::http {
namespace {

using Kind = WebSocketMessage::Kind;

constexpr std::size_t kMostControl = 125;
constexpr std::uint8_t kFinal = 0x80, kReserved = 0x70, kOpcode = 0x0f, kMasked = 0x80, kLength = 0x7f;
constexpr std::uint8_t kContinuation = 0, kText = 1, kBinary = 2;

bool is_control(std::uint8_t opcode) { return (opcode & 0x8) != 0; }

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t out = 0;
  for (const char byte : bytes) out = out << 8 | static_cast<std::uint8_t>(byte);
  return out;
}

}  // namespace

struct WebSocketReader::Head {
  std::uint8_t opcode = 0;
  bool final = false;
  std::size_t size = 0;    // of the head
  std::uint64_t body = 0;  // bytes that follow it
};

Status WebSocketReader::refuse(std::string_view why) {
  broken_ = culvert::format("WebSocket: {}", why);
  return failure(broken_, Reason::kBadRequest);
}

Status WebSocketReader::feed(std::span<const std::byte> bytes) {
  if (!broken_.empty()) return failure(broken_, Reason::kBadRequest);
  if (at_ == buffer_.size()) buffer_.clear(), at_ = 0;
  buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return {};
}

// Of the frame that begins at at_; none while it is not all here.
Result<std::optional<WebSocketReader::Head>> WebSocketReader::head() const {
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  if (rest.size() < 2) return std::nullopt;
  const auto first = static_cast<std::uint8_t>(rest[0]), second = static_cast<std::uint8_t>(rest[1]);
  Head out{.opcode = static_cast<std::uint8_t>(first & kOpcode), .final = (first & kFinal) != 0, .size = 2};
  if ((first & kReserved) != 0) return failure("reserved bits are set");
  if ((second & kMasked) != 0) return failure("a server's frame is masked");
  out.body = second & kLength;
  if (is_control(out.opcode) && (out.body > kMostControl || !out.final))
    return failure("a control frame is too long or in fragments");
  if (out.body >= 126) {
    const std::size_t more = out.body == 126 ? 2 : 8;
    if (rest.size() < 2 + more) return std::nullopt;
    out.body = big_endian(rest.substr(2, more));
    out.size += more;
  }
  return out;
}

Result<std::optional<WebSocketMessage>> WebSocketReader::take() {
  const auto broken = [this](std::string_view why) { return std::unexpected(refuse(why).error()); };
  while (broken_.empty()) {
    const auto found = head();
    if (!found) return broken(found.error().text);
    if (!*found) return std::nullopt;
    const Head& frame = **found;
    if (frame.body > most_ || message_.size() + frame.body > most_)
      return broken(culvert::format("a message is longer than {} bytes", most_));
    if (buffer_.size() - at_ - frame.size < frame.body) return std::nullopt;
    std::string payload = buffer_.substr(at_ + frame.size, frame.body);
    at_ += frame.size + frame.body;
    if (at_ == buffer_.size() || at_ > most_) {  // what is done with does not pile up while more and more comes behind it
      buffer_.erase(0, at_);
      at_ = 0;
    }
    if (is_control(frame.opcode)) {
      const auto kind = static_cast<Kind>(frame.opcode);
      if (kind != Kind::kClose && kind != Kind::kPing && kind != Kind::kPong) return broken("an unknown control frame");
      if (kind == Kind::kClose) broken_ = "WebSocket: closed";
      return WebSocketMessage{kind, std::move(payload)};
    }
    const bool begins = frame.opcode == kText || frame.opcode == kBinary;
    if (!begins && frame.opcode != kContinuation) return broken("an unknown frame");
    if (begins == within_) return broken("fragments out of order");
    message_ += payload;
    within_ = !frame.final;
    if (frame.final) return WebSocketMessage{Kind::kData, std::exchange(message_, {})};
  }
  return failure(broken_, Reason::kBadRequest);
}

std::string websocket_frame(Kind kind, std::string_view payload, std::array<std::uint8_t, 4> mask) {
  std::string out;
  out.reserve(payload.size() + 14);
  out += static_cast<char>(kFinal | static_cast<std::uint8_t>(kind));
  const std::size_t more = payload.size() < 126 ? 0 : payload.size() <= 0xffff ? 2 : 8;
  out += static_cast<char>(kMasked | (more == 0 ? payload.size() : more == 2 ? 126 : 127));
  for (std::size_t i = more; i-- > 0;) out += static_cast<char>(static_cast<std::uint64_t>(payload.size()) >> (8 * i) & 0xff);
  for (const std::uint8_t byte : mask) out += static_cast<char>(byte);
  for (std::size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(static_cast<std::uint8_t>(payload[i]) ^ mask[i % 4]);
  return out;
}

}  // namespace culvert::http
