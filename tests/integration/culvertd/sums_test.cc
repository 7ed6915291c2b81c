// Nodes that come again and say what they hold in sums: each end is as real as it is in discovery_test.cc.
#include <gmock/gmock.h>
#include <signal.h>

#include "tests/integration/culvertd/fixture.h"

namespace culvert::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using xds::kAddressType;

std::string uid(const std::string& name) { return "Kubernetes//Pod/shop/" + name; }

struct ComingWithSums : CulvertdTest {
  using Held = std::map<std::string, std::string>;

  // culvertd serves a few pods, and this is what a node holds of them.
  Held begin() {
    write("a.yaml", pod("a", "n1", "10.0.0.1") + pod("b", "n1", "10.0.0.2") + pod("c", "n1", "10.0.0.3"));
    EXPECT_TRUE(start());
    const auto client = connect();
    client->subscribe(kAddressType);
    until([&] { return client->held[std::string(kAddressType)].size() == 3; }, "the first configuration");
    return client->versions(kAddressType);
  }
  const Subscriber::Response& first_of(Subscriber& client) {
    until([&] { return !client.responses[std::string(kAddressType)].empty(); }, "the first response");
    return client.responses[std::string(kAddressType)].at(0);
  }
};

TEST_F(ComingWithSums, GetOnlyTheDifference) {
  const Held held = begin();
  write("a.yaml", pod("a", "n1", "10.0.0.1") + pod("b", "n1", "10.0.0.9") + pod("d", "n1", "10.0.0.4"));

  const auto again = connect();
  again->subscribe_with_sums(kAddressType, held);

  EXPECT_THAT(first_of(*again).put, ElementsAre(uid("b"), uid("d")));
  EXPECT_THAT(first_of(*again).removed, ElementsAre(uid("c")));
  EXPECT_EQ(again->questions, 1);
}

TEST_F(ComingWithSums, GetNothingFromOneThatHasRestarted) {
  const Held held = begin();
  stop(SIGKILL);
  ASSERT_TRUE(start());

  const auto again = connect();
  again->subscribe_with_sums(kAddressType, held);

  EXPECT_THAT(first_of(*again).put, IsEmpty());
  EXPECT_THAT(first_of(*again).removed, IsEmpty());
  EXPECT_EQ(again->questions, 0);
}

TEST_F(ComingWithSums, WhoSaysThemWronglyIsToldSoAndNobodyElseIsHeldUp) {
  const Held held = begin();
  const auto other = connect(kToken2);
  other->subscribe(kAddressType);
  first_of(*other);

  const auto wrong = connect();
  wrong->subscribe_with_sums(kAddressType, held);
  first_of(*wrong);
  wrong->subscribe_with_sums(kAddressType, held);
  until([&] { return wrong->ended.has_value(); }, "the refusal");
  EXPECT_EQ(wrong->ended->code, 3) << wrong->ended->describe();
  EXPECT_THAT(wrong->ended->text, HasSubstr("sums of what is held come with the first request only"));
  EXPECT_THAT(metrics(), HasSubstr("pilot_total_xds_internal_errors 1\n"));

  write("d.yaml", pod("d", "n1", "10.0.0.4"));
  until([&] { return other->held[std::string(kAddressType)].size() == 4; }, "a change");
}

// As many as are read at one time, and more.
TEST_F(ComingWithSums, WhoDoesNotAnswerKeepsNobodyWaitingForLong) {
  begin();
  std::vector<std::unique_ptr<Subscriber>> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(connect());
    silent.back()->acknowledges = false;
    silent.back()->subscribe_with_sums(kAddressType, {{"of another mesh", "1"}});
  }
  until([&] { return silent.front()->questions == 1; }, "the question");

  const auto newcomer = connect(kToken2);
  newcomer->subscribe(kAddressType);

  EXPECT_THAT(first_of(*newcomer).put, SizeIs(3));
  for (const auto& each : silent) EXPECT_THAT(each->responses, IsEmpty());
}

}  // namespace
}  // namespace culvert::test
