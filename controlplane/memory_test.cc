#include "controlplane/memory.h"

#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

constexpr std::size_t kMebi = 1 << 20;

TEST(Trim, IsDueWhenMuchIsNotUsed) {
  EXPECT_TRUE(Trim::is_due({.resident = 600 * kMebi, .used = 300 * kMebi}, 0));
  EXPECT_FALSE(Trim::is_due({.resident = 318 * kMebi, .used = 300 * kMebi}, 0)) << "little compared with what is";
  EXPECT_TRUE(Trim::is_due({.resident = 320 * kMebi, .used = 300 * kMebi}, 0));
  EXPECT_FALSE(Trim::is_due({.resident = 30 * kMebi, .used = 16 * kMebi}, 0)) << "little";
}

TEST(Trim, IsNotDueAgainForWhatItCouldNotGiveBack) {
  EXPECT_FALSE(Trim::is_due({.resident = 601 * kMebi, .used = 300 * kMebi}, 300 * kMebi));
  EXPECT_TRUE(Trim::is_due({.resident = 650 * kMebi, .used = 300 * kMebi}, 300 * kMebi));
}

TEST(Trim, IsDueForWhatIsNoLongerUsedHoweverMuchWasThen) {
  EXPECT_TRUE(Trim::is_due({.resident = 446 * kMebi, .used = 336 * kMebi}, (538 - 490) * kMebi));
}

}  // namespace
}  // namespace culvert::controlplane
