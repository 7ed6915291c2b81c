#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/telemetry/registry.h"

namespace culvert::telemetry {
namespace {

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

TEST(Registry, SpeaksOpenMetrics) {
  EXPECT_EQ(
      to_open_metrics("# HELP a_total A _total\n# TYPE a_total counter\na_total{x=\"1\"} 2\n# HELP b B\n# TYPE b gauge\nb 1\n"
                      "# TYPE c counter\nc 3\n"),
      "# HELP a A _total\n# TYPE a counter\na_total{x=\"1\"} 2\n# HELP b B\n# TYPE b gauge\nb 1\n# TYPE c unknown\nc 3\n# EOF\n");
}

TEST(Registry, ShowsTheProcess) {
  Registry registry;
  registry.add_process();
  const std::string text = registry.text();
  for (const char* name : {"process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total",
                           "process_threads", "process_start_time_seconds", "process_virtual_memory_bytes"})
    EXPECT_THAT(text, testing::ContainsRegex(std::string("\n") + name + " [0-9]"));
}

}  // namespace
}  // namespace culvert::telemetry
