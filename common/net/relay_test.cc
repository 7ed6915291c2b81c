#include "common/net/relay.h"

#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "common/net/test_connection.h"
#include "common/net/timer.h"

namespace culvert::net {
namespace {

using namespace std::chrono_literals;

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
