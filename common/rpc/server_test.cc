#include "common/rpc/server.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "common/rpc/test_world.h"

namespace culvert::rpc {
namespace {

using testing::HasSubstr;

TEST_F(World, CallsAreToldByTheirConnectionInBothFamilies) {
  on_call = [](CallRef call) { call->finish({0, ""}); };
  auto both = CallServer::start(
      loop, {.address = "[::]:0", .certificate_file = certificates().certificate("ca"), .key_file = certificates().key("ca")},
      [this](CallRef call) { calls.push_back(call), on_call(call); });
  ASSERT_TRUE(both) << both.error().text;
  const auto called = [&](const std::string& host) {
    Server to{.address = host + ":" + std::to_string((*both)->port()),
              .roots_pem = slurp(certificates().certificate("ca")),
              .name = "localhost"};
    const Channel channel = connected(to);
    Heard heard;
    const Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    EXPECT_TRUE(heard.ended->ok()) << heard.ended->describe();
    return calls.empty() ? "" : calls.back()->peer().text();
  };

  EXPECT_THAT(called("127.0.0.1"), HasSubstr("127.0.0.1:"));
  EXPECT_THAT(called("[::1]"), HasSubstr("[::1]:"));
}

// A server with other options than the World's.
struct Other : World {
  ServerOptions options{
      .address = "127.0.0.1:0", .certificate_file = certificates().certificate("ca"), .key_file = certificates().key("ca")};
  void start() {
    server = CallServer::start(loop, options, [this](CallRef call) {
               calls.push_back(call), call->proved("a test"), on_call(call);
             }).value();
  }
};

TEST_F(Other, LargeMessagesTakeTurns) {
  options.max_memory = 1 << 20;
  start();
  std::size_t got = 0;
  on_call = [&](CallRef call) {
    call->accept({.on_message =
                      [&got, call](std::string message) {
                        EXPECT_EQ(message, std::string(700'000, 'x'));
                        ++got;
                        call->finish({0, ""});
                      },
                  .on_sent = {},
                  .on_end = {}});
  };
  const Channel one = connected(), two = connected();
  std::vector<Heard> heard(10);
  std::vector<std::unique_ptr<Stream>> streams;
  for (std::size_t i = 0; i < heard.size(); ++i) {
    streams.push_back(std::make_unique<Stream>(loop, i % 2 == 0 ? one : two, "/a.B/C", Metadata{}, heard[i].events()));
    streams.back()->send(std::string(700'000, 'x'));
  }

  until([&] { return got == heard.size(); });
  until([&] { return std::ranges::all_of(heard, [](const Heard& each) { return each.ended && each.ended->ok(); }); });
}

TEST_F(World, WhoeverIsNotReadWaitsAndNobodyWithHim) {
  const Channel channel = connected();
  Heard slow, quick;
  Stream first(loop, channel, "/a.B/Slow", {}, slow.events());
  first.send(std::string(3 << 20, 'x'));
  until([&] { return calls.size() == 1; });
  on_call = [](CallRef call) {
    call->accept(
        {.on_message = [call](const std::string& message) { call->answer("to " + message); }, .on_sent = {}, .on_end = {}});
  };
  Stream second(loop, channel, "/a.B/Quick", {}, quick.events());
  second.send("this");
  until([&] { return quick.ended.has_value(); });
  EXPECT_THAT(quick.messages, testing::ElementsAre("to this"));

  std::size_t got = 0;
  calls.front()->accept({.on_message = [&](const std::string& message) { got = message.size(); }, .on_sent = {}, .on_end = {}});

  until([&] { return got == 3U << 20; });
}

TEST_F(World, MessagesThatWaitAreSentBeforeTheAnswersEndAndDroppedBeforeAStatus) {
  on_call = [](CallRef call) {
    call->accept({});
    for (int i = 0; i < 100; ++i) call->send(std::string(100'000, 'x'));
    if (call->path() == "/a.B/Answered") call->answer("last");
    else call->finish({7, "enough, für \"heute\" 100%"});
  };
  const Channel channel = connected();
  Heard answered, ended;
  const Stream first(loop, channel, "/a.B/Answered", {}, answered.events());
  until([&] { return answered.ended.has_value(); });
  const Stream second(loop, channel, "/a.B/Ended", {}, ended.events());
  until([&] { return ended.ended.has_value(); });

  ASSERT_EQ(answered.messages.size(), 101U);
  EXPECT_EQ(answered.messages.back(), "last");
  EXPECT_LT(ended.messages.size(), 100U);
  EXPECT_EQ(ended.ended->describe(), "PERMISSION_DENIED: enough, für \"heute\" 100%");
}

TEST_F(World, CallsThatLiveEndWithTheServer) {
  on_call = [](CallRef call) { call->accept({}), call->send("hello"); };
  const Channel channel = connected();
  Heard heard;
  const Stream stream(loop, channel, "/a.B/C", {}, heard.events());
  until([&] { return !heard.messages.empty(); });
  const CallRef kept = calls.back();

  server.reset();
  kept->send("nobody hears this");
  kept->finish({0, ""});

  until([&] { return heard.ended.has_value(); });
  EXPECT_THAT(heard.ended->describe(), HasSubstr("UNAVAILABLE"));
}

TEST_F(Other, AConnectionThatIsOldEndsAndItsClientComesAgain) {
  options.max_connection_age = std::chrono::milliseconds(300);
  start();
  on_call = [](CallRef call) { call->accept({}), call->send("hello"); };
  const Channel channel = connected();
  Heard heard, again;
  const Stream stream(loop, channel, "/a.B/C", {}, heard.events());
  until([&] { return heard.ended.has_value(); });

  const Stream other(loop, channel, "/a.B/C", {}, again.events());

  until([&] { return !again.messages.empty(); });
}

TEST_F(Other, ACertificateThatIsReplacedIsReadAgain) {
  const std::string folder = certificates().folder;
  certificates().make("first", "localhost");
  certificates().make("second", "localhost");
  const auto install = [&](const std::string& name) {
    for (const char* kind : {".pem", ".key"}) {
      std::filesystem::copy_file(folder + "/" + name + kind, folder + "/.next" + kind,
                                 std::filesystem::copy_options::overwrite_existing);
      std::filesystem::rename(folder + "/.next" + kind, folder + "/served" + kind);
    }
  };
  install("first");
  options.certificate_file = certificates().certificate("served");
  options.key_file = certificates().key("served");
  start();
  on_call = [](CallRef call) { call->finish({0, ""}); };
  const auto reached = [&](const std::string& root) {
    Server to = trusted();
    to.roots_pem = slurp(certificates().certificate(root));
    const Channel channel(to);
    Heard heard;
    const Stream stream(loop, channel, "/a.B/C", {}, heard.events());
    until([&] { return heard.ended.has_value(); });
    return heard.ended->ok();
  };
  EXPECT_TRUE(reached("first"));
  spit(certificates().certificate("served"), "no certificate");
  EXPECT_TRUE(reached("first")) << "the last good one stays";

  install("second");

  const auto end = net::Clock::now() + std::chrono::seconds(10);
  while (!reached("second") && net::Clock::now() < end) {}
  EXPECT_TRUE(reached("second"));
  EXPECT_FALSE(reached("first"));
}

TEST_F(World, AnAddressThatIsTakenIsSaid) {
  const auto second = CallServer::start(loop,
                                        {.address = "127.0.0.1:" + std::to_string(server->port()),
                                         .certificate_file = certificates().certificate("ca"),
                                         .key_file = certificates().key("ca")},
                                        [](const CallRef&) {});

  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().text, HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace culvert::rpc
