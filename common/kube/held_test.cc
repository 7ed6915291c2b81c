#include "common/kube/held.h"

#include <gtest/gtest.h>

namespace culvert::kube {
namespace {

const Key kWeb{.ns = "shop", .name = "web"};

TEST(Held, KnowsAVersionAgain) {
  Held held;
  held.begin();
  EXPECT_FALSE(held.put(kWeb, "u1", "1").same);
  EXPECT_TRUE(held.put(kWeb, "u1", "1").same);
  EXPECT_FALSE(held.put(kWeb, "u1", "2").same);
  EXPECT_EQ(held.version(kWeb), "2");
  EXPECT_FALSE(held.put(kWeb, "u1", "").same);
  EXPECT_FALSE(held.put(kWeb, "u1", "").same) << "without a version nothing says that it is the same";
}

TEST(Held, SaysWhichOneWasThereBefore) {
  Held held;
  held.put(kWeb, "u1", "1");

  const auto before = held.put(kWeb, "u2", "1");

  EXPECT_EQ(before.uid, "u1");
  EXPECT_FALSE(before.same);
  EXPECT_EQ(held.size(), 1U);
}

TEST(Held, WhatCannotBeReadIsReadAnewWhenItCan) {
  Held held;
  held.put(kWeb, "u1", "1");
  held.unreadable(kWeb, "u1");

  EXPECT_EQ(held.version(kWeb), "");
  EXPECT_FALSE(held.put(kWeb, "u1", "1").same);
}

TEST(Held, ANewListShowsWhatIsGoneInOrder) {
  Held held;
  held.begin();
  for (const char* name : {"c", "a", "b", "d"}) held.put({.ns = "shop", .name = name}, name, "1");
  held.begin();
  held.put({.ns = "shop", .name = "a"}, "a", "1");
  held.unreadable({.ns = "shop", .name = "d"}, "d");

  const auto gone = held.end();

  ASSERT_EQ(gone.size(), 2U);
  EXPECT_EQ(gone[0].key.name, "b");
  EXPECT_EQ(gone[1].uid, "c");
  EXPECT_EQ(held.version({.ns = "shop", .name = "c"}), std::nullopt);
}

TEST(Held, WhenItIsNotSureWhichCannotBeReadNothingIsGone) {
  Held held;
  held.begin();
  held.put(kWeb, "u1", "1");
  held.begin();
  held.unreadable({.ns = "shop", .name = "other"}, "");

  EXPECT_TRUE(held.end().empty());
  std::string uid;
  EXPECT_TRUE(held.remove(kWeb, uid));
  EXPECT_EQ(uid, "u1");
  EXPECT_FALSE(held.remove(kWeb, uid));
}

}  // namespace
}  // namespace culvert::kube
