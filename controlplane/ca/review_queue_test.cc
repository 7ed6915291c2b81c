#include "controlplane/ca/review_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using Answer = ReviewQueue::Answer;
using testing::ElementsAre;

struct ReviewQueueTest : testing::Test {
  ReviewQueue queue;
  net::Clock::time_point now = net::Clock::time_point() + 1h;
  int tokens = 0;

  static TokenHash hash(int number) {
    TokenHash out{};
    out[0] = static_cast<unsigned char>(number >> 8);
    out[1] = static_cast<unsigned char>(number);
    return out;
  }
  int add(const std::string& from, int count, bool known = false) {
    int taken = 0;
    for (int i = 0; i < count; ++i) taken += queue.add(from, known, hash(tokens++), now) ? 1 : 0;
    return taken;
  }
  std::vector<ReviewQueue::Turn> all() {
    std::vector<ReviewQueue::Turn> out;
    while (auto turn = queue.next(now)) out.push_back(*turn);
    return out;
  }
  std::vector<std::string> from() {
    std::vector<std::string> out;
    for (const auto& turn : all()) out.push_back(turn.from);
    return out;
  }
};

TEST_F(ReviewQueueTest, AddressesHaveTheirTurns) {
  queue = ReviewQueue({.at_once = 5, .kept = 0});
  add("a", 3);
  add("b", 2);
  EXPECT_THAT(from(), ElementsAre("a", "b", "a", "b", "a"));
}

TEST_F(ReviewQueueTest, OneAddressHasAFewAtATimeAndAFewThatWait) {
  EXPECT_EQ(add("a", 100), 32);
  const auto begun = all();
  ASSERT_EQ(begun.size(), 4U);
  EXPECT_EQ(add("a", 100), 4);
  queue.done(begun[0], Answer::kGood, now);
  EXPECT_EQ(all().size(), 1U);
}

TEST_F(ReviewQueueTest, SevenNoisyAddressesDoNotKeepAnEighthOut) {
  for (const char* noisy : {"1", "2", "3", "4", "5", "6", "7"}) add(noisy, 100);
  const auto begun = all();
  EXPECT_EQ(begun.size(), 12U) << "four places are kept";
  add("8", 1);
  queue.done(begun[0], Answer::kNone, now);
  for (int turns = 0; turns < 8; ++turns) {  // each of the others has one before it
    const auto turn = queue.next(now);
    ASSERT_TRUE(turn);
    if (turn->from == "8") return;
    queue.done(*turn, Answer::kNone, now);
  }
  ADD_FAILURE() << "its turn did not come";
}

TEST_F(ReviewQueueTest, PlacesAreKeptForKnownAddressesWhichComeFirst) {
  for (const char* noisy : {"1", "2", "3", "4", "5", "6", "7"}) add(noisy, 100);
  const auto begun = all();
  add("known", 9, true);
  EXPECT_THAT(from(), ElementsAre("known", "known", "known", "known"));
  EXPECT_EQ(queue.next(now), std::nullopt);
  queue.done(begun[0], Answer::kNone, now);
  EXPECT_THAT(from(), testing::SizeIs(1)) << "it has as many as one may";
}

TEST_F(ReviewQueueTest, AnAddressWhoseTokenWasRefusedIsLastForAWhileOneAtATime) {
  queue = ReviewQueue({.at_once = 4, .kept = 0});
  add("bad", 10);
  auto begun = all();
  ASSERT_EQ(begun.size(), 4U);
  add("other", 2);
  for (const auto& turn : begun) queue.done(turn, Answer::kRefused, now);
  EXPECT_THAT(from(), ElementsAre("other", "other", "bad"));

  now += 10s;
  add("bad", 1);
  EXPECT_THAT(from(), ElementsAre("bad")) << "there is room for one more";
}

TEST_F(ReviewQueueTest, AGoodTokenMakesUpForARefusedOne) {
  queue = ReviewQueue({.at_once = 4, .kept = 0});
  add("a", 1);
  const auto bad = queue.next(now);
  queue.done(*bad, Answer::kRefused, now);
  add("a", 5);
  const auto good = all();
  ASSERT_EQ(good.size(), 1U);
  queue.done(good[0], Answer::kGood, now);
  EXPECT_EQ(all().size(), 4U);
}

TEST_F(ReviewQueueTest, AKnownAddressIsNeverLast) {
  add("known", 1, true);
  queue.done(*queue.next(now), Answer::kRefused, now);
  add("known", 4, true);
  add("other", 1);
  EXPECT_THAT(from(), ElementsAre("known", "known", "known", "known", "other"));
}

TEST_F(ReviewQueueTest, WhoWaitsTooLongWaitsNoMore) {
  add("a", 5);
  const auto begun = all();
  now += 9s;
  EXPECT_EQ(add("b", 1), 1);
  EXPECT_TRUE(queue.overdue(now).empty());
  now += 1s;
  EXPECT_THAT(queue.overdue(now), ElementsAre(hash(4)));
  EXPECT_THAT(from(), ElementsAre("b"));
}

TEST_F(ReviewQueueTest, StrangersCannotFillItForKnownAddresses) {
  queue = ReviewQueue({.waiting = 50});
  EXPECT_EQ(add("a", 32) + add("b", 32) + add("c", 1), 50);
  EXPECT_EQ(add("known", 1, true), 1);
  all();
  EXPECT_GT(add("c", 1), 0) << "there is room again";
}

}  // namespace
}  // namespace culvert::controlplane
