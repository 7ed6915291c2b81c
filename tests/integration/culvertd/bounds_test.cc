// Who may call, from where, and how often: what a caller can cost the server by its connections and calls, every bound that its header promises.
#include "tests/integration/culvertd/bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/net/timer.h"

namespace culvert::test {
namespace {

using namespace std::chrono_literals;
using namespace culvert::rpc;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(Bounds, WhoDoesNotSpeakTlsIsLetGo) {
  start();

  const auto answer = say_raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

  ASSERT_TRUE(answer);
  EXPECT_THAT(*answer, testing::Not(HasSubstr("HTTP")));
  EXPECT_THAT(calls, IsEmpty());
}

TEST_F(Bounds, AHandshakeHasAnEnd) {
  options.handshake_timeout = 300ms;
  start();
  const auto before = std::chrono::steady_clock::now();

  EXPECT_TRUE(say_raw(""));

  EXPECT_GE(std::chrono::steady_clock::now() - before, 250ms);
}

TEST_F(Bounds, WhoProvesNothingIsLetGoHoweverMuchHeCalls) {
  options.connections.proof = 300ms;
  proves = false;
  start();
  const Channel one = channel();
  Heard heard;
  const auto stream = begun(one, heard);

  EXPECT_TRUE(until([&] { return heard.ended.has_value(); }));

  EXPECT_EQ(server->figures().turned_away[static_cast<std::size_t>(Gate::Reason::kSilent)], 1U);
}

TEST_F(Bounds, WhoIsProvedMayStay) {
  options.connections.proof = 300ms;
  start();
  const Channel one = channel();
  Heard heard, other;
  const auto stream = begun(one, heard);
  proves = false;
  EXPECT_TRUE(say_raw("")) << "and a stranger may not";

  EXPECT_FALSE(heard.ended);
  EXPECT_TRUE(begun(one, other)) << "on the same connection";
  EXPECT_TRUE(until([&] { return server->figures().proved == 1; }));
}

TEST_F(Bounds, AConnectionThatHasEndedIsNotCounted) {
  start();
  {
    const Channel one = channel();
    Heard heard;
    const auto stream = begun(one, heard);
    EXPECT_TRUE(until([&] { return server->figures().proved == 1; }));
  }
  say_raw("not TLS");

  EXPECT_TRUE(until([&] { return server->figures().proved + server->figures().unproved == 0; }));
  EXPECT_TRUE(until([&] { return server->calls() == 0; }));
}

// Who has many things to ask begins with all of them.
TEST_F(Bounds, UnprovedCallsBeyondSomeWaitUntilOneIsProved) {
  options.connections.unproved_calls = 2;
  proves = false;
  start();
  const Channel one = channel();
  Heard a, b, c;
  const auto first = begun(one, a);
  const auto second = begun(one, b);
  const Stream third(loop, one, "/a.B/C", {}, c.events());
  ASSERT_TRUE(until([&] { return server->calls() == 3; }));
  EXPECT_THAT(calls, SizeIs(2)) << "nobody has heard of it";

  calls.front()->proved("a test");

  EXPECT_TRUE(until([&] { return calls.size() == 3; }));
  EXPECT_FALSE(c.ended);
}

TEST_F(Bounds, AnUnprovedCallThatEndsGivesItsTurnToTheNext) {
  options.connections.unproved_calls = 1;
  proves = false;
  start();
  const Channel one = channel();
  Heard a, b, c;
  const auto first = begun(one, a);
  const Stream second(loop, one, "/a.B/second", {}, b.events());
  auto third = std::make_unique<Stream>(loop, one, "/a.B/third", Metadata{}, c.events());
  ASSERT_TRUE(until([&] { return server->calls() == 3; }));
  third.reset();
  ASSERT_TRUE(until([&] { return server->calls() == 2; })) << "one that is taken back while it waits";

  calls.front()->finish({16, "who are you"});

  EXPECT_TRUE(until([&] { return calls.size() == 2; }));
  EXPECT_EQ(calls.back()->path(), "/a.B/second");
}

TEST_F(Bounds, CallsThatWaitEndWithTheServer) {
  options.connections.unproved_calls = 1;
  proves = false;
  start();
  const Channel one = channel();
  Heard a, b;
  const auto first = begun(one, a);
  const Stream second(loop, one, "/a.B/C", {}, b.events());
  ASSERT_TRUE(until([&] { return server->calls() == 2; }));

  server.reset();

  EXPECT_TRUE(until([&] { return a.ended && b.ended; }));
}

// [::] hears IPv4 as well; gRPC writes an address of IPv6 in another way than we do.
struct BoundsByAddress : Bounds, testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(BoundsByAddress, AreThoseOfTheConnectionThatACallCameOn) {
  const auto& [at, from] = GetParam();
  options.connections.unproved_calls = 1;
  options.connections.proof = 1s;
  proves = false;
  start(at);
  const Channel one = channel(from), other = channel(from);
  Heard a, b, c;
  const auto first = begun(one, a);
  const Stream second(loop, one, "/a.B/C", {}, b.events());
  ASSERT_TRUE(until([&] { return server->calls() == 2; }));
  EXPECT_THAT(calls, SizeIs(1)) << "the other waits";
  EXPECT_EQ(server->figures().unproved, 1U);

  calls.front()->proved("a test");
  const auto third = begun(other, c);

  EXPECT_TRUE(until([&] { return c.ended.has_value(); })) << "a stranger's time is over";
  EXPECT_FALSE(a.ended || b.ended) << "and not that of one who is proved";
  EXPECT_THAT(calls, SizeIs(3));
  EXPECT_EQ(server->figures().turned_away[static_cast<std::size_t>(Gate::Reason::kSilent)], 1U);
}

INSTANTIATE_TEST_SUITE_P(Of, BoundsByAddress,
                         testing::Values(std::pair("[::1]", "[::1]"), std::pair("[::]", "[::1]"),
                                         std::pair("[::]", "127.0.0.1")));

TEST_F(Bounds, UnprovedCallsAreBoundedBeforeAnybodyHearsOfThem) {
  options.connections.unproved_calls_of_address = 2;
  proves = false;
  start();
  const Channel one = channel();
  Heard a, b, c;
  const auto first = begun(one, a);
  const auto second = begun(one, b);

  const Stream third(loop, one, "/a.B/C", {}, c.events());
  ASSERT_TRUE(until([&] { return c.ended.has_value(); }));

  EXPECT_EQ(c.ended->code, kResourceExhausted);
  EXPECT_THAT(calls, SizeIs(2));
  calls.front()->proved("a test");
  Heard d;
  EXPECT_TRUE(begun(one, d));
}

TEST_F(Bounds, CallsAreBoundedInAll) {
  options.max_calls = 2;
  start();
  const Channel one = channel();
  Heard a, b, c, d;
  const auto first = begun(one, a);
  auto second = begun(one, b);

  const Stream third(loop, one, "/a.B/C", {}, c.events());
  ASSERT_TRUE(until([&] { return c.ended.has_value(); }));
  EXPECT_EQ(c.ended->code, kResourceExhausted);
  EXPECT_EQ(c.ended->text, "too many calls");

  second.reset();
  calls.clear();
  ASSERT_TRUE(until([&] { return server->calls() == 1; }));
  EXPECT_TRUE(begun(one, d)) << "once there is room";
}

TEST_F(Bounds, StreamsOfAConnectionAreBounded) {
  options.connections.calls = 2;
  start();
  const Channel one = channel();
  Heard a, b, c;
  auto first = begun(one, a);
  const auto second = begun(one, b);

  const Stream third(loop, one, "/a.B/C", {}, c.events());
  EXPECT_FALSE([&] {
    const auto end = net::Clock::now() + 200ms;
    return until([&] { return calls.size() > 2 || net::Clock::now() > end; }) && calls.size() > 2;
  }()) << "it waits for its turn";
  first.reset();

  EXPECT_TRUE(until([&] { return calls.size() == 3; }));
  EXPECT_FALSE(c.ended);
}

}  // namespace
}  // namespace culvert::test
