#include "common/kube/portforward.h"

#include <array>
#include <random>
#include <utility>
#include <vector>

#include "common/base/base64.h"
#include "common/base/format.h"
#include "common/http/websocket.h"
#include "common/kube/request.h"
#include "common/tls/digest.h"

namespace culvert::kube {
namespace {

using Kind = http::WebSocketMessage::Kind;

constexpr std::string_view kProtocol = "v4.channel.k8s.io";
constexpr std::string_view kAcceptSalt = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455, 1.3
constexpr std::size_t kPiece = std::size_t{32} * 1024;                            // of what is written at once
constexpr std::size_t kPort = 2;                                                  // each channel begins with the port's number
// The channels of the one port that is asked for; the first byte of each message says which.
constexpr char kData = 0, kErrors = 1;

std::array<std::uint8_t, 4> random_mask() {
  thread_local std::random_device device;
  const auto bits = static_cast<std::uint32_t>(device());
  return {static_cast<std::uint8_t>(bits), static_cast<std::uint8_t>(bits >> 8), static_cast<std::uint8_t>(bits >> 16),
          static_cast<std::uint8_t>(bits >> 24)};
}

std::string random_key() {
  std::string bytes;
  for (int i = 0; i < 4; ++i)
    for (const std::uint8_t byte : random_mask()) bytes += static_cast<char>(byte);
  return to_base64(bytes);
}

}  // namespace

struct PortForward::State {
  tls::Stream stream;
  std::string doing;  // "forwarding port 15000 of pod istio-system/ztunnel-x"
  http::WebSocketReader reader = http::WebSocketReader();
  std::size_t port_left[2] = {kPort, kPort};  // of each channel's beginning
  std::string errors = {};
  bool ended = false;
  std::vector<std::byte> buffer = std::vector<std::byte>(std::size_t{16} * 1024);

  net::Task<Result<std::string>> take();
  net::Task<Status> more();
  Error broken(const net::Io& io) const { return io.failure().during(doing); }
};

PortForward::PortForward(std::unique_ptr<State> state) : state_(std::move(state)) {}
PortForward::PortForward(PortForward&&) noexcept = default;
PortForward& PortForward::operator=(PortForward&&) noexcept = default;
PortForward::~PortForward() = default;

net::Task<Result<PortForward>> PortForward::open(Client& client, Key pod, std::uint16_t port, std::chrono::milliseconds timeout) {
  const std::string key = random_key();
  std::string doing = culvert::format("forwarding port {} of pod {}", port, pod.text());
  Request request{.verb = "create",
                  .at = {{.plural = "pods"}, pod.ns, pod.name, "portforward"},
                  .query = {{"ports", std::to_string(port)}},
                  // The kubelet gets to see this, too, and has nothing to offer to who wants JSON (406).
                  .headers = {{"Accept", "*/*"},
                              {"Connection", "Upgrade"},
                              {"Upgrade", "websocket"},
                              {"Sec-WebSocket-Version", "13"},
                              {"Sec-WebSocket-Key", key},
                              {"Sec-WebSocket-Protocol", std::string(kProtocol)}},
                  .timeout = timeout};
  auto switched = co_await client.upgrade(std::move(request));
  if (!switched) co_return std::unexpected(std::move(switched).error().during(doing));
  if (switched->headers.get("sec-websocket-accept") != to_base64(tls::sha1(key + std::string(kAcceptSalt))))
    co_return failure(doing + ": what answers is no WebSocket server (a proxy in front of the API server?)");
  if (switched->headers.get("sec-websocket-protocol") != kProtocol)
    co_return failure(culvert::format("{}: the server does not speak {}", doing, kProtocol));
  auto state = std::make_unique<State>(State{std::move(switched->stream), std::move(doing)});
  if (auto fed = state->reader.feed(std::as_bytes(std::span(switched->early))); !fed) co_return std::unexpected(fed.error());
  co_return PortForward(std::move(state));
}

net::Task<Status> PortForward::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string piece = std::string(1, kData).append(bytes.substr(0, kPiece));
    bytes.remove_prefix(piece.size() - 1);
    const std::string frame = http::websocket_frame(Kind::kData, piece, random_mask());
    const net::Io io = co_await state_->stream.write_all(std::as_bytes(std::span(frame)));
    if (!io.ok()) co_return std::unexpected(state_->broken(io));
  }
  co_return Status();
}

// One read of the connection.
net::Task<Status> PortForward::State::more() {
  const net::Io io = co_await stream.read(buffer);
  if (io.ok()) co_return reader.feed(std::span(buffer).first(io.bytes));
  if (io.state != net::Io::kEof)
    co_return std::unexpected(broken(io));  // not every server says goodbye in WebSocket's words, but in those of TLS
  ended = true;
  co_return Status();
}

net::Task<Result<std::string>> PortForward::State::take() {
  while (!ended) {
    auto message = reader.take();
    if (!message) co_return std::unexpected(std::move(message).error().during(doing));
    if (!*message) {
      if (auto read = co_await more(); !read) co_return std::unexpected(std::move(read).error());
      continue;
    }
    std::string payload = std::move((*message)->payload);
    if ((*message)->kind == Kind::kClose) ended = true;
    if ((*message)->kind == Kind::kPing) {
      const std::string frame = http::websocket_frame(Kind::kPong, payload, random_mask());
      if (const net::Io io = co_await stream.write_all(std::as_bytes(std::span(frame))); !io.ok())
        co_return std::unexpected(broken(io));
    }
    if ((*message)->kind != Kind::kData || payload.empty()) continue;
    const char channel = payload.front();
    if (channel != kData && channel != kErrors) co_return failure(doing + ": the server speaks of a port that was not asked for");
    std::size_t& port = port_left[static_cast<unsigned char>(channel)];
    const std::size_t head = std::min(port, payload.size() - 1);
    port -= head;
    payload.erase(0, 1 + head);
    if (channel == kErrors) errors += payload;
    else if (!payload.empty()) co_return payload;
  }
  if (!errors.empty()) co_return failure(doing + ": " + one_line(errors), Reason::kConnectFailed);
  co_return std::string();
}

net::Task<Result<std::string>> PortForward::read() { co_return co_await state_->take(); }

void PortForward::close() { state_->stream.socket().close(); }

}  // namespace culvert::kube
