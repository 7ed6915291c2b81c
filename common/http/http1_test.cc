#include "common/http/http1.h"

#include <gtest/gtest.h>

namespace culvert::http {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(RequestReader, ReadsRequestsOneAfterTheOtherInAnyPieces) {
  const std::string text =
      "POST /logging?level=proxy%3A%3Ainbound%3Ddebug&reset HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
      "GET /metrics HTTP/1.1\r\nhost: y\r\nConnection: close\r\n\r\n";
  for (std::size_t step = 1; step < text.size(); ++step) {
    RequestReader reader;
    std::vector<Request> requests;
    std::size_t at = 0;
    while (at < text.size()) {
      const auto taken = reader.feed(bytes(text).subspan(at, std::min(step, text.size() - at)));
      ASSERT_TRUE(taken) << taken.error().text;
      at += *taken;
      if (reader.complete()) {
        requests.push_back(reader.take());
        EXPECT_EQ(reader.keep_alive(), requests.size() == 1);
        EXPECT_FALSE(reader.begun());
      }
    }

    ASSERT_EQ(requests.size(), 2U);
    EXPECT_EQ(requests[0].method, "POST");
    EXPECT_EQ(requests[0].path(), "/logging");
    EXPECT_EQ(requests[0].query("level"), "proxy::inbound=debug");
    EXPECT_EQ(requests[0].query("reset"), "");
    EXPECT_EQ(requests[0].query("other"), std::nullopt);
    EXPECT_EQ(requests[0].body, "hello");
    EXPECT_EQ(requests[1].target, "/metrics");
    EXPECT_EQ(requests[1].headers.get("HOST"), "y");
  }
}

TEST(RequestReader, ReadsChunkedBodies) {
  RequestReader reader;
  ASSERT_TRUE(
      reader.feed(bytes("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")));
  ASSERT_TRUE(reader.complete());
  EXPECT_EQ(reader.take().body, "abcde");
}

TEST(RequestReader, RefusesWhatServersDisagreeAbout) {
  const std::pair<const char*, int> cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", 400},                                                                          // no Host
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},                                                    // two
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},  // smuggling
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nx", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: a\n\n", 400},  // bare LF
      {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
      {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"\x16\x03\x01\x02", 400},  // TLS
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413},
  };
  for (const auto& [text, status] : cases) {
    RequestReader reader;
    const auto fed = reader.feed(bytes(text));
    EXPECT_FALSE(fed && reader.complete()) << text;
    EXPECT_FALSE(fed) << text;
    EXPECT_EQ(reader.status(), status) << text;
  }
}

TEST(RequestReader, HoldsToItsLimits) {
  const auto status = [](const std::string& text) {
    RequestReader reader({.target = 10, .headers = 100, .header_count = 3, .body = 10});
    std::ignore = reader.feed(bytes(text));
    return reader.complete() ? 200 : reader.status();
  };
  EXPECT_EQ(status("GET /123456789 HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
  EXPECT_EQ(status("GET /1234567890 HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(100, 'x') + "\r\n\r\n"), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n"), 431);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n"), 413);
}

TEST(ResponseReader, ReadsEveryFraming) {
  ResponseReader reader;
  reader.expect("GET");
  ASSERT_TRUE(reader.feed(bytes("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
  ASSERT_TRUE(reader.complete());
  EXPECT_EQ(reader.take().body, "ok");
  EXPECT_TRUE(reader.keep_alive());
  reader.expect("HEAD");
  ASSERT_TRUE(reader.feed(bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")));
  ASSERT_TRUE(reader.complete());
  EXPECT_EQ(reader.take().body, "");
  reader.expect("GET");
  ASSERT_TRUE(reader.feed(bytes("HTTP/1.1 404 Not Found\r\n\r\nuntil the end")));
  EXPECT_FALSE(reader.complete());
  ASSERT_TRUE(reader.finish());
  const Response last = reader.take();
  EXPECT_EQ(last.status, 404);
  EXPECT_EQ(last.body, "until the end");
}

TEST(ResponseReader, AnEndInTheMiddleIsAnError) {
  ResponseReader reader;
  ASSERT_TRUE(reader.feed(bytes("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort")));
  EXPECT_FALSE(reader.finish());
  ResponseReader idle;
  EXPECT_TRUE(idle.finish());
}

TEST(ResponseReader, HandsOnABodyInPiecesAsItComes) {
  const std::string text =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"
      "5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\n\r\n"
      "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
  for (std::size_t step = 1; step < text.size(); ++step) {
    ResponseReader reader;
    std::vector<std::string> bodies(1);
    std::size_t at = 0;
    reader.expect("GET", ResponseReader::Body::kPieces);
    while (at < text.size()) {
      const auto taken = reader.feed(bytes(text).subspan(at, std::min(step, text.size() - at)));
      ASSERT_TRUE(taken) << taken.error().text;
      at += *taken;
      if (reader.headed()) {
        EXPECT_EQ(reader.status(), bodies.size() == 1 ? 200 : 404);
        EXPECT_EQ(reader.headers().count("x"), bodies.size() == 1 ? 1U : 0U);
        bodies.back() += reader.take_body();
      }
      if (!reader.complete()) continue;
      EXPECT_EQ(reader.take().body, "");
      EXPECT_TRUE(reader.keep_alive());
      EXPECT_FALSE(reader.headed());
      bodies.emplace_back();
      reader.expect("GET", ResponseReader::Body::kPieces);
    }

    ASSERT_EQ(bodies.size(), 3U);
    EXPECT_EQ(bodies[0], "hello, world");
    EXPECT_EQ(bodies[1], "no");
  }
}

TEST(ResponseReader, PiecesMayBeOfAnyLengthButNotLieAround) {
  ResponseReader reader({.body = 10});
  reader.expect("GET", ResponseReader::Body::kPieces);
  ASSERT_TRUE(reader.feed(bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")));
  EXPECT_EQ(reader.take_body(), "0123456789");
  EXPECT_TRUE(reader.feed(bytes("0123456789")));

  EXPECT_FALSE(reader.feed(bytes("0")));

  ResponseReader whole({.body = 10});
  whole.expect("GET");
  EXPECT_FALSE(whole.feed(bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")));
}

TEST(ResponseReader, ABodyOfSeveralChunksDoesNotGrowAndLeaveWhatItHeldBehind) {
  const std::string half(1000, 's');
  const std::string text =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + half + "\r\n3e8\r\n" + half + "\r\n0\r\n\r\n";
  ResponseReader reader;
  reader.expect("GET", ResponseReader::Body::kPieces);

  ASSERT_TRUE(reader.feed(bytes(text)));

  const std::string body = reader.take_body();
  EXPECT_EQ(body, half + half);
  EXPECT_GE(body.capacity(), text.size()) << "it has been moved while it grew";
}

TEST(ResponseReader, RefusesAFloodOfHeaders) {
  ResponseReader reader;
  std::string flood = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 200; ++i) flood += "X-" + std::to_string(i) + ": y\r\n";
  EXPECT_FALSE(reader.feed(bytes(flood)));
  EXPECT_FALSE(reader.headed());
}

TEST(ToWire, WritesMessagesThatReadBack) {
  RequestReader requests;
  ASSERT_TRUE(requests.feed(bytes(to_wire(Request{.method = "POST", .target = "/x", .headers = {}, .body = "b"}, "h:1"))));
  const Request request = requests.take();
  EXPECT_EQ(request.headers.get("host"), "h:1");
  EXPECT_EQ(request.body, "b");

  EXPECT_EQ(
      to_wire(text_response(404, "no\n"), false),
      "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n");
}

}  // namespace
}  // namespace culvert::http
