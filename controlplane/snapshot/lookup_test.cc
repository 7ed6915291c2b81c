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
