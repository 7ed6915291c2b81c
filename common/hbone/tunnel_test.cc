#include "common/hbone/tunnel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <random>

#include "common/hbone/test_mesh.h"

namespace culvert::hbone {
namespace {

using namespace std::chrono_literals;
using Io = net::Io;

TEST(Tunnel, CarriesBytesBothWays) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();

    EXPECT_TRUE(co_await answers(*connection));

    EXPECT_EQ(connection->client_end.sent, 4u);
    EXPECT_EQ(connection->client_end.received, 4u);
    EXPECT_EQ(connection->server_end.sent, 4u);
  }(mesh));
}

TEST(Tunnel, LetsTheServerSpeakFirst) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();

    std::ignore = co_await connection->server.write_all(octets("welcome"));

    EXPECT_EQ(co_await hear_some(connection->client, 7), "welcome");
  }(mesh));
}

TEST(Tunnel, HalfClosesInEitherDirection) {
  for (const bool client_first : {true, false}) {
    TestMesh mesh;
    mesh.run([](TestMesh& m, bool first) -> net::Task<> {
      auto connection = co_await m.connect();
      auto& one = first ? connection->client : connection->server;
      auto& other = first ? connection->server : connection->client;

      std::ignore = co_await one.write_all(octets("question"));
      one.shutdown_write();
      const auto question = co_await hear(other);
      std::ignore = co_await other.write_all(octets("a long answer"));
      other.shutdown_write();
      const auto answer = co_await hear(one);

      EXPECT_EQ(question.text, "question");
      EXPECT_EQ(question.end, Io::kEof);
      EXPECT_EQ(answer.text, "a long answer");
      EXPECT_EQ(answer.end, Io::kEof);
      EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
      EXPECT_EQ(connection->client_end.reason, Reason::kNone) << connection->client_end.text;
      EXPECT_EQ(connection->server_end.reason, Reason::kNone) << connection->server_end.text;
      EXPECT_EQ(m.pool().counts().streams, 0u);
    }(mesh, client_first));
  }
}

net::Task<> pour(net::Stream& to, std::size_t total, unsigned seed, std::uint64_t& sum) {
  std::mt19937 random(seed);
  std::vector<std::uint32_t> block(32 * 1024);
  for (std::size_t sent = 0; sent < total; sent += block.size() * 4) {
    for (auto& word : block) sum = sum * 31 + (word = random());
    const Io io = co_await to.write_all(std::as_bytes(std::span(block)));
    EXPECT_TRUE(io.ok()) << io.text();
    if (!io.ok()) co_return;
  }
  to.shutdown_write();
}

net::Task<> drink(net::Stream& from, std::size_t& total, std::uint64_t& sum) {
  std::vector<std::uint32_t> block(64 * 1024);
  const auto buffer = std::as_writable_bytes(std::span(block));
  std::size_t held = 0;
  while (true) {
    const Io io = co_await from.read(buffer.subspan(held));
    if (!io.ok()) {
      EXPECT_EQ(io.state, Io::kEof);
      co_return;
    }
    held += io.bytes;
    total += io.bytes;
    for (std::size_t i = 0; i < held / 4; ++i) sum = sum * 31 + block[i];
    const std::size_t rest = held % 4;
    std::copy_n(buffer.begin() + static_cast<std::ptrdiff_t>(held - rest), rest, buffer.begin());
    held = rest;
  }
}

TEST(Tunnel, CarriesManyBytesBothWaysAtOnceUnchanged) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    constexpr std::size_t kTotal = 64u << 20;
    auto connection = co_await m.connect();
    std::uint64_t sent_up = 0, sent_down = 0, got_up = 0, got_down = 0;
    std::size_t up = 0, down = 0;

    co_await net::both(net::both(pour(connection->client, kTotal, 1, sent_up), pour(connection->server, kTotal, 2, sent_down)),
                       net::both(drink(connection->server, up, got_up), drink(connection->client, down, got_down)));

    EXPECT_EQ(up, kTotal);
    EXPECT_EQ(down, kTotal);
    EXPECT_EQ(got_up, sent_up);
    EXPECT_EQ(got_down, sent_down);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
    EXPECT_EQ(connection->client_end.sent, kTotal);
    EXPECT_EQ(connection->server_end.received, kTotal);
  }(mesh));
}

TEST(Tunnel, PassesAResetOnAfterTheBytesBeforeIt) {
  for (const bool client_resets : {true, false}) {
    TestMesh mesh;
    mesh.run([](TestMesh& m, bool first) -> net::Task<> {
      auto connection = co_await m.connect();
      auto& one = first ? connection->client : connection->server;
      auto& other = first ? connection->server : connection->client;

      std::ignore = co_await one.write_all(octets("last words"));
      one.reset();
      const auto heard = co_await hear(other);

      EXPECT_EQ(heard.text, "last words");
      EXPECT_EQ(heard.end, Io::kReset);
      EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
      EXPECT_EQ(connection->client_end.reason, Reason::kPeerReset);
      EXPECT_EQ(connection->server_end.reason, Reason::kPeerReset);
    }(mesh, client_resets));
  }
}

TEST(Tunnel, PassesAResetOnAfterAHalfClose) {
  for (const bool client_resets : {true, false}) {
    TestMesh mesh;
    mesh.run([](TestMesh& m, bool first) -> net::Task<> {
      auto connection = co_await m.connect();
      auto& one = first ? connection->client : connection->server;
      auto& other = first ? connection->server : connection->client;
      one.shutdown_write();
      EXPECT_EQ((co_await hear(other)).end, Io::kEof);

      one.reset();
      std::vector<std::byte> junk(1024);
      const bool gone = co_await soon(m.loop(), [&] { return connection->done == 2; });

      EXPECT_TRUE(gone);
      EXPECT_EQ(other.check().state, Io::kReset);
    }(mesh, client_resets));
  }
}

// A writer that nobody reads from sees the reset of the other side, as over one TCP connection.
TEST(Tunnel, PassesAResetOnToAWriterThatIsStuck) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();
    std::vector<std::byte> block(1 << 20);
    while (connection->client.try_write(block).ok()) co_await net::sleep_for(m.loop(), 2ms);

    connection->server.reset();

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
    EXPECT_EQ(connection->client.check().state, Io::kReset);
  }(mesh));
}

TEST(Tunnel, PassesAResetOfAStuckWriterOn) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();
    std::vector<std::byte> block(1 << 20);
    int stuck = 0;
    while (stuck < 20) {
      stuck = connection->client.try_write(block).ok() ? 0 : stuck + 1;
      co_await net::sleep_for(m.loop(), 2ms);
    }

    connection->client.reset();

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
    EXPECT_EQ(connection->client_end.reason, Reason::kPeerReset);
    EXPECT_EQ((co_await hear(connection->server)).end, Io::kReset);
  }(mesh));
}

TEST(Tunnel, TurnsACutIntoAResetNeverIntoACleanEnd) {
  for (const bool by_reset : {true, false}) {
    TestMesh mesh;
    mesh.run([](TestMesh& m, bool reset) -> net::Task<> {
      auto connection = co_await m.connect();
      EXPECT_TRUE(co_await answers(*connection));

      m.cut(reset);

      EXPECT_EQ((co_await hear(connection->client)).end, Io::kReset);
      EXPECT_EQ((co_await hear(connection->server)).end, Io::kReset);
      EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
      EXPECT_EQ(connection->client_end.reason, Reason::kTunnelLost);
      EXPECT_EQ(connection->server_end.reason, Reason::kTunnelLost);
      EXPECT_EQ(m.pool().counts().tunnels, 0u);
      auto again = co_await m.connect();
      EXPECT_TRUE(co_await answers(*again));
    }(mesh, by_reset));
  }
}

TEST(Tunnel, KeepsALiveStreamMovingBesideStalledOnes) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    std::vector<std::shared_ptr<TestMesh::Connection>> stalled;
    const std::vector<std::byte> block(1 << 20);
    for (int i = 0; i < 5; ++i) {
      stalled.push_back(co_await m.connect());
      for (int quiet = 0; quiet < 10;) {
        quiet = stalled.back()->server.try_write(block).ok() ? 0 : quiet + 1;
        co_await net::sleep_for(m.loop(), 1ms);
      }
    }

    auto live = co_await m.connect();
    int answered = 0;
    for (int i = 0; i < 100; ++i) answered += co_await answers(*live) ? 1 : 0;

    EXPECT_EQ(answered, 100);
    EXPECT_EQ(m.pool().counts().tunnels, 1u);
  }(mesh));
}

// Whoever writes to a stream that nobody reads gets no further than its window.
TEST(Tunnel, HoldsNoMoreThanTheWindowForASlowReader) {
  TestMesh mesh({.server = {.engine = {.stream_window = 100'000, .stream_window_cap = 100'000}}});
  std::optional<TunnelStream> unread;
  mesh.handler = [&](Incoming incoming) -> net::Task<> {
    unread = incoming.accept({});
    co_return;
  };
  mesh.run([](TestMesh& m, std::optional<TunnelStream>& reader) -> net::Task<> {
    auto stream = need(co_await m.pool().open(m.key(), m.request()));
    std::size_t written = 0;
    m.loop().spawn([](TunnelStream& to, std::size_t& count) -> net::Task<> {
      const std::vector<std::byte> block(10'000);
      while ((co_await to.write_all(block)).ok()) count += block.size();
    }(stream, written));

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return written == 100'000; }));
    co_await net::sleep_for(m.loop(), 20ms);
    EXPECT_EQ(written, 100'000u);
    std::vector<std::byte> buffer(60'000);
    EXPECT_EQ((co_await reader->read(buffer)).bytes, 60'000u);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return written == 160'000; }));
    stream.reset();
  }(mesh, unread));
}

// The limit of what waits on a worker is worth more than the stream that would go past it.
TEST(Tunnel, ResetsTheStreamThatGoesPastTheBacklog) {
  const auto backlog = std::make_shared<Backlog>(250'000);  // for the tunnel as well
  TestMesh mesh({.server = {.engine = {.stream_window = 100'000, .stream_window_cap = 100'000}, .backlog = backlog}});
  std::vector<TunnelStream> unread;
  mesh.handler = [&](Incoming incoming) -> net::Task<> {
    unread.push_back(incoming.accept({}));
    co_return;
  };
  mesh.run([](TestMesh& m, std::vector<TunnelStream>& readers, Backlog& held) -> net::Task<> {
    const std::vector<std::byte> block(100'000);
    auto first = need(co_await m.pool().open(m.key(), m.request()));
    auto second = need(co_await m.pool().open(m.key(), m.request()));
    const std::size_t quiet = held.held;
    EXPECT_TRUE((co_await first.write_all(block)).ok());
    EXPECT_TRUE((co_await second.write_all(block)).ok());

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return second.ended() == Reason::kPeerReset; }));
    EXPECT_EQ(readers.at(1).ended(), Reason::kInternal);
    EXPECT_LE(held.held, 250'000u);
    EXPECT_EQ(first.ended(), Reason::kNone);
    readers.clear();
    EXPECT_LE(held.held, quiet);
    m.cut(true);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.served.size() == 1 && held.held == 0; }));
  }(mesh, unread, *backlog));
}

TEST(Tunnel, PassesAResetOnAfterUrgentData) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();
    EXPECT_TRUE(co_await answers(*connection));
    EXPECT_EQ(::send(connection->client.fd(), "!", 1, MSG_OOB), 1);
    connection->client.shutdown_write();
    EXPECT_EQ((co_await hear(connection->server)).end, Io::kEof);
    co_await net::sleep_for(m.loop(), 50ms);

    connection->client.reset();

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
    EXPECT_EQ(connection->client_end.reason, Reason::kPeerReset);
  }(mesh));
}

}  // namespace
}  // namespace culvert::hbone
