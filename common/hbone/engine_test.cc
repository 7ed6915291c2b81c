#include "common/hbone/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <format>
#include <functional>

namespace culvert::hbone {
namespace {

using Kind = Event::Kind;
using Bytes = std::vector<std::byte>;

Bytes bytes(std::string_view text) {
  const auto span = std::as_bytes(std::span(text));
  return {span.begin(), span.end()};
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes u32(std::uint32_t value) {
  return {std::byte(value >> 24), std::byte(value >> 16 & 0xff), std::byte(value >> 8 & 0xff), std::byte(value & 0xff)};
}

Bytes frame(FrameType type, std::uint8_t flags, std::uint32_t stream, const Bytes& payload = {}) {
  const auto header =
      encode({.length = static_cast<std::uint32_t>(payload.size()), .type = type, .flags = flags, .stream = stream});
  return Bytes(header.begin(), header.end()) + payload;
}

Bytes setting(Setting id, std::uint32_t value) { return Bytes{std::byte{0}, static_cast<std::byte>(id)} + u32(value); }

Bytes block(const http::HeaderList& headers) {
  http::HpackEncoder encoder;  // a fresh table every time: what it adds, the decoder forgets or never asks for
  Bytes out;
  auto plain = headers;
  for (auto& header : plain) header.indexed = false;
  encoder.encode(plain, out);
  return out;
}

const http::HeaderList kConnect = {{":method", "CONNECT"}, {":authority", "10.0.0.1:80"}};
const Bytes kHello = bytes(kPreface) + frame(FrameType::kSettings, 0, 0);

// What happened, a line an event; DATA as text.
std::string read(Engine& engine, std::span<const std::byte> input) {
  std::string log;
  while (true) {
    const Event event = engine.next(input);
    const auto line = [&](std::string text) { log += (log.empty() ? "" : " ") + text + (event.end ? "." : ""); };
    switch (event.kind) {
      case Kind::kNone: return log;
      case Kind::kRequest: line(std::format("request{}", event.stream)); break;
      case Kind::kResponse: line(std::format("response{}={}", event.stream, event.headers.at(0).value)); break;
      case Kind::kData:
        line(std::format("data{}={}", event.stream,
                         std::string_view(reinterpret_cast<const char*>(event.data.data()), event.data.size())));
        break;
      case Kind::kReset: line(std::format("reset{}={}", event.stream, name(event.code))); break;
      case Kind::kRoom: line(std::format("room{}", event.stream)); break;
      case Kind::kPong: line("pong"); break;
      case Kind::kDrained: line("drained"); break;
      case Kind::kGoaway: line(std::format("goaway{}={}", event.stream, name(event.code))); break;
      case Kind::kFailed: line(std::format("failed={}", name(event.code))); break;
    }
  }
}

std::string read(Engine& engine, const Bytes& input) { return read(engine, std::span<const std::byte>(input)); }

// The frames in output(), by name, and empties it.
std::string said(Engine& engine) {
  std::string log;
  auto& out = engine.output();
  std::span<const std::byte> rest = out;
  const auto preface = std::as_bytes(std::span(kPreface));
  if (rest.size() >= preface.size() && std::ranges::equal(rest.first(preface.size()), preface))
    rest = rest.subspan(preface.size());
  static constexpr std::string_view kNames[] = {"DATA", "HEADERS", "PRIORITY", "RST",    "SETTINGS",
                                                "PUSH", "PING",    "GOAWAY",   "WINDOW", "CONT"};
  while (rest.size() >= kFrameHeader) {
    const auto header = decode_header(rest.first<kFrameHeader>());
    const auto payload = rest.subspan(kFrameHeader, header.length);
    log += (log.empty() ? "" : " ") + std::string(kNames[static_cast<int>(header.type)]) + std::to_string(header.stream);
    if (header.type == FrameType::kReset) log += "=" + std::string(name(static_cast<ErrorCode>(read_u32(payload))));
    if (header.type == FrameType::kWindowUpdate) log += "+" + std::to_string(read_u32(payload));
    if (header.type == FrameType::kGoaway)
      log +=
          "=" + std::to_string(read_u32(payload)) + "," + std::string(name(static_cast<ErrorCode>(read_u32(payload.subspan(4)))));
    if (header.has(kAck) && (header.type == FrameType::kSettings || header.type == FrameType::kPing)) log += "!";
    if (header.has(kEndStream) && (header.type == FrameType::kHeaders || header.type == FrameType::kData)) log += ".";
    rest = rest.subspan(kFrameHeader + header.length);
  }
  out.clear();
  return log;
}

// A server that has read a client's hello, with nothing in output().
struct Server {
  Engine engine;
  explicit Server(EngineOptions options = {}) : engine(Engine::Role::kServer, options) {
    read(engine, kHello);
    engine.output().clear();
  }
  std::string request(std::uint32_t id, std::uint8_t flags = 0) {
    return read(engine, frame(FrameType::kHeaders, kEndHeaders | flags, id, block(kConnect)));
  }
};

// A client with one request sent and the server's SETTINGS read.
struct Client {
  Engine engine;
  std::uint32_t id;
  explicit Client(EngineOptions options = {}, const Bytes& settings = {}) : engine(Engine::Role::kClient, options) {
    id = *engine.open(kConnect);
    read(engine, frame(FrameType::kSettings, 0, 0, settings));
    engine.output().clear();
  }
  std::string answer(std::string status = "200", std::uint8_t flags = 0) {
    return read(engine, frame(FrameType::kHeaders, kEndHeaders | flags, id, block({{":status", status}})));
  }
};

Bytes data(Engine& engine, std::uint32_t id, std::string_view text, bool end = false) {
  const auto header = engine.data(id, text.size(), end);
  return Bytes(header.begin(), header.end()) + bytes(text);
}

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
    EXPECT_EQ(said(server.engine), std::format("RST{}=PROTOCOL_ERROR", id));
    id += 2;
  }

  EXPECT_EQ(server.request(id), std::format("request{}", id));
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

    EXPECT_TRUE(log.ends_with(std::format("failed={}", name(broken.code)))) << broken.what << ": " << log;
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

    EXPECT_NE(log.find(std::format("reset1={}", name(broken.code))), log.npos) << broken.what << ": " << log;
    EXPECT_EQ(said(server.engine), std::format("RST1={}", name(broken.code))) << broken.what;
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
