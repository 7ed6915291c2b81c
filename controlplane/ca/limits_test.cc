#include "controlplane/ca/limits.h"

#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;

const net::Clock::time_point kBegin = net::Clock::time_point() + 1h;
constexpr Quota::Rate kRate{.burst = 3, .per_second = 2};

int taken(Quota& quota, const std::string& caller, int tries, net::Clock::time_point now) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += quota.take(caller, kRate, now) ? 1 : 0;
  return count;
}

TEST(Quota, IsABurstAndThenARate) {
  Quota quota;
  EXPECT_EQ(taken(quota, "a", 10, kBegin), 3);
  EXPECT_EQ(taken(quota, "a", 10, kBegin + 400ms), 0);
  EXPECT_EQ(taken(quota, "a", 10, kBegin + 1s), 2);
  EXPECT_EQ(taken(quota, "a", 10, kBegin + 1h), 3);
}

TEST(Quota, IsEachCallersOwn) {
  Quota quota;
  EXPECT_EQ(taken(quota, "a", 10, kBegin), 3);
  EXPECT_EQ(taken(quota, "b", 10, kBegin), 3);
}

TEST(Quota, ForgetsWhoHasAllOfItAgain) {
  Quota quota;
  for (int i = 0; i < 1000; ++i) taken(quota, std::to_string(i), 1, kBegin);
  EXPECT_EQ(quota.callers(), 1000U);
  taken(quota, "a", 1, kBegin + 2min);
  EXPECT_EQ(quota.callers(), 1U);
}

TEST(Quiet, SaysOneLineInAWhileAndHowManyItLeftOut) {
  Quiet quiet;
  EXPECT_EQ(quiet.say("a", kBegin), 0U);
  EXPECT_EQ(quiet.say("a", kBegin + 1s), std::nullopt);
  EXPECT_EQ(quiet.say("a", kBegin + 2s), std::nullopt);
  EXPECT_EQ(quiet.say("b", kBegin + 2s), 0U);
  EXPECT_EQ(quiet.say("a", kBegin + 11s), 2U);
  EXPECT_EQ(quiet.say("a", kBegin + 12s), std::nullopt);
}

}  // namespace
}  // namespace culvert::controlplane
