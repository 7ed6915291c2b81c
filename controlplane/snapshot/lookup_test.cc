#include "controlplane/snapshot/lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

model::Workload workload(const std::string& uid, const std::string& address, const std::string& network = "") {
  model::Workload out;
  out.uid = uid;
  out.network = network;
  out.addresses = {*IpAddress::parse(address)};
  return out;
}

TEST(Lookup, FindsWorkloadsAndServicesByNetworkAndAddress) {
  Lookup lookup;
  lookup.put(workload("w1", "10.0.0.1"));
  lookup.put(workload("w2", "10.0.0.1"));
  lookup.put(workload("w3", "fd00::1", "net"));
  model::Service service;
  service.name_space = "shop";
  service.hostname = "web";
  service.vips = {{"", *Cidr::parse("10.0.0.1/32")}, {"net", *Cidr::parse("10.1.0.0/16")}};
  lookup.put(service);

  EXPECT_THAT(lookup.at("/10.0.0.1"), ElementsAre("shop/web", "w1", "w2"));
  EXPECT_THAT(lookup.at("net/fd00::1"), ElementsAre("w3"));
  EXPECT_THAT(lookup.at("net/10.0.0.1"), IsEmpty());
  EXPECT_THAT(lookup.at("w1"), IsEmpty());
  EXPECT_THAT(lookup.find("shop/web")->aliases, ElementsAre("/10.0.0.1", "net/10.1.0.0/16"));
}

model::Service service(const std::string& hostname, const std::vector<std::string>& ranges) {
  model::Service out;
  out.name_space = "shop";
  out.hostname = hostname;
  for (const std::string& range : ranges) out.vips.push_back({"net", *Cidr::parse(range)});
  return out;
}

TEST(Lookup, FindsTheRangesAroundAnAddress) {
  Lookup lookup;
  lookup.put(service("wide", {"10.9.0.0/16", "fd00::/64"}));
  lookup.put(service("close", {"10.9.1.0/24"}));
  lookup.put(service("also-close", {"10.9.1.7/24"}));
  lookup.put(service("all", {"0.0.0.0/0"}));
  lookup.put(service("exact", {"10.9.1.1/32"}));

  EXPECT_THAT(lookup.around("net/10.9.1.1"), ElementsAre("shop/also-close", "shop/close", "shop/wide", "shop/all"));
  EXPECT_THAT(lookup.around("net/10.9.2.1"), ElementsAre("shop/wide", "shop/all"));
  EXPECT_THAT(lookup.around("net/fd00::1"), ElementsAre("shop/wide"));
  for (const char* name : {"/10.9.1.1", "net/fd01::1", "net/10.9.1.0/24", "shop/wide", ""})
    EXPECT_THAT(lookup.around(name), IsEmpty()) << name;
}

TEST(Lookup, OfManyRangesAroundAnAddressTheClosestAreFound) {
  Lookup lookup;
  lookup.put(service("close", {"10.9.1.0/24"}));
  for (std::size_t i = 0; i < 2 * Lookup::kMostAround; ++i) lookup.put(service("all-" + std::to_string(i), {"0.0.0.0/0"}));

  const auto found = lookup.around("net/10.9.1.1");
  EXPECT_EQ(found.size(), Lookup::kMostAround);
  EXPECT_EQ(found.front(), "shop/close");
}

TEST(Lookup, FollowsRangesThatChangeAndGo) {
  Lookup lookup;
  lookup.put(service("wide", {"10.9.0.0/16"}));
  lookup.put(service("close", {"10.9.1.0/24", "10.9.1.0/24"}));
  EXPECT_THAT(lookup.around("net/10.9.1.1"), ElementsAre("shop/close", "shop/wide"));

  lookup.put(service("close", {"10.9.2.0/24"}));
  EXPECT_THAT(lookup.around("net/10.9.1.1"), ElementsAre("shop/wide"));
  EXPECT_THAT(lookup.around("net/10.9.2.1"), ElementsAre("shop/close", "shop/wide"));

  lookup.remove("shop/wide");
  lookup.remove("shop/close");
  EXPECT_THAT(lookup.around("net/10.9.2.1"), IsEmpty());
}

TEST(Lookup, FollowsWhatChangesAndGoes) {
  Lookup lookup;
  model::Workload one = workload("w1", "10.0.0.1");
  one.services["shop/web"];
  one.node = "n1";
  lookup.put(one);
  EXPECT_THAT(lookup.endpoints_of("shop/web"), ElementsAre("w1"));
  EXPECT_THAT(lookup.on("n1"), ElementsAre("w1"));

  lookup.put(workload("w1", "10.0.0.2"));
  EXPECT_THAT(lookup.at("/10.0.0.1"), IsEmpty());
  EXPECT_THAT(lookup.at("/10.0.0.2"), ElementsAre("w1"));
  EXPECT_THAT(lookup.endpoints_of("shop/web"), IsEmpty());
  EXPECT_THAT(lookup.on("n1"), IsEmpty());

  lookup.remove("w1");
  EXPECT_THAT(lookup.at("/10.0.0.2"), IsEmpty());
  EXPECT_EQ(lookup.find("w1"), nullptr);
}

}  // namespace
}  // namespace culvert::controlplane
