#include "ztunnel/dns/answer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace culvert::ztunnel::dns {
namespace {

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

model::Service service(std::string name, std::string name_space, std::vector<const char*> vips) {
  model::Service out{.name = name, .name_space = name_space, .hostname = name + "." + name_space + ".svc.cluster.local"};
  for (const char* vip : vips) out.vips.push_back({"", *Cidr::parse(vip)});
  out.ports.push_back({80, 8080});
  return out;
}

model::Workload endpoint(std::string name, const char* address, std::string service_key) {
  return {.uid = "c//Pod/shop/" + name,
          .name = name,
          .name_space = "shop",
          .addresses = {ip(address)},
          .services = {{service_key, {{80, 8080}}}}};
}

struct DnsAnswer : testing::Test {
  model::MeshBuilder builder;
  model::Workload client{.uid = "c//Pod/shop/client", .name = "client", .name_space = "shop"};

  std::optional<Answer> ask(std::string name, std::uint16_t type = kTypeA) {
    return answer(builder.current(), client, Query{.type = type, .name = std::move(name)}, "cluster.local", 7);
  }
};

TEST_F(DnsAnswer, GivesTheServicesAddressOfTheFamilyAskedFor) {
  builder.upsert(service("web", "shop", {"10.0.0.1", "fd00::1"}));

  for (const char* name : {"web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"}) {
    EXPECT_EQ(ask(name)->addresses, std::vector{ip("10.0.0.1")}) << name;
    EXPECT_EQ(ask(name, kTypeAaaa)->addresses, std::vector{ip("fd00::1")}) << name;
    EXPECT_EQ(ask(name)->canonical_name, "") << name;
  }
}

TEST_F(DnsAnswer, NoAddressOfTheFamilyIsAnEmptyAnswer) {
  builder.upsert(service("web", "shop", {"10.0.0.1"}));

  const auto got = ask("web", kTypeAaaa);

  ASSERT_TRUE(got);
  EXPECT_TRUE(got->addresses.empty());
  EXPECT_EQ(got->rcode, Rcode::kNoError);
}

TEST_F(DnsAnswer, ForwardsWhatTheMeshDoesNotKnow) {
  builder.upsert(service("web", "shop", {"10.0.0.1"}));

  EXPECT_FALSE(ask("example.com"));
  EXPECT_FALSE(ask("web", 33));
  EXPECT_FALSE(ask("web.other"));
  EXPECT_FALSE(ask(""));
}

TEST_F(DnsAnswer, PrefersTheClientsNamespace) {
  auto here = service("db", "shop", {"10.0.0.1"});
  auto there = service("db", "bank", {"10.0.0.2"});
  here.hostname = there.hostname = "db.example.com";
  builder.upsert(there);
  builder.upsert(here);

  EXPECT_EQ(ask("db.example.com")->addresses, std::vector{ip("10.0.0.1")});
}

TEST_F(DnsAnswer, NamesTheServiceWhenASearchDomainWasTakenOff) {
  auto outside = service("api", "shop", {"240.0.0.1"});
  outside.hostname = "api.example.com";
  builder.upsert(outside);

  const auto got = ask("api.example.com.shop.svc.cluster.local");

  ASSERT_TRUE(got);
  EXPECT_EQ(got->canonical_name, "api.example.com");
  EXPECT_EQ(got->addresses, std::vector{ip("240.0.0.1")});
}

TEST_F(DnsAnswer, WildcardsCoverTheirSubdomains) {
  auto wide = service("wide", "shop", {"240.0.0.2"});
  wide.hostname = "*.example.com";
  builder.upsert(wide);

  EXPECT_EQ(ask("a.b.example.com")->addresses, std::vector{ip("240.0.0.2")});
  EXPECT_EQ(ask("a.example.com.shop.svc.cluster.local")->canonical_name, "a.example.com");
  EXPECT_FALSE(ask("example.com"));
}

TEST_F(DnsAnswer, HeadlessServicesGiveTheirHealthyEndpoints) {
  builder.upsert(service("db", "shop", {}));
  builder.upsert(endpoint("db-0", "10.1.0.1", "shop/db.shop.svc.cluster.local"));
  builder.upsert(endpoint("db-1", "10.1.0.2", "shop/db.shop.svc.cluster.local"));
  auto ill = endpoint("db-2", "10.1.0.3", "shop/db.shop.svc.cluster.local");
  ill.health = model::Health::kUnhealthy;
  builder.upsert(ill);

  auto got = ask("db");

  ASSERT_TRUE(got);
  std::ranges::sort(got->addresses);
  EXPECT_EQ(got->addresses, (std::vector{ip("10.1.0.1"), ip("10.1.0.2")}));
}

TEST_F(DnsAnswer, AnExternalServiceWithoutAddressIsForwarded) {
  auto outside = service("api", "shop", {});
  outside.hostname = "api.example.com";
  builder.upsert(outside);

  EXPECT_FALSE(ask("api.example.com"));
}

TEST_F(DnsAnswer, AnExternalServiceWithoutAddressAndWithAWaypointIsNotForwardedPastIt) {
  auto outside = service("api", "shop", {});
  outside.hostname = "*.example.com";
  const model::GatewayAddress waypoint{model::ServiceName{"shop", "wp.shop.svc.cluster.local"}, 15008};
  outside.waypoint = waypoint;
  builder.upsert(outside);

  const auto got = ask("api.example.com");
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->addresses.empty());

  outside.waypoint.reset();
  outside.weighted_waypoints = {{waypoint, 1}};
  builder.upsert(outside);
  EXPECT_TRUE(ask("api.example.com"));
  outside.weighted_waypoints = {{waypoint, 0}};
  builder.upsert(outside);
  EXPECT_FALSE(ask("api.example.com"));
}

TEST_F(DnsAnswer, AddressesOfOtherNetworksAreNotGivenOut) {
  auto split = service("web", "shop", {"10.0.0.1"});
  split.vips.push_back({"far", *Cidr::parse("10.9.0.1")});
  builder.upsert(split);

  EXPECT_EQ(ask("web")->addresses, std::vector{ip("10.0.0.1")});
}

}  // namespace
}  // namespace culvert::ztunnel::dns
