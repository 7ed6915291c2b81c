#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/admin/server.h"
#include "common/http/http1.h"
#include "common/net/dial.h"
#include "common/net/timer.h"

namespace culvert::admin {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

net::Task<http::Response> fetch(net::Loop& loop, Endpoint to, http::Request request, std::string host) {
  auto stream = *co_await net::dial(loop, {.to = to});
  const std::string wire = http::to_wire(request, host);
  std::ignore = co_await stream.write_all(bytes(wire));
  http::ResponseReader reader;
  reader.expect(request.method);
  while (!reader.complete()) {
    const auto scratch = loop.scratch();
    const net::Io io = co_await stream.read(scratch);
    if (!io.ok()) {
      EXPECT_TRUE(reader.finish());
      break;
    }
    EXPECT_TRUE(reader.feed(scratch.first(io.bytes)));
  }
  if (!reader.complete()) co_return http::Response{.status = 0};
  co_return reader.take();
}

class AdminTest : public testing::Test {
 protected:
  AdminTest() {
    add_metrics(server, registry);
    server.on(Port::kReadiness, "GET", "/healthz/ready", "ready?",
              [](const http::Request&) { return http::text_response(200, "ready\n"); });
    add_logging(server);
    add_quit(server, [this] { quit = true; });
    server.on(Port::kAdmin, "GET", "/config_dump", "all", [](const http::Request&) { return http::json_response("{}"); });
    server.on_async(Port::kAdmin, "GET", "/slow", "waits", [this](const http::Request&) { return slow(loop); });
    server.on(Port::kAdmin, "GET", "/debug/x", "for some", [](const http::Request&) { return http::text_response(200, "x\n"); });
    server.guard("/debug", Port::kMetrics, [this](http::Request request, Endpoint peer) { return guard(request, peer); });
    admin = *server.listen(Port::kAdmin, {.at = *Endpoint::parse("127.0.0.1:0")});
    metrics = *server.listen(Port::kMetrics, {.at = *Endpoint::parse("127.0.0.1:0")});
    ready = *server.listen(Port::kReadiness, {.at = *Endpoint::parse("127.0.0.1:0")});
  }
  static net::Task<http::Response> slow(net::Loop& loop) {
    co_await net::sleep_for(loop, 5ms);
    co_return http::text_response(200, "at last\n");
  }
  net::Task<std::optional<http::Response>> guard(http::Request request, Endpoint peer) {
    EXPECT_TRUE(peer.address.is_loopback()) << peer.text();
    co_await net::sleep_for(loop, 1ms);
    if (request.query("please")) co_return std::nullopt;
    co_return http::text_response(401, "say please\n");
  }
  http::Response get(Endpoint from, std::string target, std::string host = "localhost:15000") {
    return loop.run(fetch(loop, from, {.target = std::move(target), .headers = {}, .body = {}}, std::move(host)));
  }
  http::Response post(Endpoint to, std::string target, http::Headers headers = {}) {
    return loop.run(fetch(loop, to, {.method = "POST", .target = std::move(target), .headers = std::move(headers), .body = {}},
                          "127.0.0.1:15000"));
  }

  net::Loop loop;
  telemetry::Registry registry;
  Server server{loop, "ztunnel"};
  Endpoint admin, metrics, ready;
  bool quit = false;
};

TEST_F(AdminTest, EachPortShowsItsOwnPages) {
  registry.counter("x_total", "X").add(2);
  for (const char* path : {"/metrics", "/stats/prometheus"}) {
    EXPECT_THAT(get(metrics, path).body, HasSubstr("x_total 2\n"));
    EXPECT_THAT(get(admin, path).body, HasSubstr("x_total 2\n"));
    EXPECT_EQ(get(ready, path).status, 404);
  }
  EXPECT_EQ(get(admin, "/config_dump").body, "{}");
  EXPECT_EQ(get(metrics, "/config_dump").status, 404);
  EXPECT_EQ(post(metrics, "/quitquitquit").status, 404);
  EXPECT_FALSE(quit);
  EXPECT_THAT(get(admin, "/").body, testing::AllOf(HasSubstr("/config_dump"), HasSubstr("/healthz/ready")));
  EXPECT_THAT(get(metrics, "/").body, Not(HasSubstr("/config_dump")));
  EXPECT_EQ(get(admin, "/slow").body, "at last\n");
}

TEST_F(AdminTest, AGuardedPageIsShownOnBothPortsToWhomTheGuardLetsBy) {
  for (const Endpoint& port : {admin, metrics}) {
    EXPECT_EQ(get(port, "/debug/x").status, 401);
    EXPECT_EQ(get(port, "/debug/x?please").body, "x\n");
    EXPECT_EQ(get(port, "/debug/x?please", "evil.example").status, 403);
    EXPECT_EQ(get(port, "/debug/y?please").status, 404);
  }
  EXPECT_EQ(get(ready, "/debug/x?please").status, 404);
}

// Connects and says nothing.
net::Task<> idle(net::Loop& loop, Endpoint to, std::vector<net::Stream>& into, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) into.push_back(*co_await net::dial(loop, {.to = to}));
}

TEST_F(AdminTest, WhoeverHoldsManyConnectionsKeepsNobodyElseOut) {
  std::vector<net::Stream> held;
  loop.run(idle(loop, metrics, held, 300));

  EXPECT_EQ(get(ready, "/healthz/ready").body, "ready\n");
  EXPECT_EQ(get(metrics, "/metrics").status, 200);  // in place of the one that has idled longest
  EXPECT_EQ(get(admin, "/slow").body, "at last\n");
}

TEST_F(AdminTest, ChangesNeedPostAndNoBrowser) {
  EXPECT_EQ(get(admin, "/quitquitquit").status, 405);
  EXPECT_EQ(get(admin, "/quitquitquit").headers.get("allow"), "POST");
  EXPECT_EQ(post(admin, "/quitquitquit", {{"Origin", "http://evil.example"}}).status, 403);
  EXPECT_EQ(get(admin, "/config_dump", "evil.example").status, 403);
  EXPECT_EQ(get(admin, "/config_dump", "[::1]:15000").status, 200);
  EXPECT_FALSE(quit);
  EXPECT_EQ(post(admin, "/quitquitquit").status, 200);
  EXPECT_TRUE(quit);
}

TEST_F(AdminTest, LoggingRefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(post(admin, "/logging?level=loud").status, 400);
  const http::Response changed = post(admin, "/logging?reset&level=access%3Ddebug");
  EXPECT_EQ(changed.body, "info,access=debug\n");
}

TEST_F(AdminTest, ServesSeveralRequestsOfOneConnectionAndRefusesGarbage) {
  const auto text = loop.run([](net::Loop& l, Endpoint to) -> net::Task<std::string> {
    auto stream = *co_await net::dial(l, {.to = to});
    const std::string_view requests =
        "GET /healthz/ready HTTP/1.1\r\nHost: a\r\n\r\nHEAD /healthz/ready HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz/ready "
        "HTTP/1.1\r\nBAD\r\n\r\n";
    std::ignore = co_await stream.write_all(bytes(requests));
    std::string all;
    for (;;) {
      const auto scratch = l.scratch();
      const net::Io io = co_await stream.read(scratch);
      if (!io.ok()) co_return all;
      all.append(reinterpret_cast<const char*>(scratch.data()), io.bytes);
    }
  }(loop, ready));

  EXPECT_EQ(text,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n\r\nready\n"
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 6\r\n\r\n"
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\nConnection: "
            "close\r\n\r\nBad Request\n");
}

TEST(AdminServer, PortInUseIsOneClearLine) {
  net::Loop loop;
  Server first(loop, "a");
  const Endpoint taken = *first.listen(Port::kAdmin, {.at = *Endpoint::parse("127.0.0.1:0")});
  Server second(loop, "b");
  EXPECT_EQ(second.listen(Port::kAdmin, {.at = taken}).error().text,
            "listening on " + taken.text() + ": binding: Address already in use");
}

}  // namespace
}  // namespace culvert::admin
