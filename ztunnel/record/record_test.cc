#include "ztunnel/record/record.h"

#include <gtest/gtest.h>

namespace culvert::ztunnel {
namespace {

const Endpoint kSource = *Endpoint::parse("10.0.0.1:1000"), kDestination = *Endpoint::parse("10.0.0.2:80");

TEST(Record, CountsOpenedAndClosedWithTheFlagOfItsReason) {
  Counters counters;
  {
    Record record(counters, Reporter::kDestination, kSource, kDestination);
    record.opened();
    std::uint64_t to_server = 4, to_client = 5;
    const Meter meter(record, to_server, to_client);
    const auto live = counters.counts();
    EXPECT_EQ(live.open[1], 1);
    EXPECT_EQ(live.traffic.begin()->second.second.received[0], 4u);

    to_server = 10;
    to_client = 20;
    record.ended(Reason::kPolicyChanged, "");
  }

  const auto counts = counters.counts();
  const Traffic& traffic = counts.traffic.begin()->second.second;
  const auto deny = flag_index(Reason::kPolicyChanged);
  EXPECT_EQ(traffic.opened, 1u);
  EXPECT_EQ(traffic.closed[deny], 1u);
  EXPECT_EQ(traffic.received[0] + traffic.received[deny], 10u);
  EXPECT_EQ(traffic.sent[0] + traffic.sent[deny], 20u);
  EXPECT_EQ(counts.open[1], 0);
  EXPECT_EQ(counts.ended[1][static_cast<std::size_t>(Reason::kPolicyChanged)], 1u);
}

TEST(Record, AnEarlyRefusalIsNoConnectionOfTheMesh) {
  Counters counters;
  {
    Record record(counters, Reporter::kSource, kSource, kDestination);
    record.failed({"nobody knows us", Reason::kUnknownSource});
  }

  EXPECT_TRUE(counters.counts().traffic.empty());
  EXPECT_EQ(counters.counts().ended[0][static_cast<std::size_t>(Reason::kUnknownSource)], 1u);
}

}  // namespace
}  // namespace culvert::ztunnel
