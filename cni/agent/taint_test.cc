#include "cni/agent/taint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::agent {
namespace {

constexpr std::string_view kKey = "culvert.dev/agent-not-ready";

TEST(Taint, IsTakenOffTheNodeAndNoOtherIs) {
  const auto patch = untaint(R"({"metadata":{"name":"a","resourceVersion":"7"},"spec":{"podCIDR":"x","taints":[
    {"key":"culvert.dev/agent-not-ready","effect":"NoSchedule"}, {"key":"gpu","value":"yes","effect":"NoExecute"},
    {"key":"culvert.dev/agent-not-ready","value":"true","effect":"NoExecute"}, {"key":"b","effect":"NoSchedule"}]}})",
                             kKey);

  EXPECT_EQ(patch, R"({"metadata":{"resourceVersion":"7"},"spec":{"taints":[)"
                   R"({"key":"gpu","value":"yes","effect":"NoExecute"},{"key":"b","effect":"NoSchedule"}]}})");
}

TEST(Taint, TheLastOneLeavesNone) {
  EXPECT_EQ(untaint(R"({"metadata":{"resourceVersion":"7"},"spec":{"taints":[{"key":"culvert.dev/agent-not-ready"}]}})", kKey),
            R"({"metadata":{"resourceVersion":"7"},"spec":{"taints":[]}})");
}

TEST(Taint, ANodeWithoutItIsLeftAlone) {
  for (const std::string_view node :
       {R"({"metadata":{"resourceVersion":"7"},"spec":{}})", R"({"metadata":{"resourceVersion":"7"}})",
        R"({"metadata":{"resourceVersion":"7"},"spec":{"taints":[{"key":"gpu"}]}})"})
    EXPECT_EQ(untaint(node, kKey), "") << node;
}

TEST(Taint, WhatIsNoNodeIsAnError) {
  EXPECT_THAT(untaint("{", kKey).error().text, testing::HasSubstr("reading the node"));
  EXPECT_THAT(untaint("{}", kKey).error().text, testing::HasSubstr("no resourceVersion"));
}

}  // namespace
}  // namespace culvert::agent
