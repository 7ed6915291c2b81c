#include "ztunnel/worker/live.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace culvert::ztunnel {
namespace {

TEST(LiveSet, StopsEachEntryOnce) {
  LiveSet set;
  std::vector<Reason> told;
  LiveSet::Entry entry(set, {}, [&](Reason reason) { told.push_back(reason); });

  set.stop_all(Reason::kPodRemoved);
  set.stop_all(Reason::kDraining);

  EXPECT_EQ(told, std::vector{Reason::kPodRemoved});
  EXPECT_EQ(entry.stopped(), Reason::kPodRemoved);
}

TEST(LiveSet, TellsAtOnceWhoeverComesToStopTooLate) {
  LiveSet set;
  LiveSet::Entry entry(set, {}, {});
  entry.stop(Reason::kPolicyChanged);

  Reason told = Reason::kNone;
  entry.on_stop([&](Reason reason) { told = reason; });

  EXPECT_EQ(told, Reason::kPolicyChanged);
}

TEST(LiveSet, SaysWhenTheLastEntryGoes) {
  LiveSet set;
  int emptied = 0;
  set.on_empty = [&] { ++emptied; };
  auto first = std::make_unique<LiveSet::Entry>(set, Connection{}, LiveSet::Entry::Stop{});
  auto second = std::make_unique<LiveSet::Entry>(set, Connection{}, LiveSet::Entry::Stop{});

  first.reset();
  EXPECT_EQ(set.size(), 1u);
  EXPECT_EQ(emptied, 0);
  second.reset();

  EXPECT_EQ(emptied, 1);
}

}  // namespace
}  // namespace culvert::ztunnel
