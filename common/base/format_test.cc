#include "common/base/format.h"

#include <gtest/gtest.h>

namespace culvert {
namespace {

TEST(Format, IsThatOfTheStandard) {
  EXPECT_EQ(culvert::format("{} of {:>3}, {:016x} and {:.2f} {}", std::string("one"), 7, 0xabcULL, 1.5, true),
            "one of   7, 0000000000000abc and 1.50 true");
  EXPECT_EQ(culvert::format("{{}}"), "{}");
}

TEST(Format, WritesTimesInUtc) {
  const auto time = std::chrono::system_clock::time_point(std::chrono::milliseconds(1787220000123));
  EXPECT_EQ(rfc3339(time), "2026-08-20T10:00:00Z");
  EXPECT_EQ(rfc3339(time, Fraction::kMillis), "2026-08-20T10:00:00.123Z");
  EXPECT_EQ(rfc3339(time, Fraction::kMicros), "2026-08-20T10:00:00.123000Z");
  EXPECT_EQ(rfc3339(std::chrono::system_clock::time_point(std::chrono::milliseconds(-1))), "1969-12-31T23:59:59Z");
}

}  // namespace
}  // namespace culvert
