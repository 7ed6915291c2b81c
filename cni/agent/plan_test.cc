#include "cni/agent/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace culvert::agent {
namespace {

using enum Step;

// `first` stands before `second`, and both are there.
void expect_order(const std::vector<Step>& steps, Step first, Step second) {
  const auto a = std::ranges::find(steps, first);
  const auto b = std::ranges::find(steps, second);
  EXPECT_TRUE(a < b && b != steps.end()) << name(first) << " before " << name(second);
}

TEST(Plan, EnrolsWithTheCaptureLast) {
  for (const bool captured : {false, true}) {
    const auto steps = plan({.wanted = true, .captured = captured, .dns_capture = true});

    expect_order(steps, kPrepare, kTellZtunnel);
    expect_order(steps, kTellZtunnel, kFillSlots);  // slots are filled from listeners that exist
    expect_order(steps, kFillSlots, kAttach);       // nothing is steered to an empty slot
    expect_order(steps, kAttach, kCaptureDns);
    expect_order(steps, kAttach, kEnrol);
    expect_order(steps, kAwaitActive, kPublish);  // nobody tunnels to a pod that is not whole
    EXPECT_EQ(steps.back(), kPublish);
  }
}

TEST(Plan, HasACapturedPodWholeBeforeItsProgramsComeIntoForceAndANewOneAfter) {
  expect_order(plan({.wanted = true, .captured = true}), kEnrol, kAwaitActive);
  expect_order(plan({.wanted = true, .captured = false}), kAwaitActive, kAttach);
}

TEST(Plan, RemovesInTheOppositeOrder) {
  const auto steps = plan({.wanted = false, .captured = true});

  expect_order(steps, kAwaitActive, kWithdraw);  // before, a predecessor's programs would go on capturing
  expect_order(steps, kWithdraw, kDetach);
  expect_order(steps, kReleaseDns, kDetach);
  expect_order(steps, kWithdraw, kAwaitConnects);
  expect_order(steps, kAwaitConnects,
               kUnpublish);                  // others dial in plaintext as soon as they know, and STRICT refuses that until
  expect_order(steps, kUnpublish, kDetach);  // the program is detached: these two follow each other at once
  EXPECT_EQ(std::ranges::find(steps, kDetach) - std::ranges::find(steps, kUnpublish), 1);
  expect_order(steps, kDetach, kTakeFromZtunnel);  // no new connection meets closed listeners
  expect_order(steps, kTakeFromZtunnel, kAwaitSockets);
  expect_order(steps, kAwaitSockets, kRestore);  // routes of live connections stay
  EXPECT_EQ(steps.back(), kForget);
}

TEST(Plan, KeepsWhatCannotBeEnteredCapturedUntilItsNamespaceHasEnded) {
  for (const bool wanted : {false, true}) {
    const auto steps = plan({.wanted = wanted, .captured = true, .enterable = false});

    expect_order(steps, kTakeFromZtunnel, kAwaitNetns);
    expect_order(steps, kReleaseNetns, kAwaitNetns);
    expect_order(steps, kAwaitNetns, kWithdraw);
    EXPECT_FALSE(std::ranges::contains(steps, kRestore));
    EXPECT_EQ(steps.back(), kForget);
  }
}

TEST(Plan, LeavesTheDnsOfAPodAloneThatDoesNotWantItCaptured) {
  const auto steps = plan({.wanted = true, .dns_capture = false});

  EXPECT_FALSE(std::ranges::contains(steps, kCaptureDns));
  EXPECT_TRUE(std::ranges::contains(steps, kReleaseDns));  // it may have been captured before
}

}  // namespace
}  // namespace culvert::agent
