#include "common/dump/dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace culvert::dump {
namespace {

using testing::HasSubstr;

model::Match every_attribute() {
  using model::StringMatch;
  const std::vector<StringMatch> strings = {StringMatch::parse("a"), StringMatch::parse("a*"), StringMatch::parse("*a"),
                                            StringMatch::parse("*")};
  model::Match out;
  out.namespaces = out.not_namespaces = out.principals = out.not_principals = strings;
  out.service_accounts = out.not_service_accounts = {{"shop", "web"}};
  out.source_ips = out.not_source_ips = {*Cidr::parse("10.0.0.0/8"), *Cidr::parse("fd00::/64")};
  out.destination_ips = out.not_destination_ips = {*Cidr::parse("10.1.2.3/32")};
  out.destination_ports = out.not_destination_ports = {80, 65535};
  return out;
}

model::Workload every_field() {
  model::Workload out;
  out.uid = "c//Pod/shop/web-0", out.name = "web-0", out.name_space = "shop", out.hostname = "h", out.network = "net1";
  out.addresses = {*IpAddress::parse("10.0.0.1"), *IpAddress::parse("fd00::1")};
  out.network_mode = model::NetworkMode::kHostNetwork, out.protocol = model::TunnelProtocol::kHbone, out.native_tunnel = true;
  out.trust_domain = "td", out.service_account = "web", out.node = "n1", out.cluster_id = "c", out.canonical_name = "web";
  out.canonical_revision = "v1", out.type = model::WorkloadType::kJob, out.workload_name = "owner";
  out.locality = {"r", "z", "s"}, out.health = model::Health::kUnhealthy, out.capacity = 7;
  out.waypoint = model::GatewayAddress{model::ServiceName{"shop", "wp.shop.svc"}, 15008};
  out.network_gateway = model::GatewayAddress{model::NetworkAddress{"net2", *IpAddress::parse("1.2.3.4")}, 15008};
  out.application_tunnel = {model::ApplicationTunnel::Protocol::kProxy, 81};
  out.services = {{"shop/web.shop.svc", {{80, 8080}, {81, 0}}}, {"shop/not-there", {{1, 2}}}};
  out.policies = {"shop/p", "istio-system/q"};
  return out;
}

model::Service every_service_field() {
  model::Service out;
  out.name = "web", out.name_space = "shop", out.hostname = "web.shop.svc";
  out.vips = {{"net1", *Cidr::parse("10.96.0.1/32")}, {"", *Cidr::parse("fd00::/112")}, {"net1", *Cidr::parse("10.200.0.0/16")}};
  out.ports = {{80, 8080}, {81, 0}};
  out.subject_alt_names = {"spiffe://td/ns/a/sa/b"};
  out.waypoint = model::GatewayAddress{model::ServiceName{"shop", "wp"}, 15008};
  out.weighted_waypoints = {{{model::NetworkAddress{"", *IpAddress::parse("fd00::9")}, 15008}, 3}};
  using Balancing = model::LoadBalancing;
  out.load_balancing = Balancing{{Balancing::Scope::kNetwork, Balancing::Scope::kZone, Balancing::Scope::kNode},
                                 Balancing::Mode::kFailover,
                                 Balancing::HealthPolicy::kAllowAll};
  out.ip_families = model::IpFamilies::kDual, out.canonical = true, out.visibility = model::Visibility::kNamespace;
  return out;
}

TEST(Dump, WhatIsWrittenIsReadBackWhole) {
  model::MeshBuilder builder;
  builder.upsert(every_field());
  builder.upsert(every_service_field());
  model::Policy policy{.name = "p",
                       .name_space = "shop",
                       .scope = model::Policy::Scope::kWorkloadSelector,
                       .action = model::Policy::Action::kDeny,
                       .rules = {},
                       .dry_run = true,
                       .invalid = "why"};
  policy.rules = {{}, {{{}, {{every_attribute(), {}}}}}};
  builder.upsert(policy);

  const auto read = dump::read(boost::json::serialize(write(builder.current())));

  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(*(*read)->workload("c//Pod/shop/web-0"), every_field());
  EXPECT_EQ(*(*read)->service("shop/web.shop.svc")->service, every_service_field());
  EXPECT_EQ(*(*read)->policy("shop/p"), policy);
  EXPECT_EQ((*read)->workload_count(), 1U);
  EXPECT_EQ((*read)->service_count(), 1U);
  EXPECT_EQ((*read)->policy_count(), 1U);
}

TEST(Dump, WhatIsLeftOutHasItsDefault) {
  const auto read = dump::read(
      R"({"workloads":[{"uid":"u","name":"n","namespace":"shop","workloadIps":["10.0.0.1"],"protocol":"HBONE","unknown":[1]}],
          "services":[],"policies":[],"certificates":[{"identity":7}],"config":{"anything":1}})");

  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ((*read)->workload("u")->identity().uri(), "spiffe://cluster.local/ns/shop/sa/default");
}

TEST(Dump, AMistakeIsNamedAndNothingIsLeftOut) {
  const auto refused = [](const std::string& policy) {
    const auto read = dump::read(R"({"workloads":[],"services":[],"policies":[)" + policy + "]}");
    return read ? "was read" : read.error().text;
  };
  EXPECT_THAT(refused(R"({"name":"p","namespace":"s","scope":"Global","action":"Audit","rules":[]})"),
              HasSubstr("dump.policies[0].action: \"Audit\" is not known"));
  EXPECT_THAT(refused(R"({"name":"p","namespace":"s","scope":"Global","rules":[]})"), HasSubstr("action: is missing"));
  EXPECT_THAT(refused(R"({"name":"p","scope":"Global","action":"Deny","rules":[[[{"sourceIps":["10.0.0.0/40"]}]]]})"),
              HasSubstr("dump.policies[0].rules[0][0][0].sourceIps[0]"));
  EXPECT_THAT(refused(R"({"name":"p","scope":"Global","action":"Deny","rules":[[[{"principals":[{"Regex":"x"}]}]]]})"),
              HasSubstr("principals[0]"));
  EXPECT_THAT(refused(R"({"name":"p","scope":"Global","action":"Deny","rules":[[[{"destinationPorts":[70000]}]]]})"),
              HasSubstr("destinationPorts[0]: is no port"));
  for (const char* text :
       {"", "[]", "{}", R"({"workloads":[],"services":[]})", R"({"workloads":{},"services":[],"policies":[]})"})
    EXPECT_FALSE(dump::read(text)) << text;
}

}  // namespace
}  // namespace culvert::dump
