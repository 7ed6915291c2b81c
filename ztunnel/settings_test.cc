#include "ztunnel/settings.h"

#include <gtest/gtest.h>

#include <map>

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

Settings read(const std::map<std::string, std::string>& environment) {
  Settings values;
  settings::Table table("ztunnel", "test");
  describe(values, table);
  const auto read = table.parse({}, [&](std::string_view name) -> std::optional<std::string> {
    const auto found = environment.find(std::string(name));
    if (found == environment.end()) return std::nullopt;
    return found->second;
  });
  EXPECT_TRUE(read) << read.error().text;
  return values;
}

TEST(Settings, WorkerThreadsAreANumberAShareOrAllCores) {
  EXPECT_EQ(read({}).worker_threads.on(2), 2u);
  EXPECT_EQ(read({}).worker_threads.on(64), 16u);
  EXPECT_EQ(read({{"ZTUNNEL_WORKER_THREADS", "1"}}).worker_threads.on(64), 1u);
  EXPECT_EQ(read({{"ZTUNNEL_WORKER_THREADS", "50%"}}).worker_threads.on(64), 32u);
  EXPECT_EQ(read({{"ZTUNNEL_WORKER_THREADS", "0"}}).worker_threads.on(64), 64u);
}

TEST(Settings, DrainDeadlineComesFromTheGracePeriodUnlessGiven) {
  EXPECT_EQ(read({}).drain_deadline(), 5s);
  EXPECT_EQ(read({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}}).drain_deadline(), 25s);
  EXPECT_EQ(read({{"TERMINATION_GRACE_PERIOD_SECONDS", "10"}}).drain_deadline(), 9s);
  EXPECT_EQ(read({{"TERMINATION_GRACE_PERIOD_SECONDS", "1"}}).drain_deadline(), 1s);
  EXPECT_EQ(read({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}, {"CONNECTION_TERMINATION_DEADLINE", "250ms"}}).drain_deadline(),
            250ms);
}

}  // namespace
}  // namespace culvert::ztunnel
