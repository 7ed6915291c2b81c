#include "controlplane/ca/limits.h"

#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;

const net::Clock::time_point kStart = net::Clock::time_point() + 1h;
constexpr Quota::Rate kRate{.burst = 3, .per_second = 2};

int taken(Quota& quota, const std::string& caller, int tries, net::Clock::time_point now) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += quota.take(caller, kRate, now) ? 1 : 0;
  return count;
}

TEST(Quota, IsABurstAndThenARate) {
  Quota quota;
  EXPECT_EQ(taken(quota, "a", 10, kStart), 3);
  EXPECT_EQ(taken(quota, "a", 10, kStart + 400ms), 0);
  EXPECT_EQ(taken(quota, "a", 10, kStart + 1s), 2);
  EXPECT_EQ(taken(quota, "a", 10, kStart + 1h), 3);
}

TEST(Quota, IsEachCallersOwn) {
  Quota quota;
  EXPECT_EQ(taken(quota, "a", 10, kStart), 3);
  EXPECT_EQ(taken(quota, "b", 10, kStart), 3);
}

TEST(Quota, ForgetsWhoHasAllOfItAgain) {
  Quota quota;
  for (int i = 0; i < 1000; ++i) taken(quota, std::to_string(i), 1, kStart);
  EXPECT_EQ(quota.callers(), 1000U);
  taken(quota, "a", 1, kStart + 2min);
  EXPECT_EQ(quota.callers(), 1U);
}

TEST(Quiet, SaysOneLineInAWhileAndHowManyItLeftOut) {
  Quiet quiet;
  EXPECT_EQ(quiet.say("a", kStart), 0U);
  EXPECT_EQ(quiet.say("a", kStart + 1s), std::nullopt);
  EXPECT_EQ(quiet.say("a", kStart + 2s), std::nullopt);
  EXPECT_EQ(quiet.say("b", kStart + 2s), 0U);
  EXPECT_EQ(quiet.say("a", kStart + 11s), 2U);
  EXPECT_EQ(quiet.say("a", kStart + 12s), std::nullopt);
}

}  // namespace
}  // namespace culvert::controlplane
