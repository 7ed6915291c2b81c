// What the engine does with peers that break the rules, and with those that flood it.

#include <gtest/gtest.h>

#include <functional>

#include "common/base/format.h"
#include "common/hbone/engine.h"
#include "common/hbone/test_frames.h"

namespace culvert::hbone {
namespace {

using namespace frames;

TEST(Engine, ResetsMalformedRequestsAlone) {
  const http::HeaderList bad[] = {
      {{":method", "CONNECT"}, {"X-Upper", "1"}},
      {{"a", "1"}, {":method", "CONNECT"}},
      {{":method", "CONNECT"}, {":method", "CONNECT"}},
      {{":method", "CONNECT"}, {":status", "200"}},
      {{":method", "CONNECT"}, {"connection", "x"}},
      {{":authority", "a:1"}},
      {{":method", "CONNECT"}, {"", "x"}},
      {{":method", "CONNECT"}, {"te", "gzip"}},
  };
  Server server;
  std::uint32_t id = 1;

  for (const auto& headers : bad) {
    EXPECT_EQ(read(server.engine, frame(FrameType::kHeaders, kEndHeaders, id, block(headers))), "");
    EXPECT_EQ(said(server.engine), culvert::format("RST{}=PROTOCOL_ERROR", id));
    id += 2;
  }

  EXPECT_EQ(server.request(id), culvert::format("request{}", id));
}

TEST(Engine, ResetsRequestsWithTooManyHeaders) {
  Server server({.max_header_list = 2000});
  http::HpackEncoder encoder;
  Bytes small;
  const http::HeaderList one = {{"x-long", std::string(900, 'a')}};
  encoder.encode(one, small);  // the table knows it now: one byte stands for 900
  Bytes many;
  http::HeaderList bomb = kConnect;
  for (int i = 0; i < 50; ++i) bomb.push_back(one.front());
  encoder.encode(bomb, many);

  read(server.engine, frame(FrameType::kHeaders, kEndHeaders, 1, small));
  server.engine.output().clear();
  EXPECT_EQ(read(server.engine, frame(FrameType::kHeaders, kEndHeaders, 3, many)), "");
  EXPECT_EQ(said(server.engine), "RST3=ENHANCE_YOUR_CALM");
}

struct Broken {
  const char* what;
  Bytes input;
  ErrorCode code;
};

TEST(Engine, EndsConnectionsThatBreakTheRules) {
  const auto headers = block(kConnect);
  const auto request = frame(FrameType::kHeaders, kEndHeaders, 1, headers);
  const Broken cases[] = {
      {"DATA on an idle stream", frame(FrameType::kData, 0, 1, bytes("x")), ErrorCode::kProtocolError},
      {"DATA on stream 0", frame(FrameType::kData, 0, 0, bytes("x")), ErrorCode::kProtocolError},
      {"DATA padded with nothing", request + frame(FrameType::kData, kPadded, 1), ErrorCode::kFrameSizeError},
      {"more padding than DATA", request + frame(FrameType::kData, kPadded, 1, bytes("\x09xyz")), ErrorCode::kProtocolError},
      {"HEADERS on stream 0", frame(FrameType::kHeaders, kEndHeaders, 0, headers), ErrorCode::kProtocolError},
      {"HEADERS on an even stream", frame(FrameType::kHeaders, kEndHeaders, 2, headers), ErrorCode::kProtocolError},
      {"HEADERS padded with nothing", frame(FrameType::kHeaders, kEndHeaders | kPadded, 1), ErrorCode::kFrameSizeError},
      {"more padding than HEADERS", frame(FrameType::kHeaders, kEndHeaders | kPadded, 1, bytes("\x09xyz")),
       ErrorCode::kProtocolError},
      {"HEADERS with half a priority", frame(FrameType::kHeaders, kEndHeaders | kPriorityFlag, 1, bytes("abc")),
       ErrorCode::kFrameSizeError},
      {"malformed HPACK", frame(FrameType::kHeaders, kEndHeaders, 1, bytes("\x80")), ErrorCode::kCompressionError},
      {"a frame inside a header block",
       frame(FrameType::kHeaders, 0, 1, headers) + frame(FrameType::kPing, 0, 0, bytes("12345678")), ErrorCode::kProtocolError},
      {"CONTINUATION of another stream",
       frame(FrameType::kHeaders, 0, 1, headers) + frame(FrameType::kContinuation, kEndHeaders, 3), ErrorCode::kProtocolError},
      {"CONTINUATION alone", frame(FrameType::kContinuation, kEndHeaders, 1), ErrorCode::kProtocolError},
      {"PUSH_PROMISE", frame(FrameType::kPushPromise, 0, 1, bytes("1234")), ErrorCode::kProtocolError},
      {"RST_STREAM of 3 bytes", request + frame(FrameType::kReset, 0, 1, bytes("123")), ErrorCode::kFrameSizeError},
      {"RST_STREAM on an idle stream", frame(FrameType::kReset, 0, 1, u32(0)), ErrorCode::kProtocolError},
      {"RST_STREAM on stream 0", frame(FrameType::kReset, 0, 0, u32(0)), ErrorCode::kProtocolError},
      {"SETTINGS with thousands of entries", frame(FrameType::kSettings, 0, 0, Bytes(6 * 10'900)), ErrorCode::kEnhanceYourCalm},
      {"SETTINGS on a stream", frame(FrameType::kSettings, 0, 1), ErrorCode::kProtocolError},
      {"SETTINGS of 5 bytes", frame(FrameType::kSettings, 0, 0, bytes("12345")), ErrorCode::kFrameSizeError},
      {"SETTINGS acknowledged with content", frame(FrameType::kSettings, kAck, 0, bytes("123456")), ErrorCode::kFrameSizeError},
      {"ENABLE_PUSH 2", frame(FrameType::kSettings, 0, 0, setting(Setting::kEnablePush, 2)), ErrorCode::kProtocolError},
      {"a window of 2^31", frame(FrameType::kSettings, 0, 0, setting(Setting::kInitialWindowSize, 0x80000000)),
       ErrorCode::kFlowControlError},
      {"MAX_FRAME_SIZE 1", frame(FrameType::kSettings, 0, 0, setting(Setting::kMaxFrameSize, 1)), ErrorCode::kProtocolError},
      {"PING of 7 bytes", frame(FrameType::kPing, 0, 0, bytes("1234567")), ErrorCode::kFrameSizeError},
      {"PING on a stream", frame(FrameType::kPing, 0, 1, bytes("12345678")), ErrorCode::kProtocolError},
      {"GOAWAY of 4 bytes", frame(FrameType::kGoaway, 0, 0, u32(0)), ErrorCode::kFrameSizeError},
      {"WINDOW_UPDATE of 3 bytes", frame(FrameType::kWindowUpdate, 0, 0, bytes("123")), ErrorCode::kFrameSizeError},
      {"WINDOW_UPDATE of nothing", frame(FrameType::kWindowUpdate, 0, 0, u32(0)), ErrorCode::kProtocolError},
      {"WINDOW_UPDATE on an idle stream", frame(FrameType::kWindowUpdate, 0, 1, u32(1)), ErrorCode::kProtocolError},
      {"a window beyond 2^31", frame(FrameType::kWindowUpdate, 0, 0, u32(kMaxWindow)), ErrorCode::kFlowControlError},
      {"a frame larger than advertised", Bytes{std::byte{0xff}, std::byte{0xff}, std::byte{0xff}} + Bytes(6),
       ErrorCode::kFrameSizeError},
  };
  for (const Broken& broken : cases) {
    Server server;

    const auto log = read(server.engine, broken.input + frame(FrameType::kPing, 0, 0, bytes("12345678")));

    EXPECT_TRUE(log.ends_with(culvert::format("failed={}", name(broken.code)))) << broken.what << ": " << log;
    EXPECT_TRUE(server.engine.failed());
    EXPECT_TRUE(said(server.engine).ends_with(std::string(name(broken.code)))) << broken.what;
  }
}

TEST(Engine, ResetsStreamsThatBreakTheRules) {
  const Broken cases[] = {
      {"DATA after END_STREAM", frame(FrameType::kData, kEndStream, 1) + frame(FrameType::kData, 0, 1, bytes("x")),
       ErrorCode::kStreamClosed},
      {"HEADERS after END_STREAM",
       frame(FrameType::kData, kEndStream, 1) + frame(FrameType::kHeaders, kEndHeaders, 1, block(kConnect)),
       ErrorCode::kStreamClosed},
      {"trailers without END_STREAM", frame(FrameType::kHeaders, kEndHeaders, 1, block({{"a", "b"}})), ErrorCode::kProtocolError},
      {"WINDOW_UPDATE of nothing", frame(FrameType::kWindowUpdate, 0, 1, u32(0)), ErrorCode::kProtocolError},
      {"a window beyond 2^31", frame(FrameType::kWindowUpdate, 0, 1, u32(kMaxWindow)), ErrorCode::kFlowControlError},
  };
  for (const Broken& broken : cases) {
    Server server;
    server.request(1);

    const auto log = read(server.engine, broken.input);

    EXPECT_NE(log.find(culvert::format("reset1={}", name(broken.code))), log.npos) << broken.what << ": " << log;
    EXPECT_EQ(said(server.engine), culvert::format("RST1={}", name(broken.code))) << broken.what;
    EXPECT_EQ(server.request(3), "request3") << broken.what;
  }
}

TEST(Engine, RefusesConnectionsThatAreNotHttp2) {
  Engine garbage(Engine::Role::kServer, {});
  Engine unsettled(Engine::Role::kServer, {});
  Engine acknowledged(Engine::Role::kClient, {});

  EXPECT_EQ(read(garbage, bytes("GET / HTTP/1.1\r\n\r\n")), "failed=PROTOCOL_ERROR");
  EXPECT_EQ(read(unsettled, bytes(kPreface) + frame(FrameType::kPing, 0, 0, bytes("12345678"))), "failed=PROTOCOL_ERROR");
  EXPECT_EQ(read(acknowledged, frame(FrameType::kSettings, kAck, 0)), "failed=PROTOCOL_ERROR");
}

TEST(Engine, ResetsAnswersThatMakeNoSense) {
  Client early;
  Client nameless;

  EXPECT_EQ(read(early.engine, frame(FrameType::kData, 0, 1, bytes("x"))), "reset1=PROTOCOL_ERROR");
  EXPECT_EQ(read(nameless.engine, frame(FrameType::kHeaders, kEndHeaders, 1, block({{"a", "b"}}))), "reset1=PROTOCOL_ERROR");
  EXPECT_EQ(Client().answer("100"), "");
  EXPECT_EQ(Client().answer("503", kEndStream), "response1=503.");
}

// --- floods ------------------------------------------------------------------------------------------------------

// Sends `input` until the engine gives up, at most `most` times; how often it took it.
int endure(Engine& engine, const std::function<Bytes(int)>& input, int most) {
  for (int i = 0; i < most; ++i) {
    read(engine, input(i));
    engine.output().clear();
    if (engine.failed()) return i;
  }
  return most;
}

TEST(Engine, EndsFloods) {
  const auto same = [](Bytes input) { return [input](int) { return input; }; };
  const std::pair<const char*, std::function<Bytes(int)>> floods[] = {
      {"ping", same(frame(FrameType::kPing, 0, 0, bytes("12345678")))},
      {"settings", same(frame(FrameType::kSettings, 0, 0))},
      {"settings acknowledged", same(frame(FrameType::kSettings, kAck, 0))},
      {"empty DATA", same(frame(FrameType::kData, 0, 1))},
      {"padded empty DATA", same(frame(FrameType::kData, kPadded, 1, Bytes{std::byte{2}} + Bytes(2)))},
      {"priority", same(frame(FrameType::kPriority, 0, 1, bytes("12345")))},
      {"unknown", same(frame(static_cast<FrameType>(99), 0, 1))},
      {"answers to no PING", same(frame(FrameType::kPing, kAck, 0, bytes("12345678")))},
      {"GOAWAY", same(frame(FrameType::kGoaway, 0, 0, u32(0) + u32(0)))},
      {"resets of gone streams", same(frame(FrameType::kReset, 0, 3, u32(8)))},
      {"malformed requests", [](int i) { return frame(FrameType::kHeaders, kEndHeaders, 5 + 2 * i, block({{"a", "b"}})); }},
  };
  for (const auto& [what, input] : floods) {
    Server server;
    server.request(1);
    server.request(3);
    server.engine.reset(3, ErrorCode::kCancel);

    EXPECT_LT(endure(server.engine, input, 20'000), 10'001) << what;
    EXPECT_TRUE(server.engine.failed()) << what;
  }
}

TEST(Engine, EndsAPeerThatAnnoysItsOwner) {
  Server server;
  int times = 0;
  std::optional<Event> ended;
  while (times < 20'000 && !(ended = server.engine.annoyed("jokes"))) ++times;

  EXPECT_EQ(times, 9'999) << "and its SETTINGS";
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->kind, Kind::kFailed);
  EXPECT_EQ(ended->error.text, "HTTP/2: flooded with jokes (ENHANCE_YOUR_CALM)");
  EXPECT_TRUE(server.engine.failed());
}

TEST(Engine, KeepsNoMemoryOfALargeHeaderBlock) {
  Server server;
  auto headers = kConnect;
  for (int i = 0; i < 10; ++i) headers.push_back({"x-" + std::to_string(i), std::string(3000, 'v')});
  const std::size_t before = server.engine.held();

  EXPECT_EQ(read(server.engine, frame(FrameType::kHeaders, kEndHeaders, 1, block(headers))).substr(0, 7), "request");

  EXPECT_LE(server.engine.held(), before + 4096);
}

TEST(Engine, EndsRapidResets) {
  Server server;

  const int taken = endure(
      server.engine,
      [](int i) {
        const auto id = static_cast<std::uint32_t>(1 + 2 * i);
        return frame(FrameType::kHeaders, kEndHeaders, id, block(kConnect)) + frame(FrameType::kReset, 0, id, u32(8));
      },
      5'000);

  EXPECT_EQ(taken, 1'000);
}

TEST(Engine, ForgivesWithTime) {
  Server server;
  auto now = Engine::Clock::now();

  const int taken = endure(
      server.engine,
      [&](int) {
        server.engine.set_now(now += std::chrono::milliseconds(10));
        return frame(FrameType::kPing, 0, 0, bytes("12345678"));
      },
      20'000);

  EXPECT_EQ(taken, 20'000);
}

TEST(Engine, BoundsHeaderBlocksOfManyFrames) {
  Server large;
  Server empty;

  read(large.engine, frame(FrameType::kHeaders, 0, 1, Bytes(16000)));
  EXPECT_EQ(endure(large.engine, [](int) { return frame(FrameType::kContinuation, 0, 1, Bytes(16000)); }, 100), 3);
  read(empty.engine, frame(FrameType::kHeaders, 0, 1));
  EXPECT_EQ(endure(empty.engine, [](int) { return frame(FrameType::kContinuation, 0, 1); }, 100), 31);
}

}  // namespace
}  // namespace culvert::hbone
