// How tunnels end: from outside, by draining, with peers that say nothing.

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "common/hbone/test_mesh.h"
#include "common/hbone/test_raw_client.h"
#include "common/hbone/tunnel.h"

namespace culvert::hbone {
namespace {

using namespace std::chrono_literals;
using Io = net::Io;

TEST(Tunnel, EndsAStreamFromOutsideWithItsReason) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();
    auto other = co_await m.connect();

    connection->server_stopper.stop(Reason::kPolicyChanged);

    EXPECT_EQ((co_await hear(connection->client)).end, Io::kReset);
    EXPECT_EQ((co_await hear(connection->server)).end, Io::kReset);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
    EXPECT_EQ(connection->server_end.reason, Reason::kPolicyChanged);
    EXPECT_EQ(connection->client_end.reason, Reason::kPeerReset);
    EXPECT_TRUE(co_await answers(*other));
    connection->server_stopper.stop(Reason::kPolicyChanged);  // harmless
  }(mesh));
}

TEST(Tunnel, EndsAStreamFromOutsideAlthoughItsReaderIsStuck) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();
    const std::vector<std::byte> block(1 << 20);
    for (int quiet = 0; quiet < 10;) {
      quiet = connection->client.try_write(block).ok() ? 0 : quiet + 1;
      co_await net::sleep_for(m.loop(), 1ms);
    }
    const auto began = net::Clock::now();

    connection->server_stopper.stop(Reason::kPodRemoved);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));

    EXPECT_LT(net::Clock::now() - began, 500ms);
    EXPECT_EQ(connection->server_end.reason, Reason::kPodRemoved);
  }(mesh));
}

TEST(Tunnel, PingsOnlyASilentPeerAndLosesOneThatDoesNotAnswer) {
  TestMesh mesh({.client = {.ping_after = 30ms, .ping_timeout = 60ms}});
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();
    co_await net::sleep_for(m.loop(), 300ms);
    EXPECT_TRUE(co_await answers(*connection));  // pings were answered

    m.freeze();

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->client_end.reason == Reason::kTunnelLost; }));
    EXPECT_EQ((co_await hear(connection->client)).end, Io::kReset);
  }(mesh));
}

TEST(Tunnel, EndsAPeerThatIsSilentAfterTls) {
  TestMesh mesh({.server = {.handshake_timeout = 100ms}});
  mesh.run([](TestMesh& m) -> net::Task<> {
    RawClient client;
    EXPECT_TRUE(co_await client.shake_hands(m));
    const auto began = net::Clock::now();

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.served.size() == 1; }));

    EXPECT_LT(net::Clock::now() - began, 1s);
    EXPECT_EQ(m.served.at(0).error().reason, Reason::kHttp2Failure) << m.served.at(0).error().text;
  }(mesh));
}

TEST(Tunnel, LosesAPeerThatSendsBytesAndNeverARecord) {
  TestMesh mesh({.server = {.ping_after = 30ms, .ping_timeout = 60ms}});
  mesh.run([](TestMesh& m) -> net::Task<> {
    RawClient client;
    EXPECT_TRUE(co_await client.shake_hands(m));
    EXPECT_TRUE(co_await client.say_hello());
    const std::array record = {std::byte{23}, std::byte{3}, std::byte{3}, std::byte{0x40},
                               std::byte{0}};  // 16 KiB, to come slowly
    std::ignore = co_await client.socket.write_all(record);

    const std::array<std::byte, 1> one{};
    for (int i = 0; i < 200 && m.served.empty(); ++i) {
      std::ignore = co_await client.socket.write_all(one);
      co_await net::sleep_for(m.loop(), 5ms);
    }

    EXPECT_EQ(m.served.size(), 1u);
  }(mesh));
}

// What it costs is counted by who waits for serve().
TEST(Tunnel, ServesAFailedHandshakeUntilItsSocketIsClosed) {
  for (const bool from_outside : {false, true}) {
    TestMesh mesh;
    mesh.run([](TestMesh& m, bool closed) -> net::Task<> {
      auto peer = need(co_await net::dial(m.loop(), {.to = m.server_address()}));
      std::ignore = co_await peer.write_all(octets("GET / HTTP/1.1\r\n\r\n"));
      EXPECT_EQ((co_await hear(peer)).end, Io::kEof) << "nothing more is said";
      co_await net::sleep_for(m.loop(), 30ms);
      EXPECT_TRUE(m.served.empty());

      if (closed) m.controls.at(0)->close(Reason::kInternal);
      else peer.close();

      EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.served.size() == 1; }));
      EXPECT_EQ(m.served.at(0).error().reason, Reason::kTlsFailure) << m.served.at(0).error().text;
    }(mesh, from_outside));
  }
}

TEST(Tunnel, DrainsOneThatNobodyUses) {
  TestMesh mesh({.server = {.ping_after = 20ms, .idle_close = 60ms}});
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();
    co_await net::sleep_for(m.loop(), 150ms);
    EXPECT_TRUE(co_await answers(*connection)) << "it was used";
    connection->client.shutdown_write();
    connection->server.shutdown_write();

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.served.size() == 1; }));

    EXPECT_TRUE(m.served.at(0)) << m.served.at(0).error().text;
    EXPECT_EQ(m.pool().counts().tunnels, 0u);
  }(mesh));
}

TEST(Tunnel, DrainsWithGoaway) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto old = co_await m.connect();
    m.controls.at(0)->drain();
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.pool().counts().tunnels == 0; }));

    auto next = co_await m.connect();
    EXPECT_TRUE(co_await answers(*old));
    EXPECT_TRUE(co_await answers(*next));
    EXPECT_EQ(m.controls.size(), 2u);
    old->client.shutdown_write();
    old->server.shutdown_write();

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.served.size() == 1; }));
    EXPECT_TRUE(m.served.at(0)) << m.served.at(0).error().text;
    EXPECT_EQ(old->client_end.reason, Reason::kNone);
  }(mesh));
}

TEST(Tunnel, ServesWhoWasShakingHandsWhenTheServerBeganToDrain) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    std::optional<Result<TunnelStream>> opened;
    m.freeze();
    m.loop().spawn([](TestMesh& in, std::optional<Result<TunnelStream>>& out) -> net::Task<> {
      out = co_await in.pool().open(in.key(), TestMesh::request());
    }(m, opened));
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.controls.size() == 1; }));

    m.controls.at(0)->drain();
    m.thaw();

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return opened.has_value(); }));
    EXPECT_TRUE(opened && *opened) << (opened ? opened->error().text : "no answer");
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.pool().counts().tunnels == 0; })) << "and nobody else after it";
  }(mesh));
}

TEST(Tunnel, ResetsBothSidesWhenTheServerClosesAtOnce) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto connection = co_await m.connect();

    m.controls.at(0)->close(Reason::kPodRemoved);

    EXPECT_EQ((co_await hear(connection->client)).end, Io::kReset);
    EXPECT_EQ((co_await hear(connection->server)).end, Io::kReset);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return connection->done == 2; }));
    EXPECT_EQ(connection->server_end.reason, Reason::kPodRemoved);
  }(mesh));
}

TEST(Tunnel, GivesUpOnAPeerThatDoesNotShakeHands) {
  TestMesh mesh({.client = {.handshake_timeout = 50ms}});
  mesh.freeze();
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto stream = co_await m.pool().open(m.key(), m.request());

    EXPECT_FALSE(stream);
    EXPECT_EQ(stream.error().reason, Reason::kTlsFailure);
    EXPECT_NE(stream.error().text.find("no end after 50ms"), std::string::npos) << stream.error().text;
  }(mesh));
}

}  // namespace
}  // namespace culvert::hbone
