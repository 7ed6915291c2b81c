#include "common/http/websocket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace culvert::http {
namespace {

using Kind = WebSocketMessage::Kind;
using testing::ElementsAre;
using testing::HasSubstr;

std::string frame(std::uint8_t first, std::string_view payload) {  // as a server sends it
  std::string out;
  out += static_cast<char>(first);
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else {
    out += static_cast<char>(126);
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size() & 0xff);
  }
  return out.append(payload);
}

struct Heard {
  std::vector<WebSocketMessage> messages;
  std::string error;
};

Heard read(std::string_view wire, std::size_t piece, std::size_t most = 1 << 20) {
  WebSocketReader reader(most);
  Heard out;
  for (std::size_t at = 0; at < wire.size(); at += piece) {
    const std::string_view next = wire.substr(at, piece);
    if (auto fed = reader.feed(std::as_bytes(std::span(next))); !fed) return out.error = fed.error().text, out;
    for (;;) {
      auto message = reader.take();
      if (!message) return out.error = message.error().text, out;
      if (!*message) break;
      out.messages.push_back(std::move(**message));
      if (out.messages.back().kind == Kind::kClose) return out;
    }
  }
  return out;
}

TEST(WebSocket, MessagesComeWholeWhereverTheyAreCut) {
  const std::string big(70'000, 'x');
  std::string long_form("\x82\x7f\0\0\0\0\0\x01\x11\x70", 10);
  const std::string wire = frame(0x82, "one") + frame(0x02, "t") + frame(0x89, "ping") + frame(0x00, "w") + frame(0x80, "o") +
                           frame(0x82, std::string(300, 'y')) + long_form + big + frame(0x88, "\x03\xe8");
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{1000}, wire.size()}) {
    const Heard heard = read(wire, piece);
    EXPECT_THAT(heard.messages,
                ElementsAre(WebSocketMessage{Kind::kData, "one"}, WebSocketMessage{Kind::kPing, "ping"},
                            WebSocketMessage{Kind::kData, "two"}, WebSocketMessage{Kind::kData, std::string(300, 'y')},
                            WebSocketMessage{Kind::kData, big}, WebSocketMessage{Kind::kClose, "\x03\xe8"}))
        << piece;
  }
}

TEST(WebSocket, WhatBreaksTheRulesIsRefused) {
  EXPECT_THAT(read(frame(0xc2, "x"), 100).error, HasSubstr("reserved bits"));
  EXPECT_THAT(read(std::string("\x82\x81\0\0\0\0x", 7), 100).error, HasSubstr("masked"));
  EXPECT_THAT(read(frame(0x83, "x"), 100).error, HasSubstr("unknown frame"));
  EXPECT_THAT(read(frame(0x8b, "x"), 100).error, HasSubstr("unknown control"));
  EXPECT_THAT(read(frame(0x09, "x"), 100).error, HasSubstr("control frame"));
  EXPECT_THAT(read(frame(0x89, std::string(126, 'x')), 1000).error, HasSubstr("control frame"));
  EXPECT_THAT(read(frame(0x80, "x"), 100).error, HasSubstr("out of order"));
  EXPECT_THAT(read(frame(0x02, "x") + frame(0x82, "y"), 100).error, HasSubstr("out of order"));
  EXPECT_THAT(read(frame(0x02, "abc") + frame(0x80, "def"), 100, 5).error, HasSubstr("longer than 5"));
  EXPECT_THAT(read(std::string("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10), 100).error, HasSubstr("longer than"));
}

TEST(WebSocket, NothingIsReadBehindAClose) {
  WebSocketReader reader;
  const std::string wire = frame(0x88, "") + frame(0x82, "x");
  ASSERT_TRUE(reader.feed(std::as_bytes(std::span(wire))));
  EXPECT_EQ((*reader.take())->kind, Kind::kClose);
  EXPECT_FALSE(reader.take());
  EXPECT_FALSE(reader.feed({}));
}

TEST(WebSocket, AClientsFrameIsMasked) {
  EXPECT_EQ(websocket_frame(Kind::kData, "Hello", {0x37, 0xfa, 0x21, 0x3d}),
            "\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");  // RFC 6455, 5.7
  const std::string big = websocket_frame(Kind::kData, std::string(65'536, 'x'), {0, 0, 0, 0});
  EXPECT_EQ(big.substr(0, 14), std::string("\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0", 14));
  EXPECT_EQ(big.size(), 65'536U + 14);
  EXPECT_EQ(websocket_frame(Kind::kPong, std::string(126, 'x'), {}).substr(0, 4), std::string("\x8a\xfe\0\x7e", 4));
}

}  // namespace
}  // namespace culvert::http
