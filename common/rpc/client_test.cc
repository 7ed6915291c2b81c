#include "common/rpc/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "common/rpc/test_world.h"

namespace culvert::rpc {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(World, AStreamCarriesMessagesBothWaysAndItsMetadata) {
  on_call = [](CallRef call) {
    EXPECT_EQ(call->path(), "/a.B/C");
    EXPECT_EQ(call->metadata("authorization"), "Bearer t");
    call->accept({[call = call.get()](std::string message) { call->send("echo " + message); }, {}, {}});
  };
  const Channel channel = connected();
  Heard heard;
  Stream stream(loop, channel, "/a.B/C", {{"authorization", "Bearer t"}}, heard.events());
  stream.send("one");
  stream.send(std::string(3 << 20, 'x'));
  until([&] { return heard.messages.size() == 2; });

  EXPECT_EQ(heard.messages[0], "echo one");
  EXPECT_EQ(heard.messages[1].size(), (3u << 20) + 5);
  EXPECT_FALSE(heard.ended);
}

TEST_F(World, AStreamSaysHowTheServerEndedIt) {
  on_call = [](CallRef call) { call->finish({7, "go away"}); };
  const Channel channel = connected();
  Heard heard;
  Stream stream(loop, channel, "/a.B/C", {}, heard.events());
  until([&] { return heard.ended.has_value(); });

  EXPECT_EQ(heard.ended->describe(), "PERMISSION_DENIED: go away");
}

TEST_F(World, AStreamMayBeDestroyedInItsOwnEventsAndAtAnyTime) {
  on_call = [](CallRef call) { call->accept({{}, {}, {}}), call->send("x"), call->send("y"); };
  const Channel channel = connected();
  std::optional<Stream> stream;
  int heard = 0;
  stream.emplace(loop, channel, "/a.B/C", Metadata{},
                 Stream::Events{[&](std::string) { ++heard, stream.reset(); }, [&](Ended) { FAIL(); }});
  until([&] { return heard == 1; });

  for (int i = 0; i < 50; ++i) {
    stream.emplace(loop, channel, "/a.B/C", Metadata{}, Stream::Events{[&](std::string) { ++heard; }, [&](Ended) { FAIL(); }});
    if (i % 5 == 0) until([&, before = heard] { return heard > before; });
    stream.reset();
  }
  until([&] { return server->calls() == 0; });
}

TEST_F(World, FinishEndsTheStreamAfterWhatWasSent) {
  std::vector<std::string> got;
  on_call = [&](CallRef call) { call->accept({[&](std::string message) { got.push_back(message); }, {}, {}}); };
  const Channel channel = connected();
  Heard heard;
  Stream stream(loop, channel, "/a.B/C", {}, heard.events());
  stream.send("last");
  stream.finish();
  until([&] { return heard.ended.has_value(); });

  EXPECT_TRUE(heard.ended->ok()) << heard.ended->describe();
  EXPECT_THAT(got, ElementsAre("last"));
}

TEST_F(World, RefusesAServerThatItDoesNotTrust) {
  const auto attempt = [&](const Server& to) {
    const Channel channel(to);
    Heard heard;
    Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    return heard.ended->describe();
  };
  auto other_root = trusted();
  other_root.roots_pem = slurp(certificates().certificate("other"));
  auto no_root = trusted();
  no_root.roots_pem = "";
  auto other_name = trusted();
  other_name.name = "istiod.istio-system.svc";

  EXPECT_THAT(
      attempt(other_root),
      AllOf(StartsWith("UNAVAILABLE: "),
            HasSubstr("certificate verify failed (are the roots here those of the server, and the clocks right? It is 2")));
  EXPECT_THAT(attempt(no_root), StartsWith("UNAVAILABLE: "));
  EXPECT_THAT(attempt(other_name), StartsWith("UNAVAILABLE: "));
  EXPECT_TRUE(calls.empty());
}

TEST_F(World, AcceptsTheOverriddenNameAndAddresses) {
  on_call = [](CallRef call) { call->finish({0, ""}); };
  auto by_address = trusted("127.0.0.1");
  auto by_other_name = trusted("127.0.0.1");
  by_other_name.name = "localhost";
  for (const Server& to : {by_address, by_other_name}) {
    const Channel channel = connected(to);
    Heard heard;
    Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    EXPECT_TRUE(heard.ended->ok()) << heard.ended->describe();
  }
}

TEST_F(World, BothEndsSpeakTls13Only) {
  const auto handshake = [&](const std::string& version) {
    const std::string command = "timeout 10 openssl s_client -connect 127.0.0.1:" + std::to_string(server->port()) + " " +
                                version + " -alpn h2 </dev/null >/dev/null 2>&1";
    return std::system(command.c_str()) == 0;
  };

  EXPECT_FALSE(handshake("-tls1_2"));
  EXPECT_TRUE(handshake("-tls1_3"));

  // The client: a server that knows nothing newer than 1.2.
  const int port = 20000 + static_cast<int>(::getpid() % 10000);
  const std::string command = "timeout 10 openssl s_server -accept 127.0.0.1:" + std::to_string(port) +
                              " -tls1_2 -alpn h2 -quiet -cert " + certificates().certificate("ca") + " -key " +
                              certificates().key("ca") + " >/dev/null 2>&1 & echo $!";
  FILE* pipe = ::popen(command.c_str(), "r");
  int pid = 0;
  ASSERT_EQ(std::fscanf(pipe, "%d", &pid), 1);
  Server old = trusted();
  old.address = "127.0.0.1:" + std::to_string(port);
  std::string why = "Connection refused";
  for (int i = 0; i < 50 && why.find("refused") != why.npos; ++i) {
    const Channel channel(old);
    Heard heard;
    Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    EXPECT_FALSE(heard.ended->ok());
    why = heard.ended->text;
    if (why.find("refused") != why.npos) std::this_thread::sleep_for(50ms);
  }
  ::kill(pid, SIGTERM);
  ::pclose(pipe);
  EXPECT_THAT(why, HasSubstr("SSL_ERROR_SSL"));
}

TEST_F(World, AUnaryCallIsAnsweredOrTimesOut) {
  on_call = [](CallRef call) {
    if (call->path() == "/a.B/Silent") return;  // held, and never answered
    call->accept({[call = call.get()](std::string message) { call->answer("you said " + message); }, {}, {}});
  };
  const Channel channel = connected();
  std::optional<Ended> ended;
  std::string answer;
  const Unary::Answer keep = [&](Ended how, std::string message) { ended = std::move(how), answer = std::move(message); };
  {
    const Unary call(loop, channel, "/a.B/C", {}, "hello", 5s, keep);
    until([&] { return ended.has_value(); });
    EXPECT_TRUE(ended->ok()) << ended->describe();
    EXPECT_EQ(answer, "you said hello");
  }
  ended.reset();
  {
    const Unary call(loop, channel, "/a.B/Silent", {}, "hello", 100ms, keep);
    until([&] { return ended.has_value(); });
    EXPECT_THAT(ended->describe(), HasSubstr("DEADLINE_EXCEEDED"));
  }
  {
    const Unary abandoned(loop, channel, "/a.B/Silent", {}, "hello", 5s, [](Ended, std::string) { FAIL(); });
  }
}

TEST(Address, TakesHttpsAndBareOnesOnly) {
  EXPECT_EQ(parse_address("https://istiod.istio-system.svc:15012").value(), "istiod.istio-system.svc:15012");
  EXPECT_EQ(parse_address("https://[fd00::1]:15012/").value(), "[fd00::1]:15012");
  EXPECT_EQ(parse_address("127.0.0.1:15012").value(), "127.0.0.1:15012");
  for (const char* bad : {"", "host", "https://host", "http://host:1", "unix:///x:1", "host:", "host:0", "host:65536", "host:x",
                          ":1", "[fd00::1]", "a/b:1", "fd00::1:80"}) {
    EXPECT_FALSE(parse_address(bad)) << bad;
  }
}

}  // namespace
}  // namespace culvert::rpc
