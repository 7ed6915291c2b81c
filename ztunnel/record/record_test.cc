#include "ztunnel/record/record.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <regex>

#include "common/base/log.h"

namespace culvert::ztunnel {
namespace {

const Endpoint kSource = *Endpoint::parse("10.0.0.1:1000"), kDestination = *Endpoint::parse("10.0.0.2:80");

TEST(Record, CountsOpenedAndClosedWithTheFlagOfItsReason) {
  Counters counters;
  {
    Record record(counters, Reporter::kDestination, kSource, kDestination);
    record.opened();
    struct {
      std::uint64_t to_server = 4, to_client = 5;
    } moved;
    const Meter meter(record, moved.to_server, moved.to_client);
    const auto live = counters.counts();
    EXPECT_EQ(live.open[1], 1);
    EXPECT_EQ(live.traffic.begin()->second.second.received[0], 4u);

    moved.to_server = 10;
    moved.to_client = 20;
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

// What is logged meanwhile, without its time stamps and with no time taken.
std::string logged(bool json, const std::function<void()>& act) {
  testing::internal::CaptureStdout();
  EXPECT_TRUE(log::start("info", json));
  act();
  log::stop();
  std::string text = testing::internal::GetCapturedStdout();
  text = std::regex_replace(text, std::regex("\"[0-9]+ms\""), "\"0ms\"");
  return std::regex_replace(text, std::regex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z"), "NOW");
}

model::WorkloadRef called(std::string name) {
  model::Workload out;
  out.name = name + "-1", out.name_space = "shop", out.canonical_name = out.service_account = name;
  return std::make_shared<const model::Workload>(std::move(out));
}

// A connection through a tunnel that carried ten bytes to the server and twenty back.
void carried(Reporter reporter, const Error& end, bool v6 = false) {
  Counters counters;
  Record record(counters, reporter, v6 ? *Endpoint::parse("[fd00::1]:1000") : kSource, *Endpoint::parse("10.0.0.2:15008"));
  Facts& facts = record.facts;
  facts.tunnelled = kDestination;
  facts.source_workload = called("client"), facts.source_identity = facts.source_workload->identity();
  facts.destination_workload = called("server"), facts.destination_identity = facts.destination_workload->identity();
  model::Service service;
  service.hostname = "server.shop.svc";
  facts.service = std::make_shared<const model::Service>(service);
  record.opened();
  const std::uint64_t to_server = 10, to_client = 20;
  const Meter meter(record, to_server, to_client);
  record.failed(end);
}

TEST(AccessLog, OneLineForEachEndWithTheBytesFromItsOwnSide) {
  const std::string fields =
      R"(src.addr=10.0.0.1:1000 src.workload="client-1" src.namespace="shop" src.identity="spiffe://cluster.local/ns/shop/sa/client" )"
      R"(src.cluster="Kubernetes" dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:80 dst.service="server.shop.svc" )"
      R"(dst.workload="server-1" dst.namespace="shop" dst.identity="spiffe://cluster.local/ns/shop/sa/server" dst.cluster="Kubernetes" )";
  EXPECT_EQ(logged(false, [] { carried(Reporter::kSource, {"", Reason::kNone}); }),
            "NOW\tinfo\taccess\tconnection complete\t" + fields +
                "direction=\"outbound\" bytes_sent=10 bytes_recv=20 duration=\"0ms\"\n");
  EXPECT_EQ(logged(false, [] { carried(Reporter::kDestination, {"", Reason::kNone}); }),
            "NOW\tinfo\taccess\tconnection complete\t" + fields +
                "direction=\"inbound\" bytes_sent=20 bytes_recv=10 duration=\"0ms\"\n");
  EXPECT_EQ(logged(false, [] { carried(Reporter::kSource, {"the \"peer\"\nis gone", Reason::kTunnelLost}); }),
            "NOW\terror\taccess\tconnection complete\t" + fields +
                "direction=\"outbound\" bytes_sent=10 bytes_recv=20 duration=\"0ms\" error=\"the \\\"peer\\\"\\u000ais gone\" "
                "reason=\"tunnel_lost\"\n");
}

TEST(AccessLog, IsOneObjectALineInJson) {
  EXPECT_EQ(
      logged(true, [] { carried(Reporter::kSource, {"", Reason::kNone}, true); }),
      R"({"level":"info","time":"NOW","scope":"access","message":"connection complete","src.addr":"[fd00::1]:1000",)"
      R"("src.workload":"client-1","src.namespace":"shop","src.identity":"spiffe://cluster.local/ns/shop/sa/client",)"
      R"("src.cluster":"Kubernetes","dst.addr":"10.0.0.2:15008","dst.hbone_addr":"10.0.0.2:80","dst.service":"server.shop.svc",)"
      R"("dst.workload":"server-1","dst.namespace":"shop","dst.identity":"spiffe://cluster.local/ns/shop/sa/server",)"
      R"("dst.cluster":"Kubernetes","direction":"outbound","bytes_sent":10,"bytes_recv":20,"duration":"0ms"})"
      "\n");
}

TEST(AccessLog, RefusalsAtAnyRateAreFewLinesAndAllAreCounted) {
  Counters counters;
  RefusedLines lines;
  const std::string text = logged(false, [&] {
    for (int i = 0; i < 1000; ++i) {
      Record record(counters, Reporter::kDestination, kSource, kDestination);
      if (i % 2 == 0) record.opened();  // the others are refused early
      record.refused({"denied", Reason::kPolicyDenied}, lines);
    }
  });

  EXPECT_LT(std::ranges::count(text, '\n'), 1000);
  EXPECT_GE(std::ranges::count(text, '\n'), 50);
  EXPECT_EQ(counters.counts().ended[1][static_cast<std::size_t>(Reason::kPolicyDenied)], 1000U);
  EXPECT_EQ(counters.counts().traffic.begin()->second.second.closed[flag_index(Reason::kPolicyDenied)], 500U);
  EXPECT_EQ(counters.counts().open[1], 0);
}

TEST(AccessLog, ALineSaysHowManyLikeItWereLeftOut) {
  RefusedLines lines;
  const auto long_ago = RefusedLines::Clock::now() - std::chrono::hours(1);
  for (std::uint64_t i = 0; i < RefusedLines::kAtOnce + 7; ++i) lines.say(long_ago);

  EXPECT_EQ(logged(false,
                   [&] {
                     Counters counters;
                     Record record(counters, Reporter::kDestination, kSource, kDestination);
                     record.refused({"no", Reason::kBadRequest}, lines);
                   }),
            "NOW\twarn\taccess\tconnection failed\tsrc.addr=10.0.0.1:1000 dst.addr=10.0.0.2:80 direction=\"inbound\" "
            "error=\"no\" reason=\"bad_request\" not_logged_before=7\n");
}

TEST(AccessLog, AnEarlyRefusalIsAWarning) {
  EXPECT_EQ(logged(false,
                   [] {
                     Counters counters;
                     Record record(counters, Reporter::kDestination, kSource, kDestination);
                     record.failed({"nobody knows us", Reason::kUnknownSource});
                   }),
            "NOW\twarn\taccess\tconnection failed\tsrc.addr=10.0.0.1:1000 dst.addr=10.0.0.2:80 direction=\"inbound\" "
            "error=\"nobody knows us\" reason=\"unknown_source\"\n");
}

}  // namespace
}  // namespace culvert::ztunnel
