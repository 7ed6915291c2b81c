#include "common/model/balance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "common/model/test_addresses.h"

namespace culvert::model {
namespace {

using BalanceScope = LoadBalancing::Scope;
using Mode = LoadBalancing::Mode;

struct Choice {
  MeshBuilder builder;
  Workload source;
  Service service;
  Endpoint requested = Endpoint::parse("10.96.0.1:80").value();
  int count = 0;

  Choice() {
    source.uid = "client", source.node = "n1", source.locality = {"r1", "z1", "s1"};
    service.name_space = "ns", service.hostname = "h", service.ports = {{80, 8080}, {90, 0}};
  }
  // An endpoint named after its first address.
  Choice& endpoint(std::string_view address, auto&& adjust) {
    Workload workload;
    workload.uid = address.empty() ? "#" + std::to_string(count++) : address;
    if (!address.empty()) workload.addresses = {ip(address)};
    workload.services["ns/h"] = {};
    adjust(workload);
    builder.upsert(std::move(workload));
    return *this;
  }
  Choice& endpoint(std::string_view address) {
    return endpoint(address, [](Workload&) {});
  }
  Choice& balancing(Mode mode, std::vector<BalanceScope> scopes) {
    service.load_balancing = LoadBalancing{.routing_preference = std::move(scopes), .mode = mode};
    return *this;
  }
  Result<Picked> pick(std::uint64_t random = 0) {
    builder.upsert(service);
    return model::pick(*builder.current().service("ns/h"), source, requested, random);
  }
  // How often each endpoint is picked, in percent.
  std::map<std::string, int> shares() {
    std::mt19937_64 random(1);
    std::map<std::string, double> counts;
    constexpr int kTries = 20000;
    for (int i = 0; i < kTries; ++i) {
      if (const auto picked = pick(random())) counts[picked->workload->uid] += 1;
    }
    std::map<std::string, int> out;
    for (const auto& [uid, n] : counts) out[uid] = static_cast<int>(std::lround(n * 100 / kTries));
    return out;
  }
};

void expect_near(const std::map<std::string, int>& shares, const std::map<std::string, int>& expected) {
  ASSERT_EQ(shares.size(), expected.size());
  for (const auto& [uid, share] : expected) EXPECT_NEAR(shares.at(uid), share, 2) << uid;
}

TEST(Pick, TakesAllEndpointsEquallyByDefault) {
  Choice choice;
  for (const char* address : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}) choice.endpoint(address);

  expect_near(choice.shares(), {{"10.0.0.1", 25}, {"10.0.0.2", 25}, {"10.0.0.3", 25}, {"10.0.0.4", 25}});
  EXPECT_EQ(choice.pick()->port, 8080);
}

TEST(Pick, WeighsByCapacity) {
  Choice choice;
  choice.endpoint("10.0.0.1", [](Workload& w) { w.capacity = 3; }).endpoint("10.0.0.2").endpoint("10.0.0.3", [](Workload& w) {
    w.capacity = 0;
  });

  expect_near(choice.shares(), {{"10.0.0.1", 75}, {"10.0.0.2", 25}});
}

TEST(Pick, StaysFairWhenMostEndpointsAreUnhealthy) {
  Choice choice;
  for (int i = 0; i < 60; ++i) {
    choice.endpoint("10.0.0." + std::to_string(i),
                    [&](Workload& w) { w.health = i % 30 ? Health::kUnhealthy : Health::kHealthy; });
  }

  expect_near(choice.shares(), {{"10.0.0.0", 50}, {"10.0.0.30", 50}});
}

TEST(Pick, TakesUnhealthyEndpointsOnlyWhenAllAreAllowed) {
  Choice choice;
  choice.endpoint("10.0.0.1", [](Workload& w) { w.health = Health::kUnhealthy; });

  const auto refused = choice.pick();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, Reason::kNoEndpoint);
  EXPECT_EQ(refused.error().text, "no healthy endpoint of service ns/h for port 80 (1 unhealthy)");

  choice.service.load_balancing = LoadBalancing{.health_policy = LoadBalancing::HealthPolicy::kAllowAll};
  EXPECT_TRUE(choice.pick());
}

TEST(Pick, RefusesAPortThatTheServiceDoesNotHave) {
  Choice choice;
  choice.endpoint("10.0.0.1").requested.port = 81;

  EXPECT_EQ(choice.pick().error().reason, Reason::kNoService);
}

TEST(Pick, ANamedPortNeedsTheEndpointsOwnMapping) {
  Choice choice;
  choice.requested.port = 90;
  choice.endpoint("10.0.0.1");
  EXPECT_EQ(choice.pick().error().text, "no healthy endpoint of service ns/h for port 90 (1 without that port)");

  choice.endpoint("10.0.0.2", [](Workload& w) { w.services["ns/h"] = {{90, 9999}}; });
  for (std::uint64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(choice.pick(i << 58)->address, ip("10.0.0.2"));
    EXPECT_EQ(choice.pick(i << 58)->port, 9999);
  }
}

TEST(Pick, AnEndpointsOwnMappingWinsOverTheTargetPort) {
  Choice choice;
  choice.endpoint("10.0.0.1", [](Workload& w) { w.services["ns/h"] = {{80, 8888}}; });

  EXPECT_EQ(choice.pick()->port, 8888);
}

TEST(Pick, StrictUsesOnlyEndpointsThatMatchEveryScope) {
  Choice choice;
  choice.balancing(Mode::kStrict, {BalanceScope::kNode});
  choice.endpoint("10.0.0.1", [](Workload& w) { w.node = "n2"; });
  const auto refused = choice.pick();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().text,
            "no healthy endpoint of service ns/h for port 80 (1 outside the locality that the service is bound to)");

  choice.endpoint("10.0.0.2", [](Workload& w) { w.node = "n1"; });
  expect_near(choice.shares(), {{"10.0.0.2", 100}});
}

TEST(Pick, FailoverPrefersTheLongestRunOfMatchingScopes) {
  Choice choice;
  choice.balancing(Mode::kFailover, {BalanceScope::kRegion, BalanceScope::kZone, BalanceScope::kSubzone});
  choice.endpoint("10.0.0.1", [](Workload& w) { w.locality = {"r2", "z1", "s1"}; });  // stops at the region
  expect_near(choice.shares(), {{"10.0.0.1", 100}});
  choice.endpoint("10.0.0.2", [](Workload& w) { w.locality = {"r1", "z2", "s1"}; });
  expect_near(choice.shares(), {{"10.0.0.2", 100}});
  choice.endpoint("10.0.0.3", [](Workload& w) { w.locality = {"r1", "z1", "s2"}; });
  choice.endpoint("10.0.0.4", [](Workload& w) { w.locality = {"r1", "z1", "s9"}; });
  expect_near(choice.shares(), {{"10.0.0.3", 50}, {"10.0.0.4", 50}});
  choice.endpoint("10.0.0.5", [](Workload& w) { w.locality = {"r1", "z1", "s1"}, w.health = Health::kUnhealthy; });
  expect_near(choice.shares(), {{"10.0.0.3", 50}, {"10.0.0.4", 50}});
}

TEST(Pick, FailoverComparesNodeClusterAndNetwork) {
  for (const auto& [scope, change] : std::initializer_list<std::pair<BalanceScope, void (*)(Workload&)>>{
           {BalanceScope::kNode, [](Workload& w) { w.node = "n1"; }},
           {BalanceScope::kCluster, [](Workload& w) { w.cluster_id = std::string(kDefaultCluster); }},
           {BalanceScope::kNetwork, [](Workload& w) { w.network = ""; }}}) {
    Choice choice;
    choice.balancing(Mode::kFailover, {scope});
    const auto far = [](Workload& w) { w.node = "n2", w.cluster_id = "c2", w.network = "net2"; };
    choice.endpoint("10.0.0.1", far);
    choice.endpoint("10.0.0.2", [&](Workload& w) { far(w), change(w); });
    expect_near(choice.shares(), {{"10.0.0.2", 100}});
  }
}

TEST(Pick, TheSameNetworkBeatsEveryOtherScopeWhenItComesFirst) {
  Choice choice;
  choice.balancing(Mode::kFailover, {BalanceScope::kNetwork, BalanceScope::kRegion, BalanceScope::kZone});
  choice.endpoint("10.0.0.1", [](Workload& w) { w.network = "net2", w.locality = {"r1", "z1", ""}; });
  choice.endpoint("10.0.0.2", [](Workload& w) { w.network = "net2", w.locality = {"r1", "z2", ""}; });
  expect_near(choice.shares(), {{"10.0.0.1", 100}});  // a mismatch of the network does not end the comparison

  choice.endpoint("10.0.0.3", [](Workload& w) { w.locality = {"r2", "z2", ""}; });
  expect_near(choice.shares(), {{"10.0.0.3", 100}});
}

TEST(Pick, ChoosesTheRequestedAddressElseOneOfItsFamily) {
  Choice choice;
  choice.endpoint("10.0.0.1", [](Workload& w) { w.addresses = {ip("10.0.0.1"), ip("fd00::1"), ip("10.0.0.2")}; });
  EXPECT_EQ(choice.pick()->address, ip("10.0.0.1"));

  choice.requested.address = ip("10.0.0.2");
  EXPECT_EQ(choice.pick()->address, ip("10.0.0.2"));

  choice.requested.address = ip("fd00:96::1");
  EXPECT_EQ(choice.pick()->address, ip("fd00::1"));

  choice.service.ip_families = IpFamilies::kIpv4Only;
  EXPECT_EQ(choice.pick()->address, ip("10.0.0.1"));

  choice.service.ip_families = IpFamilies::kIpv6Only;
  choice.requested.address = ip("10.96.0.1");
  EXPECT_EQ(choice.pick()->address, ip("fd00::1"));
}

TEST(Pick, SkipsEndpointsWithoutAUsableAddress) {
  Choice choice;
  choice.endpoint("");
  choice.service.ip_families = IpFamilies::kIpv6Only;
  choice.endpoint("10.0.0.1");
  EXPECT_EQ(choice.pick().error().text, "no healthy endpoint of service ns/h for port 80 (2 without a usable address)");

  choice.endpoint("", [](Workload& w) {
    w.network = "net2", w.network_gateway = GatewayAddress{NetworkAddress{"net2", ip("1.1.1.1")}, 15008};
  });
  const auto picked = choice.pick();
  ASSERT_TRUE(picked);
  EXPECT_TRUE(picked->address.is_none());
}

TEST(Pick, SaysWhenThereIsNobodyAtAll) {
  Choice choice;
  EXPECT_EQ(choice.pick().error().text, "no healthy endpoint of service ns/h for port 80 (it has none)");
}

}  // namespace
}  // namespace culvert::model
