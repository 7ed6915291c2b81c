#include "controlplane/xds/spread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

TEST(Spread, CountsUpToEachBoundAndAll) {
  telemetry::Registry registry;
  Spread spread(registry, "x_seconds", "X.", {0.1, 1, 10});

  for (const double value : {0.05, 0.1, 0.5, 100.0}) spread.add(value);

  EXPECT_EQ(registry.text(),
            "# HELP x_seconds X.\n# TYPE x_seconds histogram\nx_seconds_bucket{le=\"0.1\"} 2\nx_seconds_bucket{le=\"1\"} 3\n"
            "x_seconds_bucket{le=\"10\"} 3\nx_seconds_bucket{le=\"+Inf\"} 4\nx_seconds_sum 100.65\nx_seconds_count 4\n");
}

}  // namespace
}  // namespace culvert::controlplane
