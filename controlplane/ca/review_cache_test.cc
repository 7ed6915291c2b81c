#include "controlplane/ca/review_cache.h"

#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;

const net::Clock::time_point kFirst = net::Clock::time_point() + 1h;

TokenHash hash(int number) {
  TokenHash out{};
  out[0] = static_cast<unsigned char>(number >> 8);
  out[1] = static_cast<unsigned char>(number);
  return out;
}
Review good() {
  return {.caller = Caller{.node = "n1", .own = {}}, .pod_namespace = "", .pod_name = "", .pod_uid = "", .until = kFirst + 60s};
}
Review refused() { return {.caller = failure("no"), .pod_namespace = "", .pod_name = "", .pod_uid = "", .until = kFirst + 10s}; }

TEST(ReviewCache, RemembersForAWhile) {
  ReviewCache cache;
  cache.put(hash(1), good());
  cache.put(hash(2), refused());

  EXPECT_TRUE(cache.find(hash(1), kFirst)->caller);
  EXPECT_FALSE(cache.find(hash(2), kFirst)->caller);
  EXPECT_EQ(cache.find(hash(3), kFirst), nullptr);
  EXPECT_EQ(cache.find(hash(2), kFirst + 10s), nullptr);
  EXPECT_EQ(cache.size(), 1U) << "what is over is gone";
}

TEST(ReviewCache, AGoodAnswerIsFoundLaterByWhoTakesAnOldOne) {
  ReviewCache cache;
  cache.put(hash(1), good());
  cache.put(hash(2), refused());

  EXPECT_EQ(cache.find(hash(1), kFirst + 60s), nullptr);
  ASSERT_NE(cache.find_old(hash(1)), nullptr);
  EXPECT_TRUE(cache.find_old(hash(1))->caller);
  EXPECT_EQ(cache.find_old(hash(2)), nullptr) << "a refusal";
  cache.erase(hash(1));
  EXPECT_EQ(cache.find_old(hash(1)), nullptr);
}

TEST(ReviewCache, RefusalsNeverPushOutGoodAnswers) {
  ReviewCache cache(10, 5);
  for (int i = 0; i < 10; ++i) cache.put(hash(i), good());
  for (int i = 100; i < 1000; ++i) cache.put(hash(i), refused());

  for (int i = 0; i < 10; ++i) EXPECT_NE(cache.find(hash(i), kFirst), nullptr) << i;
  EXPECT_EQ(cache.size(), 15U);
}

TEST(ReviewCache, TheOneNotAskedForLongestGoesFirst) {
  ReviewCache cache(2, 2);
  cache.put(hash(1), good());
  cache.put(hash(2), good());
  EXPECT_NE(cache.find(hash(1), kFirst), nullptr);
  cache.put(hash(3), good());

  EXPECT_NE(cache.find(hash(1), kFirst), nullptr);
  EXPECT_EQ(cache.find(hash(2), kFirst), nullptr);
  EXPECT_NE(cache.find(hash(3), kFirst), nullptr);
}

TEST(ReviewCache, ANewAnswerTakesTheOldOnesPlace) {
  ReviewCache cache;
  cache.put(hash(1), refused());
  cache.put(hash(1), good());
  EXPECT_TRUE(cache.find(hash(1), kFirst)->caller);
  cache.put(hash(1), refused());
  EXPECT_FALSE(cache.find(hash(1), kFirst)->caller);
  EXPECT_EQ(cache.size(), 1U);
}

}  // namespace
}  // namespace culvert::controlplane
