#include "common/hbone/engine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "common/hbone/test_frames.h"

namespace culvert::hbone {
namespace {

using namespace frames;

TEST(Engine, CarriesARequestAndBytesBothWays) {
  Engine client(Engine::Role::kClient, {});
  Engine server(Engine::Role::kServer, {});
  const auto id = *client.open(kConnect);

  EXPECT_EQ(read(server, std::exchange(client.output(), {})), "room0 request1");
  server.respond(id, http::HeaderList{{":status", "200"}}, false);
  EXPECT_EQ(read(client, std::exchange(server.output(), {})), "room0 response1=200");
  EXPECT_EQ(read(server, data(client, id, "ping")), "data1=ping");
  EXPECT_EQ(read(client, data(server, id, "pong", true)), "data1=pong.");
  EXPECT_EQ(read(server, data(client, id, "", true)), "data1=.");

  EXPECT_EQ(client.stream_count(), 0u);
  EXPECT_EQ(server.stream_count(), 0u);
}

TEST(Engine, SaysHelloAsItsPeersExpect) {
  Engine client(Engine::Role::kClient, {});
  Engine server(Engine::Role::kServer, {});
  client.open(kConnect);

  EXPECT_EQ(said(client), "SETTINGS0 WINDOW0+2147418112 HEADERS1");
  EXPECT_EQ(said(server), "SETTINGS0 WINDOW0+2147418112");
}

TEST(Engine, ReadsTheSameFromPiecesOfAnySize) {
  const auto whole = kHello + frame(FrameType::kHeaders, kEndHeaders, 1, block(kConnect)) +
                     frame(FrameType::kData, kPadded, 1,
                           bytes("\x02"
                                 "abcPP")) +
                     frame(FrameType::kPing, 0, 0, bytes("12345678")) + frame(FrameType::kData, kEndStream, 1, bytes("d"));
  for (const std::size_t piece : {1, 2, 3, 7, 1000}) {
    Engine server(Engine::Role::kServer, {});
    std::string log;
    for (std::size_t at = 0; at < whole.size(); at += piece) {
      const auto events = read(server, std::span(whole).subspan(at, std::min(piece, whole.size() - at)));
      if (!events.empty()) log += (log.empty() ? "" : " ") + events;
    }
    if (piece >= 7) {
      EXPECT_EQ(log, "room0 request1 data1=abc data1=d.") << piece;
    }
    EXPECT_TRUE(log.ends_with("data1=d.")) << log;
    EXPECT_EQ(said(server), "SETTINGS0 WINDOW0+2147418112 SETTINGS0! PING0!");
  }
}

TEST(Engine, GivesAStreamsWindowBackOnlyAsItsBytesAreConsumed) {
  Server server({.stream_window = 1000, .stream_window_cap = 1000});
  server.request(1);

  read(server.engine, frame(FrameType::kData, 0, 1, Bytes(900)));
  EXPECT_EQ(said(server.engine), "");
  EXPECT_EQ(server.engine.window_of(1), 100u);
  server.engine.consumed(1, 900);
  EXPECT_EQ(said(server.engine), "WINDOW1+900");

  EXPECT_EQ(read(server.engine, frame(FrameType::kData, 0, 1, Bytes(1001))), "reset1=FLOW_CONTROL_ERROR");
  EXPECT_EQ(said(server.engine), "RST1=FLOW_CONTROL_ERROR");
}

TEST(Engine, GrowsTheWindowOfAReaderThatKeepsUpWithinABudget) {
  Server server({.stream_window = 1000, .stream_window_cap = 4000, .window_budget = 4000});
  const auto fill = [&](std::uint32_t id) {
    const auto size = server.engine.window_of(id);
    read(server.engine, frame(FrameType::kData, 0, id, Bytes(size)));
    server.engine.consumed(id, size);
    return server.engine.window_of(id);
  };
  server.request(1);
  server.request(3);

  EXPECT_EQ(fill(1), 2000u);
  EXPECT_EQ(fill(1), 4000u);
  EXPECT_EQ(fill(1), 4000u);
  EXPECT_EQ(fill(3), 2000u);
  EXPECT_EQ(fill(3), 2000u);  // the budget is spent
  server.engine.reset(1, ErrorCode::kCancel);
  EXPECT_EQ(fill(3), 4000u);  // and came back
}

TEST(Engine, DoesNotGrowTheWindowOfASlowReader) {
  Server server({.stream_window = 1000, .stream_window_cap = 4000});
  server.request(1);

  read(server.engine, frame(FrameType::kData, 0, 1, Bytes(1000)));
  server.engine.consumed(1, 500);

  EXPECT_EQ(server.engine.window_of(1), 500u);
}

TEST(Engine, GivesBackLessWhileMemoryIsShort) {
  Server server({.stream_window = 1000, .stream_window_cap = 4000, .stream_window_floor = 400});
  const auto take = [&](bool frugal) {
    const auto size = server.engine.window_of(1);
    read(server.engine, frame(FrameType::kData, 0, 1, Bytes(size)));
    server.engine.consumed(1, size, frugal);
    return server.engine.window_of(1);
  };
  server.request(1);

  EXPECT_EQ(take(false), 2000u);
  EXPECT_EQ(take(true), 400u);
  EXPECT_EQ(take(true), 400u);
  EXPECT_EQ(take(false), 800u);
}

TEST(Engine, CreditsTheConnectionOnReceiptWhateverItsReadersDo) {
  Server server({.stream_window = 1u << 30, .stream_window_cap = 1u << 30});
  server.request(1);
  const Bytes large(1 << 20);

  for (int i = 0; i < 64; ++i) read(server.engine, frame(FrameType::kData, 0, 1, large));

  EXPECT_EQ(said(server.engine), "WINDOW0+67108864");
}

TEST(Engine, CreditsPaddingAtOnce) {
  Server server({.stream_window = 500, .stream_window_cap = 500});
  server.request(1);

  EXPECT_EQ(read(server.engine, frame(FrameType::kData, kPadded, 1, Bytes{std::byte{255}} + Bytes(256))),
            "data1=" + std::string(1, '\0'));

  EXPECT_EQ(said(server.engine), "WINDOW1+256");
}

TEST(Engine, SendsNoMoreThanTheWindowsAllow) {
  Client client({}, setting(Setting::kInitialWindowSize, 10) + setting(Setting::kMaxFrameSize, 20000));
  EXPECT_EQ(client.engine.sendable(1), 10u);
  EXPECT_EQ(client.engine.max_data(), 20000u);

  client.engine.data(1, 10, false);
  EXPECT_EQ(client.engine.sendable(1), 0u);
  EXPECT_EQ(read(client.engine, frame(FrameType::kWindowUpdate, 0, 1, u32(5))), "room1");
  EXPECT_EQ(client.engine.sendable(1), 5u);
  EXPECT_EQ(read(client.engine, frame(FrameType::kSettings, 0, 0, setting(Setting::kInitialWindowSize, 4))), "room0");

  EXPECT_EQ(client.engine.sendable(1), 0u);  // 5 - 6
  EXPECT_EQ(read(client.engine, frame(FrameType::kWindowUpdate, 0, 1, u32(1))), "");
  EXPECT_EQ(read(client.engine, frame(FrameType::kWindowUpdate, 0, 1, u32(3))), "room1");
}

TEST(Engine, AppliesTheLastWordOfEachSettings) {
  Client client({}, setting(Setting::kInitialWindowSize, 10));
  read(client.engine, frame(FrameType::kWindowUpdate, 0, 1, u32(5)));

  const auto log = read(client.engine, frame(FrameType::kSettings, 0, 0,
                                             setting(Setting::kInitialWindowSize, kMaxWindow) +  // alone, it would be too much
                                                 setting(Setting::kInitialWindowSize, 30)));

  EXPECT_EQ(log, "room0");
  EXPECT_EQ(client.engine.sendable(1), 35u);
}

TEST(Engine, SharesTheConnectionWindowAmongStreams) {
  Client client({}, setting(Setting::kInitialWindowSize, 100'000));
  const auto second = *client.engine.open(kConnect);

  for (int i = 0; i < 3; ++i) client.engine.data(1, 16384, false);
  client.engine.data(1, kDefaultWindow - 3 * 16384, false);
  EXPECT_EQ(client.engine.sendable(second), 0u);

  EXPECT_EQ(read(client.engine, frame(FrameType::kWindowUpdate, 0, 0, u32(7))), "room0");
  EXPECT_EQ(client.engine.sendable(second), 7u);
}

TEST(Engine, HonoursThePeersLimitOfStreams) {
  Client client({.pool_streams = 100}, setting(Setting::kMaxConcurrentStreams, 2));

  EXPECT_EQ(client.engine.open_room(), 1u);
  EXPECT_TRUE(client.engine.open(kConnect));
  EXPECT_FALSE(client.engine.open(kConnect));
  client.engine.reset(1, ErrorCode::kCancel);
  EXPECT_TRUE(client.engine.open(kConnect));
}

TEST(Engine, RefusesStreamsBeyondItsOwnLimit) {
  Server server({.max_streams = 2});
  server.request(1);
  server.request(3);

  EXPECT_EQ(server.request(5), "");
  EXPECT_EQ(said(server.engine), "RST5=REFUSED_STREAM");
  EXPECT_EQ(read(server.engine, frame(FrameType::kData, 0, 5, bytes("late"))), "");
  server.engine.reset(1, ErrorCode::kCancel);
  EXPECT_EQ(server.request(7), "request7");
}

// What our engine's last PING asked, answered.
Bytes answer_to(Engine& engine) {
  const auto& out = engine.output();
  return frame(FrameType::kPing, kAck, 0, Bytes(out.end() - 8, out.end()));
}

TEST(Engine, DrainsWithTwoGoawaysAndFinishesWhatLives) {
  Server server;
  server.request(1);

  server.engine.drain();
  const Bytes answer = answer_to(server.engine);
  EXPECT_EQ(said(server.engine), "GOAWAY0=2147483647,NO_ERROR PING0");
  EXPECT_TRUE(server.engine.draining());
  EXPECT_EQ(server.request(3), "request3");  // was on its way
  EXPECT_FALSE(server.engine.drained());
  EXPECT_EQ(read(server.engine, answer), "drained");

  EXPECT_EQ(said(server.engine), "GOAWAY0=3,NO_ERROR");
  EXPECT_EQ(server.request(5), "");
  EXPECT_EQ(said(server.engine), "RST5=REFUSED_STREAM");
  EXPECT_EQ(read(server.engine, frame(FrameType::kReset, 0, 5, u32(8))), "");
  EXPECT_EQ(read(server.engine, frame(FrameType::kData, kEndStream, 1, bytes("rest"))), "data1=rest.");
}

TEST(Engine, SaysTheLastGoawayAlsoToAPeerThatAnswersNothing) {
  Server server;
  server.request(1);
  server.engine.drain();
  server.engine.output().clear();

  server.engine.last_call();

  EXPECT_EQ(said(server.engine), "GOAWAY0=1,NO_ERROR");
  EXPECT_TRUE(server.engine.drained());
}

TEST(Engine, KnowsTheAnswersToItsPings) {
  Server server;
  server.engine.ping();
  const Bytes answer = answer_to(server.engine);

  EXPECT_EQ(read(server.engine, frame(FrameType::kPing, kAck, 0, bytes("whatever"))), "");
  EXPECT_EQ(read(server.engine, answer), "pong");
  EXPECT_EQ(read(server.engine, answer), "");
}

TEST(Engine, OpensNothingAfterGoaway) {
  Client client;

  EXPECT_EQ(read(client.engine, frame(FrameType::kGoaway, 0, 0, u32(0) + u32(0) + bytes("bye"))), "goaway0=NO_ERROR");

  EXPECT_TRUE(client.engine.draining());
  EXPECT_FALSE(client.engine.open(kConnect));
}

TEST(Engine, TellsAResetAndWhetherItCameAfterTheEnd) {
  Server server;
  server.request(1);
  server.request(3, kEndStream);

  EXPECT_EQ(read(server.engine, frame(FrameType::kReset, 0, 1, u32(8))), "reset1=CANCEL");
  EXPECT_EQ(read(server.engine, frame(FrameType::kReset, 0, 3, u32(0))), "reset3=NO_ERROR.");
}

TEST(Engine, ForgetsWhatArrivesForStreamsThatItReset) {
  Client client;
  client.answer();
  client.engine.reset(1, ErrorCode::kConnectError);

  EXPECT_EQ(read(client.engine, frame(FrameType::kData, 0, 1, bytes("late")) + frame(FrameType::kWindowUpdate, 0, 1, u32(5)) +
                                    frame(FrameType::kReset, 0, 1, u32(0))),
            "");
  EXPECT_EQ(client.engine.sendable(1), 0u);
}

TEST(Engine, StopsDataInTheMiddleWhenItsOwnerResets) {
  Server server;
  server.request(1);
  const auto input = frame(FrameType::kData, 0, 1, bytes("abcdef"));

  EXPECT_EQ(read(server.engine, std::span(input).first(12)), "data1=abc");
  server.engine.reset(1, ErrorCode::kConnectError);

  EXPECT_EQ(read(server.engine, std::span(input).subspan(12)), "");
  EXPECT_EQ(server.request(3), "request3");
}

TEST(Engine, SplitsHeadersThatNeedContinuation) {
  Engine client(Engine::Role::kClient, {});
  Engine server(Engine::Role::kServer, {});
  auto headers = kConnect;
  headers.push_back({"baggage", std::string(40'000, '~'), false});  // '~' takes 13 bits in Huffman code: sent plain

  client.open(headers);

  EXPECT_EQ(read(server, client.output()), "room0 request1");
  EXPECT_EQ(said(client), "SETTINGS0 WINDOW0+2147418112 HEADERS1 CONT1 CONT1");
}

TEST(Engine, TreatsTrailersAsTheEnd) {
  Client client;
  client.answer();

  EXPECT_EQ(client.answer("200", kEndStream), "data1=.");
}

TEST(Engine, IgnoresWhatItDoesNotKnow) {
  Server server;

  EXPECT_EQ(read(server.engine, frame(static_cast<FrameType>(0x77), 0xff, 9, bytes("whatever")) +
                                    frame(FrameType::kPriority, 0, 3, bytes("12345"))),
            "");
  EXPECT_EQ(server.request(1), "request1");
}

}  // namespace
}  // namespace culvert::hbone
