#include "controlplane/uninstall.h"

#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

TEST(Uninstall, KnowsWhatItHasWritten) {
  EXPECT_TRUE(is_written_by_us(R"({"metadata":{"managedFields":[{"manager":"kubectl"},{"manager":"culvertd"}]}})"));
  EXPECT_TRUE(is_written_by_us(R"({"metadata":{"managedFields":[{"manager":"culvert"}]}})"));
}

TEST(Uninstall, LeavesAloneWhatOthersHaveWritten) {
  EXPECT_FALSE(is_written_by_us(R"({"metadata":{"managedFields":[{"manager":"pilot-discovery"}]}})"));
  EXPECT_FALSE(is_written_by_us(R"({"metadata":{"name":"istio-ca-secret"}})"));
  EXPECT_FALSE(is_written_by_us(R"({"metadata":{"managedFields":[{"manager":1},2]}})"));
  EXPECT_FALSE(is_written_by_us(R"({"metadata":{"managedFields":"culvertd"}})"));
  EXPECT_FALSE(is_written_by_us("no JSON"));
}

}  // namespace
}  // namespace culvert::controlplane
