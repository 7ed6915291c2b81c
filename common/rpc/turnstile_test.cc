#include "common/rpc/turnstile.h"

#include <gtest/gtest.h>

namespace culvert::rpc {
namespace {

using namespace std::chrono_literals;
using enum Turnstile::Verdict;

struct Turnstiles : testing::Test {
  Turnstiles() {
    limits.calls = 3;
    limits.tries = 1;
    limits.unproved_calls_of_all = 4;
  }
  Turnstile& made() { return turnstile ? *turnstile : turnstile.emplace(limits); }
  // How many of so many pass.
  int pass(Turnstile::Number number, int calls) {
    int passed = 0;
    for (int i = 0; i < calls; ++i) passed += made().read(number) == kPass;
    return passed;
  }

  Gate::Limits limits{};
  std::optional<Turnstile> turnstile;
  Gate::Time now{};
};

TEST_F(Turnstiles, AConnectionHasSoManyCallsUntilSomeAreDone) {
  const auto one = made().open(now);

  EXPECT_EQ(pass(one, 4), 3);
  turnstile->done(one);
  EXPECT_EQ(pass(one, 2), 1);
}

TEST_F(Turnstiles, EachHasOneHoweverManyThereAre) {
  const auto one = made().open(now), two = made().open(now), three = made().open(now);

  EXPECT_EQ(pass(one, 3), 3);
  EXPECT_EQ(pass(two, 3), 1);
  EXPECT_EQ(pass(three, 3), 1);
  EXPECT_EQ(turnstile->unproved(), 5U);
}

TEST_F(Turnstiles, OneThatIsRefusedTooOftenEndsOnce) {
  const auto one = made().open(now);
  made().read(one);
  turnstile->begun(one, 7);

  EXPECT_EQ(pass(one, 6), 2);
  EXPECT_EQ(turnstile->read(one), kEnd) << "the fifth that is refused";
  EXPECT_EQ(turnstile->whose(one), 7U);
  turnstile->done(one);
  EXPECT_EQ(turnstile->read(one), kRefuse) << "for good";
}

TEST_F(Turnstiles, OneThatNobodyKnowsYetEndsWhenItBecomesKnown) {
  const auto one = made().open(now);

  EXPECT_EQ(pass(one, 20), 3);

  EXPECT_TRUE(turnstile->begun(one, 7));
  EXPECT_FALSE(turnstile->begun(one, 7));
}

TEST_F(Turnstiles, ProvedOnesTakeNothingFromOthers) {
  const auto one = made().open(now), two = made().open(now);
  pass(one, 1);
  turnstile->begun(one, 7);
  turnstile->prove(7);

  EXPECT_EQ(pass(one, 6), 5) << "twice as many: its peer forgets them before we do";
  EXPECT_EQ(turnstile->unproved(), 0U);
  EXPECT_EQ(pass(two, 4), 3);
}

TEST_F(Turnstiles, WhatHasEndedCountsUntilItsCallsAreNoMore) {
  const auto one = made().open(now);
  pass(one, 2);
  turnstile->begun(one, 7);

  turnstile->leave(7, now);

  EXPECT_EQ(turnstile->read(one), kRefuse);
  EXPECT_EQ(turnstile->unproved(), 2U);
  turnstile->done(one);
  turnstile->done(one);
  EXPECT_EQ(turnstile->unproved(), 0U);
  EXPECT_EQ(turnstile->connections(), 0U);
  EXPECT_EQ(turnstile->read(one), kRefuse);
}

TEST_F(Turnstiles, OneThatWentBeforeItsCallBeganIsForgotten) {
  const auto one = made().open(now);
  pass(one, 1);

  EXPECT_FALSE(turnstile->begun(one, std::nullopt));
  turnstile->done(one);

  EXPECT_EQ(turnstile->connections(), 0U);
}

TEST_F(Turnstiles, CallsThatNobodyHearsOfAgainAreForgottenInTime) {
  const auto unknown = made().open(now), gone = made().open(now), live = made().open(now);
  for (const auto number : {unknown, gone, live}) pass(number, 1);
  turnstile->begun(gone, 7);
  turnstile->begun(live, 8);
  turnstile->leave(7, now);

  turnstile->sweep(now + 59s);
  EXPECT_EQ(turnstile->unproved(), 3U);
  turnstile->sweep(now + 61s);

  EXPECT_EQ(turnstile->unproved(), 1U);
  turnstile->done(gone);
  turnstile->done(unknown);
  EXPECT_EQ(turnstile->unproved(), 1U);
  EXPECT_EQ(turnstile->connections(), 1U);
}

}  // namespace
}  // namespace culvert::rpc
