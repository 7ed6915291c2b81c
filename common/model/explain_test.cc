#include "common/model/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::model {
namespace {

using testing::HasSubstr;

struct ExplainTest : testing::Test {
  ExplainTest() {
    service.name = "web", service.name_space = "shop", service.hostname = "web.shop.svc";
    service.vips = {{"", *Cidr::parse("10.96.0.1/32")}};
    service.ports = {{80, 8080}};
    service.ip_families = IpFamilies::kIpv4Only;
    for (const char* name : {"a", "b", "outside"}) {
      Workload& one = workloads[name];
      one.uid = name, one.name = name, one.name_space = "shop", one.service_account = name;
      one.addresses = {*IpAddress::parse("10.0.0." + std::to_string(workloads.size()))};
      one.protocol = std::string(name) == "outside" ? TunnelProtocol::kNone : TunnelProtocol::kHbone;
    }
    workloads["b"].services = {{service.key(), {}}};
  }
  std::vector<Route> explain(const char* from, const char* to) {
    MeshBuilder builder;
    builder.upsert(service);
    for (const auto& [name, workload] : workloads) builder.upsert(workload);
    for (const Policy& policy : policies) builder.upsert(policy);
    mesh = builder.build();
    return model::explain(*mesh, *mesh->workload(from), *Endpoint::parse(to));
  }
  static Policy deny_without_identity() {
    Policy out{.name = "strict", .name_space = "shop", .scope = Policy::Scope::kNamespace, .action = Policy::Action::kDeny};
    out.rules.push_back({{{{Match{.not_principals = {StringMatch::parse("*")}}}}}});
    return out;
  }

  Service service;
  std::map<std::string, Workload> workloads;
  std::vector<Policy> policies;
  std::shared_ptr<const Mesh> mesh;
};

TEST_F(ExplainTest, ATunnelIsJudgedByTheIdentityThatItProves) {
  policies.push_back(deny_without_identity());

  const auto routes = explain("a", "10.96.0.1:80");

  ASSERT_EQ(routes.size(), 1U);
  EXPECT_TRUE(routes[0].allowed()) << routes[0].text();
  EXPECT_EQ(routes[0].plan->dial.text(), workloads["b"].addresses[0].text() + ":15008");
  EXPECT_EQ(routes[0].arrives.port, 8080);
  EXPECT_EQ(routes[0].peer.identity->service_account, "a");
}

TEST_F(ExplainTest, WhoIsOutsideProvesNothing) {
  EXPECT_TRUE(explain("outside", "10.96.0.1:80")[0].allowed());
  policies.push_back(deny_without_identity());

  const auto routes = explain("outside", "10.96.0.1:80");

  ASSERT_EQ(routes.size(), 1U);
  EXPECT_FALSE(routes[0].allowed());
  EXPECT_EQ(routes[0].plan->via, Plan::Via::kPlaintext);
  EXPECT_THAT(routes[0].text(), HasSubstr("denied by policy shop/strict, rule 1"));
}

TEST_F(ExplainTest, TheKernelOfWhoIsOutsideKnowsNoServiceEntry) {
  service.ip_families = IpFamilies::kAutomatic;
  service.vips = {{"", *Cidr::parse("198.51.100.0/24")}};

  EXPECT_EQ(explain("outside", "198.51.100.1:80")[0].plan->dial.text(), "198.51.100.1:80");
  EXPECT_EQ(explain("a", "198.51.100.1:80")[0].plan->workload->name, "b");
}

TEST_F(ExplainTest, NobodyJudgesAtAPodOutsideOrAtAnUnknownAddress) {
  policies.push_back(deny_without_identity());
  for (const std::string& to : {workloads["outside"].addresses[0].text() + ":80", std::string("192.0.2.1:80")}) {
    const auto routes = explain("a", to.c_str());
    EXPECT_FALSE(routes[0].verdict) << to;
    EXPECT_TRUE(routes[0].allowed()) << to;
  }
}

TEST_F(ExplainTest, AWaypointIsNamedAndRefused) {
  service.waypoint = GatewayAddress{ServiceName{"shop", "wp.shop.svc"}, 15008};

  const auto routes = explain("a", "10.96.0.1:80");

  EXPECT_FALSE(routes[0].allowed());
  EXPECT_THAT(routes[0].text(), HasSubstr("waypoint shop/wp.shop.svc:15008"));
  EXPECT_TRUE(explain("outside", "10.96.0.1:80")[0].allowed()) << "whoever is outside goes past it";
}

TEST_F(ExplainTest, AnotherTrustDomainIsNotLetIn) {
  workloads["b"].trust_domain = "elsewhere";

  const auto routes = explain("a", "10.96.0.1:80");

  EXPECT_FALSE(routes[0].allowed());
  EXPECT_EQ(routes[0].refused.reason, Reason::kTlsFailure);
}

}  // namespace
}  // namespace culvert::model
