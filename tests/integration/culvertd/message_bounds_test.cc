// What a caller says once it is let in, and what it can cost the server by that: messages, frames, memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/net/timer.h"
#include "tests/integration/culvertd/bounds.h"
#include "tests/integration/culvertd/raw_client.h"

namespace culvert::test {
namespace {

using namespace std::chrono_literals;
using namespace culvert::rpc;
using testing::SizeIs;

struct MessageBounds : Bounds {};

TEST_F(MessageBounds, AMessageOverTheLimitEndsItsCall) {
  options.max_message_bytes = 1000;
  start();
  const Channel one = channel();
  Heard heard, other;
  const auto stream = begun(one, heard);
  const auto beside = begun(one, other);

  stream->send(std::string(2000, 'x'));

  ASSERT_TRUE(until([&] { return heard.ended.has_value(); }));
  EXPECT_EQ(heard.ended->code, kResourceExhausted) << heard.ended->describe();
  EXPECT_FALSE(other.ended) << "nobody else's";
}

// Of a message that would be all the memory there is, the first bytes and no more.
TEST_F(MessageBounds, WhoKeepsMemoryThatOthersWaitForIsEnded) {
  options.max_memory = 1 << 20;
  options.message_timeout = 500ms;
  start();
  RawClient slow(server->port(), authority.certificate().pem());
  const std::uint32_t stream = slow.next();
  slow.frame(RawClient::kHeaders, RawClient::kEndHeaders, stream, RawClient::block(RawClient::request("/a.B/C", "")));
  slow.frame(RawClient::kData, 0, stream, RawClient::message(std::string(1 << 20, 'x')).substr(0, 100));
  ASSERT_TRUE(slow.flush());
  ASSERT_TRUE(until([&] { return calls.size() == 1; }));
  std::string got;
  calls.front()->accept({});
  calls.clear();
  const Channel one = channel();
  Heard heard;
  const auto waiting = begun(one, heard);
  calls.back()->accept({.on_message = [&](std::string message) { got = std::move(message); }, .on_sent = {}, .on_end = {}});

  waiting->send(std::string(1 << 20, 'y'));

  EXPECT_TRUE(until([&] { return got.size() == 1 << 20; }));
  EXPECT_FALSE(heard.ended);
  EXPECT_TRUE(until([&] { return server->calls() == 1; })) << "the slow one's has ended";
}

// A peer that broke HTTP/2 and does not go: it counts as long as it is there, and that is not long.
TEST_F(MessageBounds, WhoBrokeHttp2IsCountedUntilHeIsCut) {
  start();
  RawClient client(server->port(), authority.certificate().pem());
  client.frame(RawClient::kHeaders, RawClient::kEndHeaders, client.next(), RawClient::block(RawClient::request("/a.B/C", "")));
  client.frame(static_cast<RawClient::Type>(8), 0, 0, std::string(4, '\0'));  // WINDOW_UPDATE by nothing
  ASSERT_TRUE(client.push());
  const auto broken = [&] { return server->figures().turned_away[static_cast<std::size_t>(Gate::Reason::kBroken)]; };
  ASSERT_TRUE(until([&] { return broken() == 1; }));
  EXPECT_EQ(server->figures().proved + server->figures().unproved, 1U);

  const auto end = net::Clock::now() + 10s;
  while (server->figures().proved + server->figures().unproved != 0 && net::Clock::now() < end) {
    client.frame(RawClient::kPing, 0, 0, "12345678");
    client.push();
    const auto soon = net::Clock::now() + 100ms;
    until([&] { return net::Clock::now() > soon; });
  }

  EXPECT_EQ(server->figures().proved + server->figures().unproved, 0U);
  EXPECT_TRUE(until([&] { return server->calls() == 0; }));
}

// Streams that the server has to reset cost as much as streams that their caller resets.
TEST_F(MessageBounds, WhoHasHisStreamsResetIsSentAway) {
  start();
  RawClient client(server->port(), authority.certificate().pem());
  for (int i = 0; i < 1000 && client.alive(); ++i) {
    const std::uint32_t stream = client.next();
    client.frame(RawClient::kHeaders, RawClient::kEndHeaders, stream, RawClient::block(RawClient::request("/a.B/C", "")));
    client.frame(static_cast<RawClient::Type>(8), 0, stream, "\x7f\xff\xff\xff");  // a window past the most there can be
    client.flush();
  }

  EXPECT_TRUE(client.ends());
  EXPECT_TRUE(until([&] { return server->calls() == 0; }));
  EXPECT_LE(calls.size(), 300U);
}

TEST_F(MessageBounds, AMessageThatIsNotWholeIsNoGoodEnd) {
  start();
  RawClient client(server->port(), authority.certificate().pem());
  const std::uint32_t stream = client.next();
  client.frame(RawClient::kHeaders, RawClient::kEndHeaders, stream, RawClient::block(RawClient::request("/a.B/C", "")));
  client.listen(stream);
  client.frame(RawClient::kData, RawClient::kEndStream, stream, RawClient::message("all of it").substr(0, 8));
  ASSERT_TRUE(client.push());

  ASSERT_TRUE(until([&] { return server->calls() == 0 && !calls.empty(); }));
  EXPECT_TRUE(until([&] { return client.heard(stream).status == 13; }));
}

TEST_F(MessageBounds, ACompressedMessageEndsItsCall) {
  start();
  RawClient client(server->port(), authority.certificate().pem());
  const std::uint32_t stream = client.next();
  client.frame(RawClient::kHeaders, RawClient::kEndHeaders, stream, RawClient::block(RawClient::request("/a.B/C", "")));
  client.frame(RawClient::kData, 0, stream, "\1" + RawClient::message("x").substr(1));
  ASSERT_TRUE(client.flush());

  ASSERT_TRUE(until([&] { return calls.size() == 1; }));
  EXPECT_TRUE(until([&] { return server->calls() == 0; }));
}

// Whoever asks one thing has sent all that he will when he is answered.
TEST_F(MessageBounds, ACallMayBeAnsweredLongAfterItsCallerHasSentAll) {
  options.address = "127.0.0.1:0";
  net::Timer later(loop);
  server = *CallServer::start(loop, options, [&](const CallRef& call) {
    call->accept(
        {.on_message = [&later,
                        call](const std::string& asked) { later.arm(200ms, [call, asked] { call->answer("to " + asked); }); },
         .on_sent = {},
         .on_end = {},
         .one_message = true});
  });
  std::optional<Ended> ended;
  std::string answer;
  const Channel one = channel();

  const Unary call(loop, one, "/a.B/C", {}, "this", 10s, [&](Ended how, std::string message) {
    ended = std::move(how);
    answer = std::move(message);
  });

  ASSERT_TRUE(until([&] { return ended.has_value(); }));
  EXPECT_TRUE(ended->ok()) << ended->describe();
  EXPECT_EQ(answer, "to this");
}

TEST_F(MessageBounds, MetadataOverTheLimitNeverReachesUs) {
  start();
  const Channel one = channel();
  Heard good, heard;
  const auto connected = begun(one, good);

  const Stream stream(loop, one, "/a.B/C", {{"authorization", std::string(64 << 10, 'x')}}, heard.events());

  ASSERT_TRUE(until([&] { return heard.ended.has_value(); }));
  EXPECT_FALSE(heard.ended->ok());
  EXPECT_THAT(calls, SizeIs(1));  // its connection may go with it
}

}  // namespace
}  // namespace culvert::test
