// What a caller can cost the gRPC server: every bound that its header promises.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "common/base/fd.h"
#include "common/net/timer.h"
#include "common/rpc/server.h"
#include "common/tls/authority.h"
#include "tests/integration/culvertd/raw_client.h"

namespace culvert::test {
namespace {

using namespace std::chrono_literals;
using namespace culvert::rpc;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int kResourceExhausted = 8;

struct Heard {
  std::optional<Ended> ended;
  Stream::Events events() {
    return {.on_message = [](const std::string&) {}, .on_end = [this](Ended how) { ended = std::move(how); }};
  }
};

struct Bounds : testing::Test {
  Bounds() {
    char pattern[] = "/tmp/culvert-server-XXXXXX";
    folder = ::mkdtemp(pattern);
    const std::vector<std::string> names = {"localhost"};
    const auto pair = authority.make_server(names, std::vector{IpAddress::v4(0x7f000001)}, 1h);
    std::ofstream(folder + "/cert.pem") << pair->leaf().pem();
    std::ofstream(folder + "/key.pem") << pair->key().private_pem();
  }
  ~Bounds() override { std::filesystem::remove_all(folder); }

  void start(const std::string& address = "127.0.0.1") {
    options.address = address + ":0";
    options.certificate_file = folder + "/cert.pem";
    options.key_file = folder + "/key.pem";
    server = *CallServer::start(loop, options, [this](const CallRef& call) {
      calls.push_back(call);
      if (proves) call->proved("a test");
      call->accept({});
    });
  }
  Channel channel(const std::string& address = "127.0.0.1") {
    return Channel({.address = address + ":" + std::to_string(server->port()),
                    .roots_pem = authority.certificate().pem(),
                    .name = "localhost"});
  }
  // Runs the loop until `done`, for ten seconds at most.
  bool until(const std::function<bool()>& done) {
    loop.run([](net::Loop* on, const std::function<bool()>* enough) -> net::Task<> {
      const auto end = net::Clock::now() + 10s;
      while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(*on, 2ms);
    }(&loop, &done));
    return done();
  }
  // A stream that the server has begun. One that gRPC could not connect is tried again.
  std::unique_ptr<Stream> begun(const Channel& on, Heard& heard) {
    for (int attempt = 0; attempt < 5; ++attempt) {
      heard.ended.reset();
      const std::size_t before = calls.size();
      auto stream = std::make_unique<Stream>(loop, on, "/a.B/C", Metadata{}, heard.events());
      if (until([&] { return calls.size() > before || heard.ended; }) && !heard.ended) return stream;
    }
    ADD_FAILURE() << "no stream: " << (heard.ended ? heard.ended->describe() : "silence");
    return nullptr;
  }
  // What a client that speaks `text` and no TLS reads before the server hangs up; nothing when it does not within ten seconds.
  std::optional<std::string> say_raw(std::string_view text) {
    const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(server->port());
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    std::string answer;
    for (pollfd ready{fd.get(), POLLIN, 0}; ::poll(&ready, 1, 10'000) == 1;) {
      char buffer[1024];
      const ssize_t count = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (count <= 0) return answer;
      answer.append(buffer, static_cast<std::size_t>(count));
    }
    return std::nullopt;
  }

  const tls::Authority authority = *tls::Authority::make_root("cluster.local");
  std::string folder;
  ServerOptions options;
  bool proves = true;
  net::Loop loop;
  std::vector<CallRef> calls;
  std::unique_ptr<CallServer> server;
};

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

TEST_F(Bounds, AMessageOverTheLimitEndsItsCall) {
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
TEST_F(Bounds, WhoKeepsMemoryThatOthersWaitForIsEnded) {
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
TEST_F(Bounds, WhoBrokeHttp2IsCountedUntilHeIsCut) {
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
TEST_F(Bounds, WhoHasHisStreamsResetIsSentAway) {
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

TEST_F(Bounds, AMessageThatIsNotWholeIsNoGoodEnd) {
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

TEST_F(Bounds, ACompressedMessageEndsItsCall) {
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
TEST_F(Bounds, ACallMayBeAnsweredLongAfterItsCallerHasSentAll) {
  options.address = "127.0.0.1:0";
  options.certificate_file = folder + "/cert.pem";
  options.key_file = folder + "/key.pem";
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

TEST_F(Bounds, MetadataOverTheLimitNeverReachesUs) {
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
