#include "common/kube/portforward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/base64.h"
#include "common/base/format.h"
#include "common/http/websocket.h"
#include "common/kube/test_peer.h"
#include "common/tls/digest.h"

namespace culvert::kube {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string frame(std::uint8_t opcode, std::string_view payload) {
  return std::string({static_cast<char>(0x80 | opcode), static_cast<char>(payload.size())}).append(payload);
}
std::string data(char channel, std::string_view bytes) { return frame(2, std::string(1, channel).append(bytes)); }

// The answer to whoever asks for WebSocket, and what begins each channel.
std::string switched(const http::Request& request, std::string_view protocol = "v4.channel.k8s.io") {
  const std::string key(request.headers.get("sec-websocket-key").value_or("none"));
  return culvert::format(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n"
      "Sec-WebSocket-Protocol: {}\r\n\r\n",
      to_base64(tls::sha1(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")), protocol);
}
const std::string kBegin = data(0, "\x98\x3a") + data(1, "\x98\x3a");  // 15000

struct PortForwardTest : testing::Test {
  net::Loop loop;
  std::optional<Peer> peer;
  std::optional<Client> client;

  Result<PortForward> open(Peer::Script script) {
    peer.emplace(loop, std::move(script));
    client.emplace(loop, peer->access());
    return loop.run(PortForward::open(*client, {"istio-system", "ztunnel-x"}, 15000, 5s));
  }
  // Everything that the port says, or the failure.
  std::string heard(PortForward& port) {
    std::string out;
    for (;;) {
      auto piece = loop.run(port.read());
      if (!piece) return piece.error().text;
      if (piece->empty()) return out;
      out += *piece;
    }
  }
};

TEST_F(PortForwardTest, WhatThePortSaysIsReadWhereverItIsCut) {
  const std::string frames = kBegin + data(0, "hello ") + frame(9, "are you there") + data(0, "world") + frame(8, "\x03\xe8");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, frames.size()}) {
    auto port = open([&](const http::Request& request) {
      Steps steps = {send(switched(request) + frames.substr(0, piece))};  // the first of it comes with the answer itself
      for (std::size_t at = piece; at < frames.size(); at += piece) steps.push_back(send(frames.substr(at, piece)));
      steps.push_back(hold());
      return steps;
    });
    ASSERT_TRUE(port) << port.error().text;
    EXPECT_EQ(heard(*port), "hello world") << piece;
    EXPECT_EQ(peer->asked.back().target, "/api/v1/namespaces/istio-system/pods/ztunnel-x/portforward?ports=15000");
    EXPECT_EQ(peer->asked.back().headers.get("authorization"), "Bearer secret-1");
    EXPECT_EQ(peer->asked.back().headers.get("accept"), "*/*") << "the kubelet has nothing else to offer";
    EXPECT_EQ(peer->asked.back().headers.count("accept"), 1U);
    client.reset();
  }
}

TEST_F(PortForwardTest, WhatTheNodeSaysIsTheFailure) {
  auto port = open([](const http::Request& request) {
    return Steps{send(switched(request) + kBegin + data(1, "error forwarding port 15000: Connection ") + data(1, "refused\n")),
                 {.what = Step::kClose}};
  });
  ASSERT_TRUE(port) << port.error().text;
  EXPECT_EQ(heard(*port), "forwarding port 15000 of pod istio-system/ztunnel-x: error forwarding port 15000: Connection refused");
}

TEST_F(PortForwardTest, AConnectionThatIsCutIsNoEnd) {
  auto port = open([](const http::Request& request) { return Steps{send(switched(request) + kBegin + data(0, "half")), cut()}; });
  ASSERT_TRUE(port) << port.error().text;
  EXPECT_EQ(loop.run(port->read()), "half");
  EXPECT_THAT(heard(*port), HasSubstr("forwarding port 15000 of pod istio-system/ztunnel-x: "));
}

TEST_F(PortForwardTest, RefusalsSayWhatToDo) {
  const auto refused = open([](const http::Request&) {
    return answer(403,
                  R"({"kind":"Status","message":"pods \"ztunnel-x\" is forbidden: User \"u\" cannot","reason":"Forbidden"})");
  });
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, HasSubstr("(RBAC: grant create on pods/portforward in namespace istio-system to u)"));
  const auto other =
      open([](const http::Request& request) { return Steps{send(switched(request, "v5.channel.k8s.io")), hold()}; });
  EXPECT_THAT(other.error().text, HasSubstr("does not speak v4.channel.k8s.io"));
  const auto none = open([](const http::Request&) {
    return Steps{send("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"),
                 hold()};
  });
  EXPECT_THAT(none.error().text, HasSubstr("is no WebSocket server"));
}

TEST_F(PortForwardTest, WhoeverWaitsIsWokenByClose) {
  auto port = open([](const http::Request& request) { return Steps{send(switched(request) + kBegin), hold()}; });
  ASSERT_TRUE(port) << port.error().text;
  net::Timer timer(loop);
  timer.arm(10ms, [&] { port->close(); });
  EXPECT_FALSE(loop.run(port->read()));
}

}  // namespace
}  // namespace culvert::kube
