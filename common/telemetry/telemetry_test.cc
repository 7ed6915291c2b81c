#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "common/telemetry/registry.h"
#include "common/telemetry/shard.h"

namespace culvert::telemetry {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(Registry, WritesPrometheusText) {
  Registry registry;
  registry.counter("culvert_events_total", "What\nhappened").add(3);
  registry.gauge("culvert_pods", "Pods", {{"state", "a\"b\\c\n"}}).set(-2);
  registry.observe("culvert_ratio", "A ratio", Kind::kGauge, [] { return 0.25; });

  EXPECT_EQ(registry.text(),
            "# HELP culvert_events_total What\\nhappened\n"
            "# TYPE culvert_events_total counter\n"
            "culvert_events_total 3\n"
            "# HELP culvert_pods Pods\n"
            "# TYPE culvert_pods gauge\n"
            "culvert_pods{state=\"a\\\"b\\\\c\\n\"} -2\n"
            "# HELP culvert_ratio A ratio\n"
            "# TYPE culvert_ratio gauge\n"
            "culvert_ratio 0.25\n");
}

TEST(Registry, SameNameAndLabelsAreTheSameCounter) {
  Registry registry;
  EXPECT_EQ(&registry.counter("a_total", "A", {{"x", "1"}}), &registry.counter("a_total", "A", {{"x", "1"}}));
  EXPECT_NE(&registry.counter("a_total", "A", {{"x", "1"}}), &registry.counter("a_total", "A", {{"x", "2"}}));
}

TEST(Registry, FamiliesOfOneNameAreJoined) {
  const std::string text = to_text({{.name = "a", .help = "A", .kind = Kind::kGauge, .samples = {{"", {{"x", "1"}}, 1}}},
                                    {.name = "b", .help = "B", .kind = Kind::kGauge, .samples = {}},
                                    {.name = "a", .help = "A", .kind = Kind::kGauge, .samples = {{"", {{"x", "2"}}, 1e300}}}});
  EXPECT_EQ(text, "# HELP a A\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 1e+300\n");
}

TEST(Registry, ShowsTheProcess) {
  Registry registry;
  registry.add_process();
  const std::string text = registry.text();
  for (const char* name : {"process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total",
                           "process_threads", "process_start_time_seconds", "process_virtual_memory_bytes"})
    EXPECT_THAT(text, testing::ContainsRegex(std::string("\n") + name + " [0-9]"));
}

TEST(CounterSet, SumsTheShardsAndShowsOnlyWhatCounted) {
  Registry registry;
  CounterSet traffic(registry, {"reporter", "peer"}, {{"opened_total", "Opened"}, {"failed_total", "Failed"}});
  CounterShard one(traffic);
  CounterShard two(traffic);

  one.at({"source", "a"}).add(0);
  one.at({"source", "a"}).add(0, 2);
  two.at({"source", "a"}).add(0, 4);
  two.at({"source", ""}).add(1);

  const std::string text = registry.text();
  EXPECT_THAT(text, HasSubstr("opened_total{reporter=\"source\",peer=\"a\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("failed_total{reporter=\"source\"} 1\n"));  // an empty label is no label
  EXPECT_THAT(text, Not(HasSubstr("failed_total{reporter=\"source\",peer=\"a\"}")));
}

TEST(CounterSet, CountsOfAThreadThatEndedStay) {
  Registry registry;
  CounterSet traffic(registry, {"x"}, {{"a_total", "A"}});
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      CounterShard shard(traffic);
      for (int n = 0; n < 10'000; ++n) shard.at({"1"}).add(0);
    });
  std::ignore = registry.text();  // scrapes meanwhile
  threads.clear();

  EXPECT_THAT(registry.text(), HasSubstr("a_total{x=\"1\"} 40000\n"));
}

TEST(CounterSet, IsBounded) {
  Registry registry;
  CounterSet traffic(registry, {"x"}, {{"a_total", "A"}}, 2);
  CounterShard shard(traffic);
  for (const char* value : {"1", "2", "3", "4", "2"}) shard.at({value}).add(0);

  const std::string text = registry.text();
  EXPECT_THAT(text, HasSubstr("a_total{x=\"overflow\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("a_total{x=\"2\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("culvert_series_overflow_total{family=\"a_total\"} 2\n"));
}

TEST(CounterSet, StaleSeriesGoOnlyWhenNobodyHoldsThemAndSumsNeverShrink) {
  Registry registry;
  CounterSet traffic(registry, {"x"}, {{"a_total", "A"}});
  CounterShard one(traffic);
  CounterShard two(traffic);
  one.at({"gone"}).add(0);
  auto held = one.at({"held"});
  held.add(0);
  one.at({"shared"}).add(0, 10);
  auto shared = two.at({"shared"});
  shared.add(0, 5);

  one.remove_stale(0s);

  EXPECT_EQ(one.size(), 1U);
  std::string text = registry.text();
  EXPECT_THAT(text, Not(HasSubstr("gone")));
  EXPECT_THAT(text, HasSubstr("a_total{x=\"held\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("a_total{x=\"shared\"} 15\n"));
  shared = {};
  two.remove_stale(0s);
  text = registry.text();
  EXPECT_THAT(text, Not(HasSubstr("shared")));
}

TEST(HistogramSet, CountsIntoInclusiveBuckets) {
  Registry registry;
  HistogramSet set(registry, "wait_seconds", "Waiting", {"kind"}, {0.5, 1});
  HistogramShard shard(set);
  auto waits = shard.at({"dns"});
  for (const double value : {0.25, 0.5, 0.75, 2.0}) waits.observe(value);

  EXPECT_THAT(registry.text(), HasSubstr("# TYPE wait_seconds histogram\n"
                                         "wait_seconds_bucket{kind=\"dns\",le=\"0.5\"} 2\n"
                                         "wait_seconds_bucket{kind=\"dns\",le=\"1\"} 3\n"
                                         "wait_seconds_bucket{kind=\"dns\",le=\"+Inf\"} 4\n"
                                         "wait_seconds_sum{kind=\"dns\"} 3.5\n"
                                         "wait_seconds_count{kind=\"dns\"} 4\n"));
}

}  // namespace
}  // namespace culvert::telemetry
