#include "controlplane/epochs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Absent, AreNodesThatShouldHaveADataPlaneAndHaveNone) {
  const auto absent = Absent::of({"n1", "n2", "n3"}, {"n1", "n3"}, {}, {"n1"}, false);

  EXPECT_THAT(absent.nodes, ElementsAre("n2", "n3"));
  EXPECT_THAT(absent.awaited, IsEmpty());
  EXPECT_THAT(absent.ready, ElementsAre("n3"));
}

TEST(Absent, OneThatLeftAMomentAgoIsAwaitedAlsoWhileNoPodOfItRuns) {
  const auto absent = Absent::of({"n1"}, {"n1"}, {"n2"}, {"n1"}, false);

  EXPECT_THAT(absent.nodes, ElementsAre("n2"));
  EXPECT_THAT(absent.awaited, ElementsAre("n2"));
}

TEST(Absent, WhoHasJustBegunAwaitsThemAll) {
  EXPECT_THAT(Absent::of({"n1", "n2"}, {}, {}, {"n1"}, true).awaited, ElementsAre("n2"));
}

}  // namespace
}  // namespace culvert::controlplane
