#include "ztunnel/identity/renewal.h"

#include <gtest/gtest.h>

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

TEST(Renewal, ComesAtHalfOfTheLifetime) {
  const auto start = Clock::time_point(1000s);
  EXPECT_EQ(renew_at(start, start + 24h), start + 12h);
}

TEST(Renewal, PausesDoubleUpToABound) {
  constexpr std::uint64_t kMiddle = 1ULL << 63;
  EXPECT_EQ(retry_pause(1, kMiddle), 500ms);
  EXPECT_EQ(retry_pause(2, kMiddle), 1000ms);
  EXPECT_EQ(retry_pause(5, kMiddle), 8000ms);
  EXPECT_EQ(retry_pause(60, kMiddle), 150s);
}

TEST(Renewal, PausesSpreadByAFifth) {
  EXPECT_EQ(retry_pause(1, 0), 400ms);
  EXPECT_LE(retry_pause(1, ~0ULL), 600ms);
  EXPECT_GE(retry_pause(1, ~0ULL), 599ms);
  EXPECT_LE(retry_pause(99, ~0ULL), 150s);
}

}  // namespace
}  // namespace culvert::ztunnel
