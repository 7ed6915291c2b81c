#include "cni/agent/health.h"

#include <gtest/gtest.h>

namespace culvert::agent {
namespace {

TEST(Health, ListsWhatFailsUntilItRecovers) {
  Health health;
  EXPECT_EQ(health.text(), "ok\n");

  health.failing("pod shop/a", "attach", "attach: no");
  health.failing("pod shop/a", "attach", "attach: still no");

  EXPECT_TRUE(health.ready());  // the agent does its work for the others
  EXPECT_EQ(health.text(), "failing: pod shop/a: attach: still no\n");
  EXPECT_EQ(health.errors().at("attach"), 2u);

  health.recovered("pod shop/a");
  EXPECT_EQ(health.text(), "ok\n");
  EXPECT_EQ(health.errors().at("attach"), 2u);
}

TEST(Health, IsNotReadyWhileAPartOfTheAgentFails) {
  Health health;

  health.unready("kernel programs", "no");
  EXPECT_FALSE(health.ready());
  EXPECT_EQ(health.text(), "not ready: kernel programs: no\n");

  health.unready("kernel programs", "");
  EXPECT_TRUE(health.ready());
}

}  // namespace
}  // namespace culvert::agent
