#include "common/hbone/pool.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <tuple>

#include "common/hbone/test_mesh.h"

namespace culvert::hbone {
namespace {

using namespace std::chrono_literals;

// A server that says back what it hears.
net::Task<> echo(Incoming incoming) {
  TunnelStream stream = incoming.accept("k8s.cluster.name=s");
  std::vector<std::byte> buffer(4096);
  while (true) {
    const net::Io io = co_await stream.read(buffer);
    if (!io.ok()) break;
    std::ignore = co_await stream.write_all(std::span(buffer).first(io.bytes));
  }
  stream.shutdown_write();
}

net::Task<bool> answers(TunnelStream& stream) {
  std::vector<std::byte> buffer(16);
  std::ignore = co_await stream.write_all(octets("ping"));
  const net::Io io = co_await stream.read(buffer);
  co_return io.bytes == 4;
}

// Opens `count` streams at once and waits for all.
struct Many {
  std::vector<Result<TunnelStream>> streams;
  net::Task<> open(TestMesh& mesh, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) mesh.loop().spawn(one(mesh, streams));
    co_await soon(mesh.loop(), [&] { return streams.size() == count; });
  }
  static net::Task<> one(TestMesh& mesh, std::vector<Result<TunnelStream>>& into) {
    auto stream = co_await mesh.pool().open(mesh.key(), mesh.request());
    into.push_back(std::move(stream));
  }
};

TEST(Pool, SharesOneTunnelAmongStreams) {
  TestMesh mesh;
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    Many many;
    co_await many.open(m, 20);

    for (auto& stream : many.streams) {
      EXPECT_TRUE(stream);
      EXPECT_TRUE(co_await answers(*stream));
      EXPECT_EQ(stream->response().baggage, "k8s.cluster.name=s");
      EXPECT_EQ(stream->peer_identity(), workload("server"));
    }
    EXPECT_EQ(m.pool().counts().tunnels, 1u);
    EXPECT_EQ(m.pool().counts().streams, 20u);
  }(mesh));
}

TEST(Pool, OpensAnotherTunnelWhenOneIsFull) {
  TestMesh mesh;
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    Many many;
    co_await many.open(m, 300);

    EXPECT_EQ(many.streams.size(), 300u);
    for (auto& stream : many.streams) {
      EXPECT_TRUE(stream);
      EXPECT_TRUE(co_await answers(*stream));
    }
    EXPECT_EQ(m.pool().counts().tunnels, 3u);
    EXPECT_EQ(m.pool().counts().connects, 3u);
    many.streams.clear();
    EXPECT_EQ(m.pool().counts().streams, 0u);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return (many.streams.clear(), m.pool().counts().tunnels == 3u); }));
  }(mesh));
}

TEST(Pool, SendsARefusedRequestAgainOnAFreshTunnel) {
  TestMesh mesh({.server = {.engine = {.max_streams = 1}}});
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    Many many;
    co_await many.open(m, 2);  // both leave before the server's SETTINGS arrive

    EXPECT_EQ(many.streams.size(), 2u);
    for (auto& stream : many.streams) EXPECT_TRUE(stream) << stream.error().text;
    EXPECT_EQ(m.pool().counts().retries, 1u);
    EXPECT_EQ(m.pool().counts().tunnels, 2u);
  }(mesh));
}

TEST(Pool, TellsTheAnswersStatus) {
  for (const int status : {400, 401, 503}) {
    TestMesh mesh;
    mesh.handler = [status](Incoming incoming) -> net::Task<> {
      incoming.refuse(status);
      co_return;
    };
    mesh.run([](TestMesh& m, int expected) -> net::Task<> {
      const auto stream = co_await m.pool().open(m.key(), m.request());

      EXPECT_FALSE(stream);
      EXPECT_EQ(stream.error().reason, Reason::kHttpStatus);
      EXPECT_NE(stream.error().text.find(std::to_string(expected)), std::string::npos) << stream.error().text;
      EXPECT_EQ(m.pool().counts().streams, 0u);
      EXPECT_EQ(m.pool().counts().tunnels, 1u);
    }(mesh, status));
  }
}

TEST(Pool, GivesUpOnAnAnswerThatDoesNotCome) {
  TestMesh mesh({.answer_timeout = 40ms});
  int asked = 0;
  mesh.handler = [&](Incoming incoming) -> net::Task<> {
    if (++asked == 1) {
      while (!incoming.gone()) co_await net::sleep_for(mesh.loop(), 5ms);
    } else {
      co_await net::sleep_for(mesh.loop(), 5ms);
      TunnelStream stream = incoming.accept({});
      co_await net::sleep_for(mesh.loop(), 100ms);
    }
  };
  mesh.run([](TestMesh& m) -> net::Task<> {
    const auto late = co_await m.pool().open(m.key(), m.request());
    const auto in_time = co_await m.pool().open(m.key(), m.request());

    EXPECT_FALSE(late);
    EXPECT_EQ(late.error().reason, Reason::kConnectTimeout) << late.error().text;
    EXPECT_TRUE(in_time) << in_time.error().text;
  }(mesh));
}

TEST(Pool, HandsTheRequestOver) {
  TestMesh mesh;
  std::optional<ConnectRequest> seen;
  std::optional<Identity> peer;
  mesh.handler = [&](Incoming incoming) -> net::Task<> {
    seen = incoming.request();
    peer = incoming.peer_identity();
    co_return;  // unanswered: 503
  };
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto request = m.request("server.default.svc.cluster.local:8080");
    request.forwarded.source = *Endpoint::parse("10.0.0.9:1234");
    request.traceparent = make_traceparent();

    const auto stream = co_await m.pool().open(m.key(), request);

    EXPECT_NE(stream.error().text.find("503"), std::string::npos);
  }(mesh));
  EXPECT_EQ(seen->authority.host, "server.default.svc.cluster.local");
  EXPECT_EQ(seen->forwarded.source->text(), "10.0.0.9:1234");
  EXPECT_EQ(seen->traceparent.size(), 55u);
  EXPECT_EQ(peer, workload("client"));
}

TEST(Pool, RefusesAnUnexpectedIdentity) {
  TestMesh mesh;
  mesh.handler = echo;
  mesh.expect = {workload("somebody-else")};
  mesh.run([](TestMesh& m) -> net::Task<> {
    const auto stream = co_await m.pool().open(m.key(), m.request());

    EXPECT_FALSE(stream);
    EXPECT_EQ(stream.error().reason, Reason::kTlsFailure);
    EXPECT_NE(stream.error().text.find("somebody-else"), std::string::npos) << stream.error().text;
    EXPECT_EQ(m.pool().counts().failed, 1u);
    EXPECT_EQ(m.pool().counts().tunnels, 0u);
  }(mesh));
}

TEST(Pool, IsRefusedWithACertificateOfAnotherRoot) {
  TestMesh mesh;
  TestMesh stranger;
  mesh.handler = echo;
  mesh.dial_with = need(tls::Context::mesh(
      need(need(tls::Authority::make_root("cluster.local")).make_workload(workload("client"), 1h)), mesh.roots()));
  mesh.run([](TestMesh& m) -> net::Task<> {
    const auto stream = co_await m.pool().open(m.key(), m.request());

    EXPECT_FALSE(stream);
    EXPECT_EQ(stream.error().reason, Reason::kTlsFailure) << stream.error().text;
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.served.size() == 1; }));
    EXPECT_EQ(m.served.at(0).error().reason, Reason::kTlsFailure);
  }(mesh));
}

TEST(Pool, FailsAllWaitersWhenNobodyListens) {
  TestMesh mesh;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto key = m.key();
    key.to = *Endpoint::parse("127.0.0.1:1");

    const auto stream = co_await m.pool().open(key, m.request());

    EXPECT_EQ(stream.error().reason, Reason::kConnectRefused) << stream.error().text;
    EXPECT_EQ(m.pool().counts().connects, 1u);
  }(mesh));
}

// A place on a tunnel that another stream leaves is as good as a tunnel of one's own.
TEST(Pool, GivesARoomThatBecomesFreeToWhoWaitsForAConnect) {
  TestMesh mesh({.client = {.engine = {.pool_streams = 1}, .handshake_timeout = 1s}});
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    std::optional<TunnelStream> first = need(co_await m.pool().open(m.key(), m.request()));
    EXPECT_TRUE(co_await answers(*first));
    m.hold_new();  // whoever dials from here on waits for a handshake that never ends
    Many many;
    const auto began = net::Clock::now();
    m.loop().spawn(many.open(m, 1));
    co_await net::sleep_for(m.loop(), 20ms);

    first.reset();
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return many.streams.size() == 1; }));

    EXPECT_LT(net::Clock::now() - began, 400ms);
    EXPECT_TRUE(many.streams.at(0)) << many.streams.at(0).error().text;
    EXPECT_EQ(m.pool().counts().tunnels, 1u);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.pool().counts().failed == 1; }));
    EXPECT_TRUE(co_await answers(*many.streams.at(0)));
  }(mesh));
}

TEST(Pool, LooksForRoomBeforeItTellsOfAFailedConnect) {
  TestMesh mesh({.client = {.engine = {.pool_streams = 1}, .handshake_timeout = 1s}});
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    std::optional<TunnelStream> first = need(co_await m.pool().open(m.key(), m.request()));
    m.hold_new();
    Many many;
    m.loop().spawn(many.open(m, 2));
    co_await net::sleep_for(m.loop(), 50ms);

    first.reset();
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return many.streams.size() == 2; }));

    EXPECT_NE(many.streams.at(0).has_value(), many.streams.at(1).has_value()) << "one has the place, the other the error";
  }(mesh));
}

TEST(Pool, EndsAnOpenAtOnceWhenItsPodLeaves) {
  TestMesh mesh;
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    m.hold_new();
    Many many;
    m.loop().spawn(many.open(m, 1));
    co_await net::sleep_for(m.loop(), 20ms);
    const auto began = net::Clock::now();

    m.pool().close_if([](const PoolKey&) { return true; }, Reason::kPodRemoved);
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return many.streams.size() == 1; }));

    EXPECT_LT(net::Clock::now() - began, 1s);
    EXPECT_EQ(many.streams.at(0).error().reason, Reason::kPodRemoved);
  }(mesh));
}

TEST(Pool, SuspectsANetworkPolicyWhenThePortIsSilent) {
  // A listener whose queue is full drops SYNs, as a NetworkPolicy would.
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{.sin_family = AF_INET, .sin_port = htons(15008), .sin_addr = {htonl(0x7f0a0b0c)}, .sin_zero = {}};
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  std::vector<Fd> fill;
  for (int i = 0; i < 4; ++i) {
    fill.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    std::ignore = ::connect(fill.back().get(), reinterpret_cast<sockaddr*>(&at), sizeof at);
  }
  TestMesh mesh({.connect_timeout = 100ms});
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto key = m.key();
    key.to = *Endpoint::parse("127.10.11.12:15008");

    const auto stream = co_await m.pool().open(key, m.request());

    EXPECT_FALSE(stream);
    EXPECT_EQ(stream.error().reason, Reason::kNetworkPolicy) << stream.error().text;
    EXPECT_NE(stream.error().text.find("NetworkPolicy"), std::string::npos);
  }(mesh));
}

TEST(Pool, ClosesATunnelThatStaysIdle) {
  TestMesh mesh({.idle_close = 30ms});
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    {
      auto stream = need(co_await m.pool().open(m.key(), m.request()));
      co_await net::sleep_for(m.loop(), 60ms);
      EXPECT_EQ(m.pool().counts().tunnels, 1u);
    }

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return m.served.size() == 1; }));

    EXPECT_TRUE(m.served.at(0)) << m.served.at(0).error().text;
    EXPECT_EQ(m.pool().counts().tunnels, 0u);
  }(mesh));
}

TEST(Pool, EndsTheTunnelsOfARemovedPod) {
  TestMesh mesh;
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto stream = need(co_await m.pool().open(m.key(), m.request()));

    m.pool().close_if([](const PoolKey& key) { return key.source == workload("client"); }, Reason::kPodRemoved);

    std::vector<std::byte> buffer(16);
    EXPECT_EQ((co_await stream.read(buffer)).state, net::Io::kReset);
    EXPECT_EQ(stream.ended(), Reason::kPodRemoved);
    EXPECT_EQ(m.pool().counts().tunnels, 0u);
  }(mesh));
}

TEST(Pool, RetiresTunnelsWithoutHarmToTheirStreams) {
  TestMesh mesh;
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    auto old = need(co_await m.pool().open(m.key(), m.request()));

    m.pool().retire_if([](const PoolKey&) { return true; });
    auto next = need(co_await m.pool().open(m.key(), m.request()));

    EXPECT_TRUE(co_await answers(old));
    EXPECT_TRUE(co_await answers(next));
    EXPECT_EQ(m.controls.size(), 2u);
  }(mesh));
}

TEST(Pool, ATunnelThatIsRetiredWhileItIsDialledIsNotUsed) {
  TestMesh mesh;
  mesh.handler = echo;
  mesh.run([](TestMesh& m) -> net::Task<> {
    std::optional<Result<TunnelStream>> opened;
    m.loop().spawn([](TestMesh& on, std::optional<Result<TunnelStream>>& out) -> net::Task<> {
      out.emplace(co_await on.pool().open(on.key(), on.request()));
    }(m, opened));
    EXPECT_EQ(m.pool().counts().connects, 1u);

    m.pool().retire_if([](const PoolKey&) { return true; });

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return opened.has_value(); }));
    TunnelStream stream = need(std::move(*opened));
    EXPECT_TRUE(co_await answers(stream));
    EXPECT_EQ(m.pool().counts().connects, 2u);
    EXPECT_EQ(m.pool().counts().tunnels, 1u);
  }(mesh));
}

TEST(Pool, TellsTheServerThatTheClientGaveUp) {
  TestMesh mesh;
  bool asked = false;
  bool gone = false;
  mesh.handler = [&](Incoming incoming) -> net::Task<> {
    asked = true;
    for (int i = 0; i < 200 && !incoming.gone(); ++i) co_await net::sleep_for(mesh.loop(), 5ms);
    gone = incoming.gone();
  };
  mesh.run([](TestMesh& m, bool& reached, bool& noticed) -> net::Task<> {
    std::optional<net::Task<Result<TunnelStream>>> opening = m.pool().open(m.key(), m.request());
    opening->start();
    EXPECT_TRUE(co_await soon(m.loop(), [&] { return reached; }));

    opening.reset();  // the application went away while we waited

    EXPECT_TRUE(co_await soon(m.loop(), [&] { return noticed; }));
  }(mesh, asked, gone));
}

}  // namespace
}  // namespace culvert::hbone
