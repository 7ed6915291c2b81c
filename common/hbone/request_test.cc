#include "common/hbone/request.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace culvert::hbone {
namespace {

TEST(Authority, ReadsAddressesAndNames) {
  EXPECT_EQ(Authority::parse("10.0.0.1:80")->ip.text(), "10.0.0.1");
  EXPECT_EQ(Authority::parse("[fd00::1]:80")->ip.text(), "fd00::1");
  EXPECT_EQ(Authority::parse("server.default.svc.cluster.local:8080")->host, "server.default.svc.cluster.local");
  EXPECT_EQ(Authority::parse("server:8080")->port, 8080);
  EXPECT_FALSE(Authority::parse("server:8080")->is_ip());
}

TEST(Authority, PrintsWhatItRead) {
  for (const auto text : {"10.0.0.1:80", "[fd00::1]:65535", "a.b:1"}) EXPECT_EQ(Authority::parse(text)->text(), text);
}

TEST(Authority, RefusesWhatIsNoTarget) {
  for (const auto text :
       {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:8x", "10.0.0.1:-1", "fd00::1:80", "[fd00::1]",
        "[10.0.0.1]:80", "[a.b]:80", "[]:80", "a b:80", "a/b:80", ":80", "\"x\":80"}) {
    const auto authority = Authority::parse(text);
    ASSERT_FALSE(authority) << text;
    EXPECT_EQ(authority.error().reason, Reason::kBadRequest);
  }
}

TEST(Forwarded, NamesTheClientAndTheService) {
  const Forwarded v4{.source = *Endpoint::parse("10.0.0.1:3456"), .host = "server.default"};
  const Forwarded v6{.source = *Endpoint::parse("[fd00::1]:3456")};

  EXPECT_EQ(v4.text(), "for=\"10.0.0.1:3456\";host=server.default");
  EXPECT_EQ(v6.text(), "for=\"[fd00::1]:3456\"");
  EXPECT_EQ(Forwarded::parse(v4.text()), v4);
  EXPECT_EQ(Forwarded::parse(v6.text()), v6);
  EXPECT_EQ(Forwarded::parse("for=unknown;host=\"a\nb\""), Forwarded{});
}

TEST(ConnectRequest, SurvivesItsHeaders) {
  const ConnectRequest request{.authority = *Authority::parse("10.0.0.1:80"),
                               .baggage = "k8s.cluster.name=c",
                               .forwarded = {.source = *Endpoint::parse("10.0.0.2:1")},
                               .traceparent = make_traceparent(),
                               .forwarded_network = "n1"};

  const auto read = ConnectRequest::parse(request.headers());

  ASSERT_TRUE(read);
  EXPECT_EQ(read->authority, request.authority);
  EXPECT_EQ(read->baggage, request.baggage);
  EXPECT_EQ(read->forwarded, request.forwarded);
  EXPECT_EQ(read->traceparent, request.traceparent);
  EXPECT_EQ(read->forwarded_network, "n1");
}

TEST(ConnectRequest, RefusesOtherMethodsAndBadTargets) {
  EXPECT_EQ(ConnectRequest::parse(http::HeaderList{{":method", "GET"}, {":authority", "a:1"}}).error().reason,
            Reason::kBadRequest);
  EXPECT_FALSE(ConnectRequest::parse(http::HeaderList{{":method", "CONNECT"}}));
  EXPECT_FALSE(ConnectRequest::parse(http::HeaderList{{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}}));
}

TEST(ConnectRequest, ATraceparentIsNewEachTime) {
  const std::string trace = make_traceparent();

  EXPECT_EQ(trace.size(), 55u);
  EXPECT_EQ(trace.find_first_not_of("0123456789abcdef-"), trace.npos);
  EXPECT_NE(trace, make_traceparent());
  const http::HeaderList headers = {{":method", "CONNECT"}, {":authority", "a:1"}, {"traceparent", trace}};
  EXPECT_EQ(ConnectRequest::parse(headers)->traceparent, trace);
}

TEST(ConnectRequest, DropsAMalformedTraceparent) {
  http::HeaderList headers = {{":method", "CONNECT"}, {":authority", "a:1"}, {"traceparent", "00-x"}};

  EXPECT_EQ(ConnectRequest::parse(headers)->traceparent, "");
}

TEST(ConnectRequest, JoinsRepeatedBaggage) {
  http::HeaderList headers = {
      {":method", "CONNECT"}, {":authority", "a:1"}, {"baggage", "k8s.cluster.name=c"}, {"baggage", "service.name=s"}};

  EXPECT_EQ(ConnectRequest::parse(headers)->baggage, "k8s.cluster.name=c,service.name=s");
}

TEST(ConnectRequest, LeavesOutWhatIsLongerThanAnybodyNeeds) {
  http::HeaderList headers = {{":method", "CONNECT"}, {":authority", "a:1"}, {"baggage", "k8s.cluster.name=c"}};
  for (int i = 0; i < 16; ++i) headers.push_back({"baggage", std::string(3000, 'x')});
  headers.push_back({"traceparent", std::string(10'000, '0')});
  headers.push_back({"x-forwarded-network", std::string(10'000, 'n')});

  const auto request = ConnectRequest::parse(headers);

  EXPECT_EQ(request->baggage, "k8s.cluster.name=c," + std::string(3000, 'x'));
  EXPECT_EQ(request->forwarded_network, "");
  EXPECT_GE(request->held(), 3000u);
  EXPECT_LE(request->held(), 8'000u);
}

TEST(ConnectResponse, ReadsTheStatus) {
  EXPECT_EQ(ConnectResponse::parse(http::HeaderList{{":status", "401"}})->status, 401);
  EXPECT_FALSE(ConnectResponse::parse(http::HeaderList{{":status", "2000"}}));
  EXPECT_FALSE(ConnectResponse::parse(http::HeaderList{}));
}

}  // namespace
}  // namespace culvert::hbone
