#include "controlplane/ca/contest.h"

#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;

const net::Clock::time_point kStart = net::Clock::time_point() + 1h;

TEST(Contest, OnceOrTwiceIsSomebodysMistake) {
  Contest contest;
  EXPECT_FALSE(contest.overwritten("shop", kStart));
  EXPECT_FALSE(contest.overwritten("shop", kStart + 1s));
  EXPECT_FALSE(contest.contested("shop", kStart + 2s));
  EXPECT_FALSE(contest.overwritten("shop", kStart + 20min)) << "long ago counts no more";
}

TEST(Contest, WhoGoesOnIsLeftAloneForAWhile) {
  Contest contest;
  for (int i = 0; i < 2; ++i) contest.overwritten("shop", kStart);
  EXPECT_TRUE(contest.overwritten("shop", kStart));

  EXPECT_TRUE(contest.contested("shop", kStart + 9min));
  EXPECT_FALSE(contest.contested("other", kStart));
  EXPECT_EQ(contest.count(kStart), 1U);
  EXPECT_FALSE(contest.contested("shop", kStart + 10min)) << "once more";
  EXPECT_TRUE(contest.overwritten("shop", kStart + 10min)) << "he is still there";
  EXPECT_TRUE(contest.contested("shop", kStart + 19min));
}

}  // namespace
}  // namespace culvert::controlplane
