#include "common/http/http2.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace culvert::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct End final : Http2::Events {
  explicit End(Http2::Role role, const Http2::Limits& limits = {}) : session(role, limits, *this) {}

  void on_headers(Http2::StreamId stream, HeaderList headers) override { heard[stream].push_back(std::move(headers)); }
  void on_data(Http2::StreamId stream, std::span<const std::byte> bytes) override {
    body[stream].append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (credits) session.credit(stream, bytes.size());
  }
  void on_end(Http2::StreamId stream) override { ended.push_back(stream); }
  void on_sent(Http2::StreamId stream) override { sent.push_back(stream); }
  void on_closed(Http2::StreamId stream, std::uint32_t code) override { closed[stream] = code; }

  std::map<Http2::StreamId, std::vector<HeaderList>> heard;
  std::map<Http2::StreamId, std::string> body;
  std::map<Http2::StreamId, std::uint32_t> closed;
  std::vector<Http2::StreamId> ended, sent;
  bool credits = true;
  Http2 session;
};

const HeaderList kRequest = {{.name = ":method", .value = "POST"},
                             {.name = ":scheme", .value = "https"},
                             {.name = ":path", .value = "/a.B/C"},
                             {.name = ":authority", .value = "here"},
                             {.name = "te", .value = "trailers"}};
const HeaderList kResponse = {{.name = ":status", .value = "200"}};
const HeaderList kTrailers = {{.name = "grpc-status", .value = "0"}};

Http2::Pieces pieces(std::initializer_list<std::string> texts) {
  Http2::Pieces out;
  for (const std::string& text : texts) out.push_back(std::make_shared<const std::string>(text));
  return out;
}

struct Http2Test : testing::Test {
  End client{Http2::Role::kClient}, server{Http2::Role::kServer};
  std::size_t moved = 0;

  static Status pass(End& from, End& to, std::size_t& count) {
    std::vector<std::byte> out;
    if (auto done = from.session.output(out, 1 << 20); !done) return done;
    count += out.size();
    return to.session.receive(out);
  }
  // Until neither has anything to say.
  Status talk() {
    for (std::size_t before = ~std::size_t{0}; before != moved;) {
      before = moved;
      if (auto done = pass(client, server, moved); !done) return done;
      if (auto done = pass(server, client, moved); !done) return done;
    }
    return {};
  }
};

TEST_F(Http2Test, MessagesGoBothWaysAndEndWithTrailers) {
  const auto stream = client.session.request(kRequest);
  client.session.send(stream, pieces({"one ", "and ", "", "two"}));
  ASSERT_TRUE(talk());
  EXPECT_THAT(server.heard[stream], ElementsAre(kRequest));
  EXPECT_EQ(server.body[stream], "one and two");
  EXPECT_THAT(client.sent, ElementsAre(stream));

  server.session.respond(stream, kResponse);
  server.session.send(stream, pieces({std::string(100'000, 'x')}));
  server.session.send(stream, pieces({"last"}));
  server.session.finish(stream, kTrailers);
  client.session.finish(stream, {});
  ASSERT_TRUE(talk());

  EXPECT_THAT(client.heard[stream], ElementsAre(kResponse, kTrailers));
  EXPECT_EQ(client.body[stream], std::string(100'000, 'x') + "last");
  EXPECT_THAT(client.ended, ElementsAre(stream));
  EXPECT_THAT(server.ended, ElementsAre(stream));
  EXPECT_EQ(client.closed.at(stream), Http2::kNoError);
  EXPECT_EQ(server.closed.at(stream), Http2::kNoError);
}

TEST_F(Http2Test, WhoIsAnsweredNeedsNotSayMore) {
  const auto stream = client.session.request(kRequest);
  ASSERT_TRUE(talk());
  server.session.respond(stream, kResponse, true);
  ASSERT_TRUE(talk());

  EXPECT_TRUE(client.closed.contains(stream));
  EXPECT_TRUE(server.closed.contains(stream));
}

TEST_F(Http2Test, AStreamThatIsNotReadKeepsItsPeerWaitingAndNobodyElse) {
  server.credits = false;
  const auto slow = client.session.request(kRequest);
  client.session.send(slow, pieces({std::string(200'000, 'x')}));
  ASSERT_TRUE(talk());
  EXPECT_EQ(server.body[slow].size(), 65'535U);

  const auto other = client.session.request(kRequest);
  client.session.send(other, pieces({"quick"}));
  ASSERT_TRUE(talk());
  EXPECT_EQ(server.body[other], "quick");

  server.session.widen(slow, 1 << 20);
  server.session.credit(slow, 65'535);
  ASSERT_TRUE(talk());
  EXPECT_EQ(server.body[slow].size(), 200'000U);
}

TEST_F(Http2Test, WhatAClosedStreamWasNotCreditedForIsTheConnections) {
  server.credits = false;
  for (int i = 0; i < 40; ++i) {  // 2.6 MB in all, of a connection of 1
    const auto stream = client.session.request(kRequest);
    client.session.send(stream, pieces({std::string(65'535, 'x')}));
    ASSERT_TRUE(talk());
    ASSERT_EQ(server.body[stream].size(), 65'535U) << i;
    client.session.reset(stream, Http2::kCancel);
    ASSERT_TRUE(talk());
    ASSERT_EQ(server.closed.at(stream), Http2::kCancel);
    server.session.credit(stream, 65'535);
  }
}

TEST_F(Http2Test, MessagesThatHaveNotBegunCanBeTakenBack) {
  client.credits = false;
  const auto stream = client.session.request(kRequest);
  ASSERT_TRUE(talk());
  server.session.respond(stream, kResponse);
  server.session.send(stream, pieces({std::string(70'000, 'a')}));
  server.session.send(stream, pieces({"never"}));
  ASSERT_TRUE(talk());

  server.session.drop_unsent(stream);
  server.session.finish(stream, kTrailers);
  client.session.credit(stream, 65'535);
  ASSERT_TRUE(talk());

  EXPECT_EQ(client.body[stream], std::string(70'000, 'a')) << "one that has begun is whole";
  EXPECT_THAT(client.heard[stream], ElementsAre(kResponse, kTrailers));
}

TEST_F(Http2Test, AHeaderListThatIsTooLongEndsItsStreamAlone) {
  HeaderList large = kRequest;
  for (int i = 0; i < 20; ++i) large.push_back({.name = "x", .value = std::string(1000, 'y'), .indexed = false});
  const auto stream = client.session.request(large);
  const auto other = client.session.request(kRequest);
  ASSERT_TRUE(talk());

  EXPECT_FALSE(server.heard.contains(stream));
  EXPECT_NE(client.closed.at(stream), Http2::kNoError);
  EXPECT_TRUE(server.heard.contains(other));
  EXPECT_FALSE(client.closed.contains(other));
}

TEST_F(Http2Test, WhoResetsTooOftenIsSentAway) {
  for (int i = 0; i < 1000; ++i) {
    const auto stream = client.session.request(kRequest);
    ASSERT_TRUE(pass(client, server, moved));
    client.session.reset(stream, Http2::kCancel);
    const auto done = pass(client, server, moved);
    if (!done || server.session.over()) return;
    std::vector<std::byte> out;
    std::ignore = server.session.output(out, 1 << 20);
    if (server.session.over()) return;
  }
  FAIL() << "a thousand resets";
}

// gRPC 1.51 does it.
TEST_F(Http2Test, TheResetOfAStreamThatHasNeverBegunIsOverlookedInWhateverPiecesItComes) {
  std::vector<std::byte> sent;
  client.session.request(kRequest);
  ASSERT_TRUE(client.session.output(sent, 1 << 20));
  const auto add = [&](std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    sent.insert(sent.end(), bytes.begin(), bytes.end());
  };
  using namespace std::string_view_literals;
  add("\0\0\4\3\0\0\0\0\5\0\0\0\10"sv);  // RST_STREAM of 5
  add("\0\0\10\6\0\0\0\0\0"
      "12345678"sv);                     // a ping
  add("\0\0\4\3\0\0\0\0\1\0\0\0\10"sv);  // RST_STREAM of 1, which has begun
  for (std::size_t size = 1; size <= 40; ++size) {
    End other(Http2::Role::kServer);
    for (std::size_t at = 0; at < sent.size(); at += size)
      ASSERT_TRUE(other.session.receive(std::span(sent).subspan(at, std::min(size, sent.size() - at)))) << size;
    std::vector<std::byte> said;
    ASSERT_TRUE(other.session.output(said, 1 << 20));
    EXPECT_THAT(other.heard[1], ElementsAre(kRequest)) << size;
    EXPECT_THAT(other.closed, ElementsAre(std::pair(1, Http2::kCancel))) << size;
    EXPECT_FALSE(other.session.broken() || other.session.over()) << size;
  }
}

TEST_F(Http2Test, AnyOtherFrameOfSuchAStreamEndsTheConnection) {
  ASSERT_TRUE(talk());
  using namespace std::string_view_literals;
  ASSERT_TRUE(server.session.receive(std::as_bytes(std::span("\0\0\4\10\0\0\0\0\5\0\0\0\10"sv))));  // WINDOW_UPDATE
  std::vector<std::byte> said;
  ASSERT_TRUE(server.session.output(said, 1 << 20));

  EXPECT_TRUE(server.session.broken());
  EXPECT_TRUE(server.session.over());
}

TEST_F(Http2Test, WhatIsNoHttp2EndsIt) {
  const std::string text = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
  const auto done = server.session.receive(std::as_bytes(std::span(text)));

  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text, HasSubstr("HTTP/2: "));
}

TEST_F(Http2Test, AnEndThatIsAnnouncedLetsWhatRunsGoOn) {
  const auto stream = client.session.request(kRequest);
  ASSERT_TRUE(talk());
  server.session.announce_end();
  ASSERT_TRUE(talk());
  server.session.end();
  server.session.respond(stream, kResponse);
  server.session.send(stream, pieces({"still here"}));
  ASSERT_TRUE(talk());
  EXPECT_EQ(client.body[stream], "still here");
  EXPECT_FALSE(server.session.over());

  server.session.finish(stream, kTrailers);
  client.session.finish(stream, {});
  ASSERT_TRUE(talk());

  EXPECT_TRUE(server.session.over());
}

}  // namespace
}  // namespace culvert::http
