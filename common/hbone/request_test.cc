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

TEST(Baggage, IsWrittenInIstiosOrder) {
  const Baggage baggage{.cluster = "c",
                        .name_space = "n",
                        .workload_type = "deployment",
                        .workload_name = "w",
                        .service = "s",
                        .revision = "v1",
                        .region = "r",
                        .zone = "z"};

  EXPECT_EQ(baggage.text(),
            "k8s.cluster.name=c,k8s.namespace.name=n,k8s.deployment.name=w,service.name=s,service.version=v1,cloud.region=r,"
            "cloud.availability_zone=z");
  EXPECT_EQ(Baggage::parse(baggage.text()), baggage);
}

TEST(Baggage, IgnoresWhatItDoesNotKnow) {
  const auto baggage = Baggage::parse(
      " k8s.cluster.name = c ,app.name=x,=,,k8s.pod.name=p,service.name=,k8s.namespace.name=a,k8s.namespace.name=b");

  EXPECT_EQ(baggage, (Baggage{.cluster = "c", .name_space = "b", .workload_type = "pod", .workload_name = "p"}));
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
                               .baggage = {.cluster = "c"},
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

TEST(ConnectRequest, DropsAMalformedTraceparent) {
  http::HeaderList headers = {{":method", "CONNECT"}, {":authority", "a:1"}, {"traceparent", "00-x"}};

  EXPECT_EQ(ConnectRequest::parse(headers)->traceparent, "");
}

TEST(ConnectRequest, JoinsRepeatedBaggage) {
  http::HeaderList headers = {
      {":method", "CONNECT"}, {":authority", "a:1"}, {"baggage", "k8s.cluster.name=c"}, {"baggage", "service.name=s"}};

  EXPECT_EQ(ConnectRequest::parse(headers)->baggage, (Baggage{.cluster = "c", .service = "s"}));
}

TEST(ConnectResponse, ReadsTheStatus) {
  EXPECT_EQ(ConnectResponse::parse(http::HeaderList{{":status", "401"}})->status, 401);
  EXPECT_FALSE(ConnectResponse::parse(http::HeaderList{{":status", "2000"}}));
  EXPECT_FALSE(ConnectResponse::parse(http::HeaderList{}));
}

}  // namespace
}  // namespace culvert::hbone
