#include "cli/local/probe.h"

#include <gtest/gtest.h>

namespace culvert::local {
namespace {

TEST(Verdict, ChangesAfterAsManyInARowAsAsked) {
  Verdict verdict(2, 3);

  EXPECT_FALSE(verdict.count(true));
  EXPECT_TRUE(verdict.count(true));
  EXPECT_TRUE(verdict.ready());
  EXPECT_FALSE(verdict.count(false));
  EXPECT_FALSE(verdict.count(false));
  EXPECT_FALSE(verdict.count(true));
  EXPECT_FALSE(verdict.count(false));
  EXPECT_FALSE(verdict.count(false));
  EXPECT_TRUE(verdict.count(false));
  EXPECT_FALSE(verdict.ready());
}

}  // namespace
}  // namespace culvert::local
