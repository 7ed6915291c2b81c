#include "controlplane/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace culvert::controlplane {
namespace {

using ::testing::ElementsAre;

constexpr std::size_t kMebi = 1 << 20;

// At which of so many looks, each of which finds so much, it is due.
std::vector<int> due(TrimPace& pace, int looks, std::size_t resident) {
  std::vector<int> out;
  for (int look = 1; look <= looks; ++look)
    if (pace.is_due(resident)) out.push_back(look);
  return out;
}

TEST(TrimPace, IsDueAtEachLookWhileMoreAndMoreIsResident) {
  TrimPace pace;
  for (std::size_t resident = 100 * kMebi; resident < 500 * kMebi; resident += 20 * kMebi) {
    EXPECT_TRUE(pace.is_due(resident));
    pace.gave_back(resident - 10 * kMebi);
  }
}

TEST(TrimPace, IsDueSoonForWhatWasInUseThenAndIsFreeNow) {
  TrimPace pace;
  EXPECT_TRUE(pace.is_due(538 * kMebi));
  pace.gave_back(536 * kMebi);

  EXPECT_THAT(due(pace, 1, 536 * kMebi), ElementsAre(1));
}

TEST(TrimPace, IsMoreAndMoreSeldomDueWhereNothingHappens) {
  TrimPace pace;
  pace.gave_back(300 * kMebi);

  EXPECT_THAT(due(pace, 39, 300 * kMebi), ElementsAre(1, 3, 7, 15, 27, 39));
  EXPECT_THAT(due(pace, 24, 307 * kMebi), ElementsAre(12, 24)) << "a little more is nothing";
  EXPECT_THAT(due(pace, 1, 309 * kMebi), ElementsAre(1));
  pace.gave_back(300 * kMebi);
  EXPECT_THAT(due(pace, 3, 300 * kMebi), ElementsAre(1, 3)) << "something has happened";
}

}  // namespace
}  // namespace culvert::controlplane
