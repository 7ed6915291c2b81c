#include "common/net/stream.h"

#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "common/net/dial.h"
#include "common/net/listener.h"
#include "common/net/relay.h"
#include "common/net/timer.h"

namespace culvert::net {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// A connection over loopback: `client` dialled, `server` accepted.
struct Connection {
  Stream client;
  Stream server;
};

Task<Connection> connect(Loop& loop, Listener& listener) {
  auto client = co_await dial(loop, {.to = listener.local()});
  auto server = co_await listener.accept();
  EXPECT_TRUE(client.has_value() && server.has_value());
  co_return Connection{std::move(*client), std::move(*server)};
}

Task<std::string> read_all(Stream& stream, Io* end = nullptr) {
  std::string text;
  std::vector<std::byte> buffer(64 * 1024);
  for (;;) {
    const Io io = co_await stream.read(buffer);
    if (end != nullptr) *end = io;
    if (!io.ok()) co_return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), io.bytes);
  }
}

class StreamTest : public testing::TestWithParam<const char*> {
 protected:
  Listener listen() { return *Listener::open(loop, {.at = *Endpoint::parse(GetParam())}); }
  Loop loop;
};
INSTANTIATE_TEST_SUITE_P(Families, StreamTest, testing::Values("127.0.0.1:0", "[::1]:0"),
                         [](const auto& family) { return family.param[0] == '[' ? "v6" : "v4"; });

TEST_P(StreamTest, KnowsBothAddresses) {
  Listener listener = listen();

  const Connection connection = loop.run(connect(loop, listener));

  EXPECT_EQ(connection.client.peer(), listener.local());
  EXPECT_EQ(connection.server.local(), listener.local());
  EXPECT_EQ(connection.server.peer(), connection.client.local());
}

TEST_P(StreamTest, HalfClosesInEitherDirection) {
  Listener listener = listen();

  loop.run([](Loop& l, Listener& at) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    EXPECT_TRUE((co_await client.write_all(bytes("question"))).ok());
    client.shutdown_write();
    Io end;
    const std::string question = co_await read_all(server, &end);
    EXPECT_EQ(question, "question");
    EXPECT_EQ(end.state, Io::kEof);
    EXPECT_TRUE((co_await server.write_all(bytes("answer"))).ok());
    server.shutdown_write();
    const std::string answer = co_await read_all(client, &end);
    EXPECT_EQ(answer, "answer");
    EXPECT_EQ(end.state, Io::kEof);
  }(loop, listener));
}

TEST_P(StreamTest, ReportsAResetAfterTheLastByte) {
  Listener listener = listen();

  loop.run([](Loop& l, Listener& at) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    EXPECT_TRUE((co_await client.write_all(bytes("last words"))).ok());
    co_await client.reset_after_sending(1s);
    std::ignore = co_await server.broken();
    // A write that notices the reset first must not turn it into a clean end for the reader.
    EXPECT_EQ(server.try_write(bytes("x")).state, Io::kReset);
    Io end;
    const std::string words = co_await read_all(server, &end);
    EXPECT_EQ(words, "last words");
    EXPECT_EQ(end.state, Io::kReset);
  }(loop, listener));
}

TEST_P(StreamTest, CloseWakesTheWaiterWithAnError) {
  Listener listener = listen();

  loop.run([](Loop& l, Listener& at) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    Timer timer(l);
    timer.arm(2ms, [&stream = client] { stream.close(); });
    const Status woken = co_await client.readable();
    EXPECT_FALSE(woken.has_value());
    EXPECT_EQ(client.try_read({}).error, ECANCELED);
  }(loop, listener));
}

TEST_P(StreamTest, MovesALotUnderBackpressure) {
  Listener listener = listen();
  std::string sent(20'000'000, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 + i / 1000);

  loop.run([](Loop& l, Listener& at, const std::string& text) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    std::string received;
    co_await both(
        [](Stream& out, const std::string& all) -> Task<> {
          const Io io = co_await out.write_all(bytes(all));
          EXPECT_EQ(io.bytes, all.size());
          out.shutdown_write();
        }(client, text),
        [](Stream& in, std::string& all) -> Task<> { all = co_await read_all(in); }(server, received));
    EXPECT_TRUE(received == text);
  }(loop, listener, sent));
}

TEST(Dial, RefusedPortIsRefused) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  const Endpoint to = listener.local();
  listener.close();

  const auto stream = loop.run(dial(loop, {.to = to}));

  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().reason, Reason::kConnectRefused);
  EXPECT_EQ(stream.error().text, "dialling " + to.text() + ": Connection refused");
}

TEST(Dial, GivesUpAfterItsTimeout) {
  Loop loop;
  // A listener whose queue is full drops further SYNs.
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0"), .backlog = 0});
  std::vector<Stream> filling;
  for (int i = 0; i < 4; ++i)
    if (auto stream = loop.run(dial(loop, {.to = listener.local(), .timeout = 20ms}))) filling.push_back(std::move(*stream));

  const auto stream = loop.run(dial(loop, {.to = listener.local(), .timeout = 50ms}));

  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().reason, Reason::kConnectTimeout);
  EXPECT_EQ(stream.error().text, "dialling " + listener.local().text() + ": timed out after 0.05s");
}

TEST(Dial, SourceAddressWithoutPortIsChosenLate) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});

  const auto stream = loop.run(dial(loop, {.to = listener.local(), .from = *Endpoint::parse("127.1.2.3:0")}));

  ASSERT_TRUE(stream) << stream.error().text;
  EXPECT_EQ(stream->local().address.text(), "127.1.2.3");
  EXPECT_NE(stream->local().port, 0);
}

TEST(Dial, PortsOfOurOwnRangeSkipWhatIsTaken) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  Listener other = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  const DialOptions options = {.to = listener.local(), .from = *Endpoint::parse("127.1.2.3:0"), .ports = PortRange{20000, 20003}};
  std::vector<Stream> streams;

  for (int i = 0; i < 4; ++i) {
    auto stream = loop.run(dial(loop, options));
    ASSERT_TRUE(stream) << stream.error().text;
    EXPECT_GE(stream->local().port, 20000);
    EXPECT_LE(stream->local().port, 20003);
    streams.push_back(std::move(*stream));
  }
  EXPECT_FALSE(loop.run(dial(loop, options)));  // all four 4-tuples are in use
  DialOptions elsewhere = options;
  elsewhere.to = other.local();
  EXPECT_TRUE(loop.run(dial(loop, elsewhere)));  // the ports are free towards anybody else
}

TEST(Dial, WhatWeHaveRunOutOfIsOurOwnReason) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  const DialOptions options = {.to = listener.local(), .from = *Endpoint::parse("127.1.2.3:0"), .ports = PortRange{20010, 20010}};
  const auto only = loop.run(dial(loop, options));
  ASSERT_TRUE(only) << only.error().text;

  const auto second = loop.run(dial(loop, options));

  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().reason, Reason::kInternal) << second.error().text;
}

TEST(Dial, ALongRunOfTakenPortsIsPassedQuickly) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0"), .backlog = 4096});
  const DialOptions options = {.to = listener.local(), .from = *Endpoint::parse("127.1.2.3:0"), .ports = PortRange{21000, 21999}};
  std::vector<Stream> live;
  for (int i = 0; i < 500; ++i) live.push_back(*loop.run(dial(loop, options)));

  for (int i = 0; i < 600; ++i) {  // once around: the live ones stand in the way as one run
    auto brief = loop.run(dial(loop, options));
    ASSERT_TRUE(brief) << i << ": " << brief.error().text;
    brief->reset();
  }
}

TEST(Dial, GoesOnInMorePortsWhenItsOwnAreTaken) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0"), .backlog = 4096});
  const DialOptions options = {.to = listener.local(),
                               .from = *Endpoint::parse("127.1.2.3:0"),
                               .ports = PortRange{22000, 22015},
                               .more_ports = PortRange{22100, 22499}};
  std::vector<Stream> live;

  for (int i = 0; i < 200; ++i) {
    auto dialled = loop.run(dial(loop, options));
    ASSERT_TRUE(dialled) << i << ": " << dialled.error().text;
    live.push_back(*std::move(dialled));
  }

  const auto own = std::ranges::count_if(live, [](const Stream& each) { return each.local().port <= 22015; });
  EXPECT_GE(own, 12);
  EXPECT_LE(own, 16);
}

TEST(Listener, DualStackSeesIpv4PeersAsIpv4) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("[::]:0")});
  Endpoint to = *Endpoint::parse("127.0.0.1:0");
  to.port = listener.local().port;

  const auto client = loop.run(dial(loop, {.to = to}));
  const auto server = loop.run(listener.accept());

  ASSERT_TRUE(client && server);
  EXPECT_EQ(server->local(), to);
  EXPECT_EQ(server->peer(), client->local());
}

TEST_P(StreamTest, UrgentDataKeepsItsPlace) {
  Listener listener = listen();

  loop.run([](Loop& l, Listener& at) -> Task<> {
    auto [client, server] = co_await connect(l, at);
    EXPECT_EQ(::send(client.fd(), "12!", 3, MSG_OOB), 3);  // the last of them is the urgent one
    EXPECT_EQ(::send(client.fd(), "34", 2, 0), 2);
    client.shutdown_write();
    const std::string up = co_await read_all(server);
    EXPECT_EQ(up, "12!34");
    EXPECT_EQ(::send(server.fd(), "ab!", 3, MSG_OOB), 3);
    server.shutdown_write();
    const std::string down = co_await read_all(client);
    EXPECT_EQ(down, "ab!");
  }(loop, listener));
}

TEST(Listener, ReusePortSharesAPort) {
  Loop loop;
  Listener first = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0"), .reuse_port = true});
  auto second = Listener::open(loop, {.at = first.local(), .reuse_port = true});
  EXPECT_TRUE(second) << second.error().text;
  EXPECT_FALSE(Listener::open(loop, {.at = first.local()}));
}

TEST(Listener, CloseEndsTheWait) {
  Loop loop;
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  Timer timer(loop);
  timer.arm(2ms, [&] { listener.close(); });

  EXPECT_FALSE(loop.run(listener.accept()));
  EXPECT_TRUE(listener.closed());
}

// Two connections with a relay between their inner ends: near <-> (relay) <-> far.
struct Relay {
  Stream near, far;
  Stream inner_near, inner_far;
  Relayed relayed;
};

Task<> make(Loop& loop, Relay& out) {
  auto listener = *Listener::open(loop, {.at = *Endpoint::parse("127.0.0.1:0")});
  auto first = co_await connect(loop, listener);
  auto second = co_await connect(loop, listener);
  out.near = std::move(first.client);
  out.inner_near = std::move(first.server);
  out.inner_far = std::move(second.client);
  out.far = std::move(second.server);
}

TEST_P(StreamTest, ATornConnectionIsAResetAndAnEndedOneIsNot) {
  Listener listener = *Listener::open(loop, {.at = *Endpoint::parse(GetParam()), .reset_if_torn = true});

  loop.run([](Loop& l, Listener& at) -> Task<> {
    for (const bool ended : {false, true}) {
      auto client = co_await dial(l, {.to = at.local(), .reset_if_torn = true});
      auto server = co_await at.accept();
      auto other_client = co_await dial(l, {.to = at.local(), .reset_if_torn = true});
      auto other_server = co_await at.accept();
      const std::string much(300'000, 'x');  // waits in the sockets when the descriptors go
      EXPECT_TRUE(server->try_write(bytes(much)).bytes > 100'000U);
      EXPECT_TRUE(other_client->try_write(bytes("part")).ok());
      if (ended) {
        server->shutdown_write();
        other_client->shutdown_write();
      }
      // As the kernel does it when a process is killed.
      { const Fd accepted(server->release()), dialled(other_client->release()); }

      Io end;
      std::ignore = co_await read_all(*client, &end);
      EXPECT_EQ(end.state, ended ? Io::kEof : Io::kReset);
      std::ignore = co_await read_all(*other_server, &end);
      EXPECT_EQ(end.state, ended ? Io::kEof : Io::kReset);
    }
  }(loop, listener));
}

TEST(Relay, PassesBytesAndHalfClosesEachWay) {
  Loop loop;
  Relay relayed;
  loop.run(make(loop, relayed));

  loop.run(both(relay(relayed.inner_near, relayed.inner_far, relayed.relayed), [](Relay& r) -> Task<> {
    std::ignore = co_await r.near.write_all(bytes("question"));
    r.near.shutdown_write();
    Io end;
    const auto question = co_await read_all(r.far, &end);
    EXPECT_EQ(question, "question");
    EXPECT_EQ(end.state, Io::kEof);
    std::ignore = co_await r.far.write_all(bytes("long answer"));
    r.far.shutdown_write();
    const auto answer = co_await read_all(r.near, &end);
    EXPECT_EQ(answer, "long answer");
    EXPECT_EQ(end.state, Io::kEof);
  }(relayed)));

  EXPECT_EQ(relayed.relayed.a_to_b, 8U);
  EXPECT_EQ(relayed.relayed.b_to_a, 11U);
  EXPECT_EQ(relayed.relayed.reason, Reason::kNone);
}

TEST(Relay, AResetArrivesAsAResetAfterEveryByte) {
  Loop loop;
  Relay relayed;
  loop.run(make(loop, relayed));

  loop.run(both(relay(relayed.inner_near, relayed.inner_far, relayed.relayed), [](Relay& r) -> Task<> {
    const std::string many(300'000, 'x');
    std::ignore = co_await r.near.write_all(bytes(many));
    co_await r.near.reset_after_sending(1s);
    Io end;
    const auto received = co_await read_all(r.far, &end);
    EXPECT_EQ(received.size(), many.size());
    EXPECT_EQ(end.state, Io::kReset);
  }(relayed)));

  EXPECT_EQ(relayed.relayed.reason, Reason::kPeerReset);
}

TEST(Relay, AResetAfterAHalfCloseIsNoticedWithoutTraffic) {
  Loop loop;
  Relay relayed;
  loop.run(make(loop, relayed));

  loop.run(both(relay(relayed.inner_near, relayed.inner_far, relayed.relayed), [](Relay& r) -> Task<> {
    r.near.shutdown_write();
    const auto nothing = co_await read_all(r.far);
    EXPECT_EQ(nothing, "");
    r.near.reset();
    std::ignore = co_await r.far.broken();
    std::byte none;
    EXPECT_EQ(r.far.try_write({&none, 1}).state, Io::kReset);
  }(relayed)));

  EXPECT_EQ(relayed.relayed.reason, Reason::kPeerReset);
}

TEST(Relay, MovesALotPastASlowReader) {
  Loop loop;
  Relay relayed;
  loop.run(make(loop, relayed));
  const std::string many(8'000'000, 'y');

  loop.run(both(relay(relayed.inner_near, relayed.inner_far, relayed.relayed),
                both(
                    [](Relay& r, const std::string& all) -> Task<> {
                      std::ignore = co_await r.near.write_all(bytes(all));
                      r.near.shutdown_write();
                    }(relayed, many),
                    [](Loop& l, Relay& r, std::size_t expected) -> Task<> {
                      co_await sleep_for(l, 20ms);
                      const auto all = co_await read_all(r.far);
                      EXPECT_EQ(all.size(), expected);
                      r.far.shutdown_write();
                    }(loop, relayed, many.size()))));

  EXPECT_EQ(relayed.relayed.a_to_b, many.size());
}

// What a relay holds is what it took from the writer and could not give to the reader.
TEST(Relay, ManyStalledReadersCostLittleMemory) {
  constexpr int kMany = 200;
  constexpr std::size_t kSent = 200'000;
  constexpr int kSmallBuffer = 4096, kLargeBuffer = 2 * kSent;
  Loop loop;
  struct One {
    Stream writer, in, out, reader;
    Relayed relayed;
    Task<> task;
  };
  std::vector<One> all(kMany);
  const std::vector<std::byte> much(kSent);
  for (One& one : all) {
    std::tie(one.writer, one.in) = *Stream::pair(loop);
    std::tie(one.out, one.reader) = *Stream::pair(loop);
    ::setsockopt(one.writer.fd(), SOL_SOCKET, SO_SNDBUF, &kLargeBuffer, sizeof kLargeBuffer);
    ::setsockopt(one.out.fd(), SOL_SOCKET, SO_SNDBUF, &kSmallBuffer, sizeof kSmallBuffer);
    EXPECT_GT(one.writer.try_write(much).bytes, 100'000U);
    one.task = relay(one.in, one.out, one.relayed);
    one.task.start();
  }
  loop.run([](Loop& l) -> Task<> { co_await sleep_for(l, 20ms); }(loop));

  std::size_t taken = 0;
  for (One& one : all) {
    int waiting = 0;
    ASSERT_EQ(::ioctl(one.writer.fd(), SIOCOUTQ, &waiting), 0);
    taken += waiting == 0 ? kSent : 0;
  }
  EXPECT_LT(taken, 24'000'000U) << "of " << kMany * kSent;
  EXPECT_GT(taken, 10'000'000U);

  loop.run([](std::vector<One>& each, Loop& l) -> Task<> {  // and nothing of it is lost
    for (One& one : each) {
      one.writer.shutdown_write();
      Io end;
      const auto text = co_await read_all(one.reader, &end);
      EXPECT_GT(text.size(), 100'000U);
      EXPECT_EQ(end.state, Io::kEof);
      one.reader.close();
    }
    co_await sleep_for(l, 1ms);
  }(all, loop));
}

TEST(Relay, EndsWhenAStreamIsClosedFromElsewhere) {
  Loop loop;
  Relay relayed;
  loop.run(make(loop, relayed));
  Timer timer(loop);
  timer.arm(2ms, [&] { relayed.inner_near.close(); });

  loop.run(relay(relayed.inner_near, relayed.inner_far, relayed.relayed));

  EXPECT_FALSE(relayed.inner_far);
}

}  // namespace
}  // namespace culvert::net
