#include "ztunnel/record/refused_lines.h"

#include <gtest/gtest.h>

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

TEST(RefusedLines, SayTheFirstAndThenTenASecondAndCountTheRest) {
  RefusedLines lines;
  const auto start = RefusedLines::Clock::now();
  std::uint64_t said = 0, counted = 0;
  const auto ask = [&](auto when) {
    if (const auto before = lines.say(when)) ++said, counted += *before;
  };

  for (int i = 0; i < 1000; ++i) ask(start);
  EXPECT_EQ(said, 50U);
  EXPECT_EQ(lines.left_out(), 950U);

  for (int i = 1; i <= 10'000; ++i) ask(start + i * 1ms);  // ten seconds
  EXPECT_EQ(said, 150U);
  EXPECT_EQ(said + counted + lines.left_out(), 11'000U);
}

TEST(RefusedLines, AllOfThemAreSaidWhereTheyAreFew) {
  RefusedLines lines;
  const auto start = RefusedLines::Clock::now();

  for (int i = 0; i < 1000; ++i) EXPECT_EQ(lines.say(start + i * 100ms), 0U) << i;
}

TEST(RefusedLines, AfterAPauseThereIsRoomForAsManyAsAtTheStart) {
  RefusedLines lines;
  const auto start = RefusedLines::Clock::now();
  for (int i = 0; i < 60; ++i) lines.say(start);

  EXPECT_EQ(lines.say(start + 1h), 10U);
  for (int i = 1; i < 50; ++i) EXPECT_EQ(lines.say(start + 1h), 0U) << i;
  EXPECT_FALSE(lines.say(start + 1h));
}

}  // namespace
}  // namespace culvert::ztunnel
