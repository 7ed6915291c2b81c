#include "ztunnel/record/counters.h"

#include <gtest/gtest.h>

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

model::WorkloadRef workload(std::string name) {
  model::Workload out;
  out.name = name + "-1";
  out.name_space = "shop";
  out.workload_name = out.canonical_name = name;
  out.canonical_revision = "v1";
  return std::make_shared<const model::Workload>(std::move(out));
}

Facts facts() {
  Facts out;
  out.source_workload = workload("client");
  out.destination_workload = workload("server");
  out.source_identity = Identity{"td", "shop", "client"};
  return out;
}

TEST(TrafficLabels, ComeInTheOrderThatDashboardsKnow) {
  EXPECT_EQ(
      traffic_labels(facts()).with("-"),
      R"(reporter="source",source_workload="client",source_canonical_service="client",source_canonical_revision="v1",)"
      R"(source_workload_namespace="shop",source_principal="spiffe://td/ns/shop/sa/client",source_app="client",source_version="v1",)"
      R"(source_cluster="Kubernetes",destination_service="unknown",destination_service_namespace="unknown",)"
      R"(destination_service_name="unknown",destination_workload="server",destination_canonical_service="server",)"
      R"(destination_canonical_revision="v1",destination_workload_namespace="shop",destination_principal="unknown",)"
      R"(destination_app="server",destination_version="v1",destination_cluster="Kubernetes",request_protocol="tcp",)"
      R"(response_flags="-",connection_security_policy="mutual_tls")");
}

TEST(TrafficLabels, NameThePlaceWhenItIsKnown) {
  auto told = facts();
  auto placed = *told.source_workload;
  placed.locality = {"r", "z", ""};
  told.source_workload = std::make_shared<const model::Workload>(placed);

  EXPECT_TRUE(traffic_labels(told).after.ends_with(R"(,source_region="r",source_zone="z")"));
}

TEST(TrafficLabels, TakeAFarSourceAtItsWordWhenItIsUnknown) {
  Facts told;
  told.source_identity = Identity{"td", "far", "x"};
  told.source_baggage.workload_name = "away";

  const auto labels = traffic_labels(told).with("-");

  EXPECT_NE(labels.find(R"(source_workload="away")"), std::string::npos);
  EXPECT_NE(labels.find(R"(source_workload_namespace="far")"), std::string::npos);
}

TEST(TrafficLabels, EscapeWhatAPeerSays) {
  std::string out;
  append_label(out, "a", "x\"y\\z\n");
  EXPECT_EQ(out, R"(a="x\"y\\z\n")");
}

TEST(Counters, EqualFactsShareAnEntryThoughTheirObjectsDiffer) {
  Counters counters;
  TrafficSet& first = counters.traffic(facts());
  TrafficSet& again = counters.traffic(facts());

  EXPECT_EQ(&first, &again);
}

TEST(Counters, SumOverWorkers) {
  Counters one, two;
  one.traffic(facts()).traffic.opened = 2;
  two.traffic(facts()).traffic.opened = 3;
  one.ended(Reporter::kSource, Reason::kPolicyDenied);
  two.ended(Reporter::kSource, Reason::kPolicyDenied);
  one.dns(nullptr, "a", false).requests = 1;
  two.dns(nullptr, "a", false).requests = 4;
  one.dns_dropped(true);
  two.dns_dropped(true);

  auto sum = one.counts();
  sum += two.counts();

  ASSERT_EQ(sum.traffic.size(), 1u);
  EXPECT_EQ(sum.traffic.begin()->second.second.opened, 5u);
  EXPECT_EQ(sum.ended[0][static_cast<std::size_t>(Reason::kPolicyDenied)], 2u);
  EXPECT_EQ(sum.dns.begin()->second.requests, 5u);
  EXPECT_EQ(sum.dns_dropped[1], 2u);
}

TEST(Counters, NoPeerFillsMemoryWithNamesOfHisChoice) {
  Counters counters;
  Facts told;
  for (int i = 0; i < 21'000; ++i) {
    told.source_baggage.workload_name = "w" + std::to_string(i);
    ++counters.traffic(told).traffic.opened;
  }

  EXPECT_LE(counters.counts().traffic.size(), 20'001u);
}

TEST(Counters, LetGoOfLabelSetsWithoutConnections) {
  Counters counters;
  const auto start = Counters::Clock::now();
  const auto told = facts();
  counters.traffic(told).traffic.opened = 3;
  Facts other = told;
  other.source_identity->service_account = "held";
  TrafficSet& held = counters.traffic(other);
  held.holders = 1;

  EXPECT_EQ(counters.counts(start + 1min).traffic.size(), 2u);
  EXPECT_EQ(counters.counts(start + 15min).traffic.size(), 2u);  // it was busy a minute after the start
  const auto after = counters.counts(start + 16min);
  EXPECT_EQ(after.traffic.size(), 1u);
  ASSERT_EQ(after.retired.size(), 1u);
  EXPECT_EQ(after.retired.begin()->second.second.opened, 3u);
  EXPECT_TRUE(counters.counts(start + 17min).retired.empty());
  EXPECT_EQ(&counters.traffic(other), &held);
  EXPECT_EQ(counters.traffic(told).traffic.opened, 0u);
}

TEST(Counters, NoPodFillsMemoryWithDnsOfManyNames) {
  Counters counters;
  for (int i = 0; i < 21'000; ++i) ++counters.dns(workload("w" + std::to_string(i)).get(), "a", false).requests;

  const auto counts = counters.counts();

  EXPECT_EQ(counts.dns.size(), 20'001u);
  std::uint64_t sum = 0;
  for (const auto& [text, each] : counts.dns) sum += each.requests;
  EXPECT_EQ(sum, 21'000u) << "the rest has no names";
}

TEST(Counters, LetGoOfDnsThatNobodyAsksForButKeepTheSumsOfOthers) {
  Counters one, two;
  Retired retired;
  const auto start = Counters::Clock::now();
  const auto client = workload("client");
  one.dns(client.get(), "a", false).requests = 2;
  two.dns(client.get(), "a", false).requests = 3;
  const auto asked = [&](auto when) {
    auto sum = one.counts(when);
    sum += two.counts(when);
    retired.settle(sum);
    return sum.dns.empty() ? 0 : sum.dns.begin()->second.requests;
  };
  EXPECT_EQ(asked(start + 1min), 5u);
  ++two.dns(client.get(), "a", false).requests;
  EXPECT_EQ(asked(start + 10min), 6u);
  EXPECT_EQ(asked(start + 20min), 6u);  // `one` has let go
  EXPECT_TRUE(one.counts(start + 20min).dns.empty());

  EXPECT_EQ(asked(start + 26min), 0u);
  one.dns(client.get(), "a", false).requests = 1;
  EXPECT_EQ(asked(start + 27min), 1u);
}

TEST(Counters, ASumNeverGoesDownWhileAnybodyHoldsTheSet) {
  Counters one, two;
  Retired retired;
  const auto start = Counters::Clock::now();
  one.traffic(facts()).traffic.opened = 2;
  two.traffic(facts()).traffic.opened = 3;
  two.traffic(facts()).holders = 1;
  const auto opened = [&](auto when) {
    auto sum = one.counts(when);
    sum += two.counts(when);
    retired.settle(sum);
    return sum.traffic.empty() ? 0 : sum.traffic.begin()->second.second.opened;
  };
  EXPECT_EQ(opened(start), 5u);
  EXPECT_EQ(opened(start + 20min), 5u);
  EXPECT_EQ(opened(start + 40min), 5u);  // `one` has let go
  EXPECT_TRUE(one.counts(start + 40min).traffic.empty());

  two.traffic(facts()).holders = 0;
  EXPECT_EQ(opened(start + 60min), 0u);
  one.traffic(facts()).traffic.opened = 1;
  EXPECT_EQ(opened(start + 61min), 1u);
}

TEST(Counters, EveryReasonHasAFlagOfIstios) {
  for (std::size_t reason = 0; reason < kReasons; ++reason)
    EXPECT_LT(flag_index(static_cast<Reason>(reason)), kResponseFlags.size());
  EXPECT_EQ(flag_index(Reason::kNone), 0u);
  EXPECT_EQ(kResponseFlags[flag_index(Reason::kPolicyChanged)], "DENY");
}

}  // namespace
}  // namespace culvert::ztunnel
