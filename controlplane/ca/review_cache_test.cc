#include "controlplane/ca/review_cache.h"

#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;

const net::Clock::time_point kStart = net::Clock::time_point() + 1h;

TokenHash hash(int number) {
  TokenHash out{};
  out[0] = static_cast<unsigned char>(number >> 8);
  out[1] = static_cast<unsigned char>(number);
  return out;
}
Review good() {
  return {.caller = Caller{.node = "n1", .own = {}}, .pod_namespace = "", .pod_name = "", .pod_uid = "", .until = kStart + 60s};
}
Review refused() { return {.caller = failure("no"), .pod_namespace = "", .pod_name = "", .pod_uid = "", .until = kStart + 10s}; }

TEST(ReviewCache, RemembersForAWhile) {
  ReviewCache cache;
  cache.put(hash(1), good());
  cache.put(hash(2), refused());

  EXPECT_TRUE(cache.find(hash(1), kStart)->caller);
  EXPECT_FALSE(cache.find(hash(2), kStart)->caller);
  EXPECT_EQ(cache.find(hash(3), kStart), nullptr);
  EXPECT_EQ(cache.find(hash(2), kStart + 10s), nullptr);
  EXPECT_EQ(cache.size(), 1U) << "what is over is gone";
}

TEST(ReviewCache, RefusalsNeverPushOutGoodAnswers) {
  ReviewCache cache(10, 5);
  for (int i = 0; i < 10; ++i) cache.put(hash(i), good());
  for (int i = 100; i < 1000; ++i) cache.put(hash(i), refused());

  for (int i = 0; i < 10; ++i) EXPECT_NE(cache.find(hash(i), kStart), nullptr) << i;
  EXPECT_EQ(cache.size(), 15U);
}

TEST(ReviewCache, TheOneNotAskedForLongestGoesFirst) {
  ReviewCache cache(2, 2);
  cache.put(hash(1), good());
  cache.put(hash(2), good());
  EXPECT_NE(cache.find(hash(1), kStart), nullptr);
  cache.put(hash(3), good());

  EXPECT_NE(cache.find(hash(1), kStart), nullptr);
  EXPECT_EQ(cache.find(hash(2), kStart), nullptr);
  EXPECT_NE(cache.find(hash(3), kStart), nullptr);
}

TEST(ReviewCache, ANewAnswerTakesTheOldOnesPlace) {
  ReviewCache cache;
  cache.put(hash(1), refused());
  cache.put(hash(1), good());
  EXPECT_TRUE(cache.find(hash(1), kStart)->caller);
  cache.put(hash(1), refused());
  EXPECT_FALSE(cache.find(hash(1), kStart)->caller);
  EXPECT_EQ(cache.size(), 1U);
}

}  // namespace
}  // namespace culvert::controlplane
