#include "controlplane/xds/pace.h"

#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;

TEST(Pace, BeginsTheFirstRoundAtOnce) { EXPECT_EQ(Pace().wait(1h, 1h), 0ns); }

TEST(Pace, BeginsAtOnceWhenTheLastRoundWasCheap) {
  Pace pace;
  pace.begin(1000ms, 500ms);

  EXPECT_EQ(pace.wait(1010ms, 508ms), 0ns);
  EXPECT_EQ(pace.wait(1000ms, 500ms), 0ns);
}

TEST(Pace, LeavesRoomAfterADearRound) {
  Pace pace;
  pace.begin(1000ms, 500ms);

  EXPECT_EQ(pace.wait(1010ms, 520ms), 15ms);  // 20 ms of a processor are 80 % of 25
  EXPECT_EQ(pace.wait(1025ms, 520ms), 0ms);
  EXPECT_EQ(pace.wait(1025ms, 528ms), 10ms);  // answers went on to cost something
}

TEST(Pace, NeverWaitsForLong) {
  Pace pace;
  pace.begin(1000ms, 500ms);

  EXPECT_EQ(pace.wait(1010ms, 5000ms), Pace::kMost - 10ms);
  EXPECT_EQ(pace.wait(1000ms + Pace::kMost, 9000ms), 0ms);
}

}  // namespace
}  // namespace culvert::controlplane
