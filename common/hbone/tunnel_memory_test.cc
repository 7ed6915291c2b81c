// What a tunnel holds is counted, and is bounded whatever its peer does.

#include <gtest/gtest.h>

#include "common/hbone/test_frames.h"
#include "common/hbone/test_mesh.h"
#include "common/hbone/test_raw_client.h"
#include "common/hbone/tunnel_life.h"

namespace culvert::hbone {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kKiB = 1024;

TEST(Inbox, CountsTheMemoryThatItHolds) {
  Backlog backlog{.limit = 64 * kKiB};
  Inbox inbox(&backlog);
  const std::vector<std::byte> bytes(64 * kKiB);
  const auto room_for = [&](std::size_t count) { return inbox.has_room(count); };

  inbox.append(std::span(bytes).first(1));
  EXPECT_EQ(backlog.held, 1 * kKiB);
  inbox.append(std::span(bytes).first(4 * kKiB));
  EXPECT_GE(backlog.held, inbox.size());
  EXPECT_LE(backlog.held, 8 * kKiB);
  for (int i = 0; i < 20'000; ++i) inbox.append(std::span(bytes).first(1));
  EXPECT_GE(backlog.held, inbox.size());
  EXPECT_LE(backlog.held, 2 * inbox.size() + kKiB);

  EXPECT_TRUE(room_for(1));
  EXPECT_FALSE(room_for(64 * kKiB - inbox.size())) << "what a piece has left over is not free";
  inbox.drop(inbox.size() - 1);
  EXPECT_GE(backlog.held, 1u);
  inbox.drop(1);
  EXPECT_EQ(backlog.held, 0u);
  EXPECT_TRUE(room_for(64 * kKiB));
  EXPECT_FALSE(room_for(64 * kKiB + 1));
}

TEST(Inbox, KnowsWhatAnAppendWillHold) {
  const std::vector<std::byte> bytes(300 * kKiB);
  for (const std::size_t first : {1u, 1000u, 5000u, 70'000u}) {
    for (const std::size_t then : {1u, 23u, 24u, 4097u, 200'000u}) {
      Backlog backlog{.limit = 1 << 20};
      Inbox inbox(&backlog);
      inbox.append(std::span(bytes).first(first));
      Backlog twin{.limit = 1 << 20};
      Inbox other(&twin);
      other.append(std::span(bytes).first(first));
      other.append(std::span(bytes).first(then));

      backlog.limit = twin.held;
      EXPECT_TRUE(inbox.has_room(then)) << first << " and " << then;
      backlog.limit = twin.held - 1;
      EXPECT_FALSE(inbox.has_room(then)) << first << " and " << then;
    }
  }
}

// Requests of one stream each, from `id` on, each of which ends at once.
frames::Bytes requests(std::uint32_t id, std::uint32_t count, const http::HeaderList& headers) {
  frames::Bytes out;
  const auto block = frames::block(headers);
  for (; count > 0; --count, id += 2) {
    const auto one = frames::frame(FrameType::kHeaders, kEndHeaders | kEndStream, id, block);
    out.insert(out.end(), one.begin(), one.end());
  }
  return out;
}

// An answer that HPACK cannot make small, and the end of the stream.
net::Task<> answer_at_length(Incoming incoming) {
  static int count = 0;
  incoming.accept(std::to_string(++count) + std::string(3 * kKiB, 'x'));
  co_return;
}

// Asks until the tunnel has ended; how much was held at most.
net::Task<std::size_t> ask_without_reading(TestMesh& mesh, RawClient& client, const Backlog& backlog, std::uint32_t at_once) {
  EXPECT_TRUE(co_await client.shake_hands(mesh));
  EXPECT_TRUE(co_await client.say_hello());
  std::size_t most = 0;
  for (std::uint32_t id = 1; mesh.served.empty() && id < 2'000'000; id += 2 * at_once) {
    std::ignore = co_await client.say(requests(id, at_once, frames::kConnect));
    co_await mesh.loop().yield();
    most = std::max(most, backlog.held);
  }
  co_return most;
}

TEST(Tunnel, LosesAPeerThatAsksAndDoesNotRead) {
  const auto backlog = std::make_shared<Backlog>(512 * kKiB * kKiB);
  TestMesh mesh({.server = {.backlog = backlog}});
  mesh.handler = answer_at_length;
  mesh.run([](TestMesh& m, const Backlog& held) -> net::Task<> {
    RawClient client;

    const auto most = co_await ask_without_reading(m, client, held, 100);

    EXPECT_GE(most, 512 * kKiB) << "what waits for it is counted";
    EXPECT_LE(most, 2 * 1024 * kKiB + 512 * kKiB);
    EXPECT_EQ(m.served.size(), 1u);
    if (m.served.empty()) co_return;
    EXPECT_EQ(m.served.at(0).error().reason, Reason::kTunnelLost);
    EXPECT_NE(m.served.at(0).error().text.find("does not read"), std::string::npos) << m.served.at(0).error().text;
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return held.held == 0; }));
  }(mesh, *backlog));
}

TEST(Tunnel, LosesItSoonerWhenNoMemoryIsLeft) {
  const auto backlog = std::make_shared<Backlog>(256 * kKiB);
  TestMesh mesh({.server = {.backlog = backlog}});
  mesh.handler = answer_at_length;
  mesh.run([](TestMesh& m, const Backlog& held) -> net::Task<> {
    RawClient client;

    const auto most = co_await ask_without_reading(m, client, held, 10);

    EXPECT_LE(most, 2 * 256 * kKiB) << "memory grows by doubling";
    EXPECT_EQ(m.served.size(), 1u);
    if (m.served.empty()) co_return;
    EXPECT_NE(m.served.at(0).error().text.find("too many bytes wait already"), std::string::npos) << m.served.at(0).error().text;
  }(mesh, *backlog));
}

// What waits for the peer to read is read from an application; when memory is short, hardly any is.
TEST(Tunnel, ReadsLessFromApplicationsWhileMemoryIsShort) {
  for (const bool tight : {false, true}) {
    const auto backlog = std::make_shared<Backlog>(Backlog{.limit = 100 << 20, .held = tight ? 60u << 20 : 0u});
    constexpr std::uint32_t kWindow = 64 << 20;  // the kernel's buffers come first
    TestMesh mesh(
        {.client = {.engine = {.stream_window = kWindow, .stream_window_cap = kWindow}}, .server = {.backlog = backlog}});
    mesh.run([](TestMesh& m, Backlog& held, bool scarce) -> net::Task<> {
      auto connection = co_await m.connect();
      EXPECT_TRUE(co_await answers(*connection));
      const std::size_t before = held.held;

      m.freeze();
      const std::vector<std::byte> block(1 << 20);
      for (int quiet = 0; quiet < 30;) {
        quiet = connection->server.try_write(block).ok() ? 0 : quiet + 1;
        co_await net::sleep_for(m.loop(), 2ms);
      }

      const std::size_t waiting = held.held - before;
      if (scarce) EXPECT_LE(waiting, 40 * kKiB);
      else EXPECT_GE(waiting, 100 * kKiB);
    }(mesh, *backlog, tight));
  }
}

TEST(Tunnel, CountsARequestUntilItIsAnswered) {
  const auto backlog = std::make_shared<Backlog>(1 << 20);
  TestMesh mesh({.server = {.backlog = backlog}});
  std::optional<Incoming> asked;
  mesh.handler = [&](Incoming incoming) -> net::Task<> {
    asked.emplace(std::move(incoming));
    co_return;
  };
  mesh.run([](TestMesh& m, std::optional<Incoming>& waiting, const Backlog& held) -> net::Task<> {
    auto request = m.request();
    request.baggage = "k8s.pod.name=" + std::string(3 * kKiB, 'x');
    m.loop().spawn([](TestMesh& in, ConnectRequest what) -> net::Task<> {
      const auto stream = co_await in.pool().open(in.key(), std::move(what));
      EXPECT_TRUE(stream);
      co_await net::sleep_for(in.loop(), 100ms);
    }(m, std::move(request)));
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return waiting.has_value(); }));
    const std::size_t before = held.held;

    const auto stream = waiting->accept();

    EXPECT_LE(held.held, before - 3 * kKiB);
    EXPECT_TRUE(waiting->request().baggage.empty());
  }(mesh, asked, *backlog));
}

TEST(Tunnel, RefusesRequestsThatWouldWaitPastTheBacklog) {
  const auto backlog = std::make_shared<Backlog>(64 * kKiB);
  TestMesh mesh({.server = {.backlog = backlog}});
  std::vector<Incoming> waiting;
  mesh.handler = [&](Incoming incoming) -> net::Task<> {
    waiting.push_back(std::move(incoming));
    co_return;
  };
  mesh.run([](TestMesh& m, const std::vector<Incoming>& held) -> net::Task<> {
    RawClient client;
    EXPECT_TRUE(co_await client.shake_hands(m));
    EXPECT_TRUE(co_await client.say_hello());
    auto headers = frames::kConnect;
    headers.push_back({"baggage", std::string(2 * kKiB, 'x')});

    EXPECT_TRUE(co_await client.say(requests(1, 100, headers)));
    co_await net::sleep_for(m.loop(), 50ms);

    EXPECT_GE(held.size(), 5u);
    EXPECT_LE(held.size(), 32u);
    EXPECT_TRUE(m.served.empty());
  }(mesh, waiting));
  waiting.clear();
}

TEST(Tunnel, EndsOneForWhichThereIsNoRoom) {
  const auto backlog = std::make_shared<Backlog>(1 << 20);
  TestMesh mesh({.server = {.backlog = backlog}});
  std::optional<Identity> asked;
  mesh.established = [&asked](const Identity& peer) {
    asked = peer;
    return false;
  };
  mesh.run([](TestMesh& m, const Backlog& held) -> net::Task<> {
    const auto stream = co_await m.pool().open(m.key(), m.request());

    EXPECT_FALSE(stream);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return !m.served.empty() && held.held == 0; }));
    EXPECT_EQ(m.served.at(0).error().reason, Reason::kInternal);
    EXPECT_EQ(m.served.at(0).error().text,
              "too many tunnels of spiffe://cluster.local/ns/default/sa/client are open to this pod");
  }(mesh, *backlog));
  EXPECT_EQ(asked, workload("client"));
}

TEST(Tunnel, LosesAPeerWhoseRequestsAreNoConnects) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    RawClient client;
    EXPECT_TRUE(co_await client.shake_hands(m));
    EXPECT_TRUE(co_await client.say_hello());
    const http::HeaderList get = {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "10.0.0.1:80"}};

    for (std::uint32_t id = 1; m.served.empty() && id < 80'000; id += 200) {
      if (!co_await client.say(requests(id, 100, get))) break;
      std::vector<std::byte> answers(64 * kKiB);
      std::ignore = client.socket.try_read(answers);
      co_await m.loop().yield();
    }

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.served.size() == 1; }));
    EXPECT_NE(m.served.at(0).error().text.find("flooded with requests that are no CONNECT"), std::string::npos)
        << m.served.at(0).error().text;
  }(mesh));
}

}  // namespace
}  // namespace culvert::hbone
