// What is sent, and in which order.
#include "controlplane/xds/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/xds/test_stream.h"

namespace culvert::controlplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using What = Stream::Heard::What;

TEST_F(StreamTest, SendsAllAndThenOnlyWhatChanges) {
  change({workload("a"), workload("b")});
  EXPECT_THAT(poll(), IsEmpty());
  EXPECT_EQ(stream.receive(ask(Type::kAddress), snapshot).what, What::kSubscription);
  EXPECT_THAT(poll(), ElementsAre("WDS +a +b"));
  EXPECT_THAT(poll(), IsEmpty());
  acknowledge_all();
  EXPECT_TRUE(stream.current(snapshot));

  change({workload("b", {"x"})}, {}, {"a"});

  EXPECT_FALSE(stream.current(snapshot));
  EXPECT_THAT(poll(), ElementsAre("WDS +b -a"));
}

TEST_F(StreamTest, WhatItRemembersIsCounted) {
  change({workload("a")});
  stream.receive(ask(Type::kAuthorization), snapshot);
  EXPECT_EQ(stream.kept(), 0U) << "who wants all names nothing";
  xds::Request names = ask(Type::kAddress);
  names.unsubscribe = {"*"};
  for (int i = 0; i < 1000; ++i) names.subscribe.push_back("name-" + std::to_string(i));

  stream.receive(names, snapshot);
  const std::size_t kept = stream.kept();
  EXPECT_GT(kept, 100'000U);
  stream.receive(names, snapshot);
  EXPECT_EQ(stream.kept(), kept) << "the same once more";
  poll();
  std::swap(names.subscribe, names.unsubscribe);
  stream.receive(names, snapshot);

  EXPECT_EQ(stream.kept(), 0U);
}

TEST_F(StreamTest, WhatItHeldOfNamesAndOfPoliciesIsCounted) {
  change({workload("a")});
  xds::Request held = ask(Type::kAddress);
  held.subscribe = held.unsubscribe = {"*"};
  for (int i = 0; i < 1000; ++i) held.initial_versions.emplace("name-" + std::to_string(1000 + i), "1");
  xds::Request policies = ask(Type::kAuthorization);
  policies.initial_versions = held.initial_versions;

  stream.receive(policies, snapshot);
  stream.receive(held, snapshot);
  EXPECT_GT(stream.kept(), 150'000U);
  poll();

  EXPECT_GT(stream.kept(), 100'000U) << "names, and policies that are gone";
}

TEST_F(StreamTest, WhoBeginsWithNothingGetsWhatOthersGetAndThenTheDifference) {
  change({workload("a"), workload("b")});
  stream.receive(ask(Type::kAddress), snapshot);
  const std::vector<Push> first = stream.poll(snapshot);
  change({workload("b", {"x"}), workload("c")}, {}, {"a"});
  snapshot.forget_removals(snapshot.epoch());
  stream = Stream();
  stream.receive(ask(Type::kAddress), snapshot);

  const std::vector<Push> second = stream.poll(snapshot);

  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].all, first.at(0).all);
  EXPECT_EQ(second[0].count(), 2U);
  EXPECT_FALSE(stream.current(snapshot));
  answer(Type::kAddress, second[0].nonce);
  EXPECT_THAT(poll(), ElementsAre("WDS +b +c -a"));
}

TEST_F(StreamTest, WhatOthersGotIsTooOldOnceAPolicyIsGoneThatItMayName) {
  change({workload("a", {"shop/p"})}, {policy("p")});
  const auto others = snapshot.whole();
  change({workload("a")}, {}, {}, {"shop/p"});
  stream.receive(ask(Type::kAddress), snapshot);

  const std::vector<Push> pushes = stream.poll(snapshot);

  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].all->epoch, snapshot.epoch());
  EXPECT_NE(pushes[0].all, others);
}

TEST_F(StreamTest, AnswersTheFirstRequestEvenWithNothing) {
  stream.receive(ask(Type::kAuthorization), snapshot);

  EXPECT_THAT(poll(), ElementsAre("WADS"));
}

TEST_F(StreamTest, OneResponseUnderWayAndTheRestInTheNext) {
  stream.receive(ask(Type::kAddress), snapshot);
  poll();
  change({workload("a")});
  change({workload("b")});
  change({workload("a", {"p"})});
  change({}, {}, {"b"});
  EXPECT_THAT(poll(), IsEmpty());

  acknowledge_all();

  EXPECT_THAT(poll(), ElementsAre("WDS +a -b"));
}

TEST_F(StreamTest, ASubscriberThatComesBackGetsOnlyTheDifference) {
  change({workload("same"), workload("changed"), workload("new")});
  xds::Request request = ask(Type::kAddress);
  request.initial_versions = {{"same", version(Type::kAddress, "same")}, {"changed", "0"}, {"gone", "1"}};
  stream.receive(request, snapshot);

  EXPECT_THAT(poll(), ElementsAre("WDS +changed +new -gone"));
}

TEST_F(StreamTest, APolicyGoesOutBeforeTheWorkloadThatNamesIt) {
  stream.receive(ask(Type::kAddress), snapshot);
  stream.receive(ask(Type::kAuthorization), snapshot);
  poll();
  acknowledge_all();

  change({workload("a", {"shop/p"})}, {policy("p")});
  EXPECT_THAT(poll(), ElementsAre("WADS +shop/p", "WDS +a"));
  acknowledge_all();

  change({}, {policy("p", true)});
  EXPECT_THAT(poll(), ElementsAre("WADS +shop/p"));  // under way
  change({workload("a", {"shop/p", "shop/q"})}, {policy("q")});
  EXPECT_THAT(poll(), IsEmpty());  // the workload waits for its policy
  acknowledge_all();
  EXPECT_THAT(poll(), ElementsAre("WADS +shop/q", "WDS +a"));
}

TEST_F(StreamTest, ARemovedPolicyGoesAfterTheWorkloadsThatNamedIt) {
  change({workload("a", {"shop/p"})}, {policy("p")});
  stream.receive(ask(Type::kAddress), snapshot);
  stream.receive(ask(Type::kAuthorization), snapshot);
  poll();
  answer(Type::kAuthorization, nonce[Type::kAuthorization]);

  change({workload("a")}, {}, {}, {"shop/p"});
  EXPECT_THAT(poll(), IsEmpty());  // the workloads are still under way

  answer(Type::kAddress, nonce[Type::kAddress]);
  EXPECT_THAT(poll(), ElementsAre("WDS +a", "WADS -shop/p"));
}

TEST_F(StreamTest, APolicyThatIsGoneWhenAClientComesBackGoesAfterTheWorkloadsToo) {
  change({workload("a")}, {policy("p")});
  xds::Request policies = ask(Type::kAuthorization);
  policies.initial_versions = {{"shop/p", version(Type::kAuthorization, "shop/p")}, {"shop/gone", "1"}, {"shop/back", "1"}};
  xds::Request addresses = ask(Type::kAddress);
  addresses.initial_versions = {{"a", "that named shop/gone"}};

  stream.receive(policies, snapshot);
  EXPECT_THAT(poll(), ElementsAre("WADS"));
  stream.receive(addresses, snapshot);
  EXPECT_THAT(poll(), ElementsAre("WDS +a"));
  change({}, {policy("back")});
  acknowledge_all();

  EXPECT_THAT(poll(), ElementsAre("WADS +shop/back -shop/gone"));
  acknowledge_all();
  EXPECT_TRUE(stream.current(snapshot));
}

TEST_F(StreamTest, ARefusedPolicyDoesNotHoldUpTheWorkloads) {
  stream.receive(ask(Type::kAddress), snapshot);
  stream.receive(ask(Type::kAuthorization), snapshot);
  poll();
  acknowledge_all();
  change({}, {policy("p")});
  EXPECT_THAT(poll(), ElementsAre("WADS +shop/p"));
  change({workload("a", {"shop/q"})}, {policy("q")});
  EXPECT_THAT(poll(), IsEmpty());

  EXPECT_EQ(answer(Type::kAuthorization, nonce[Type::kAuthorization], "shop/p: no thanks"), What::kNack);

  EXPECT_THAT(poll(), ElementsAre("WADS +shop/q", "WDS +a"));
}

TEST_F(StreamTest, ManyNamesOnDemandAreCheap) {
  constexpr int kMany = 200'000;
  xds::Request request = ask(Type::kAddress);
  request.unsubscribe = {"*"};
  for (int i = 0; i < kMany; ++i) {
    request.subscribe.push_back("n" + std::to_string(kMany + i));  // in order, which is how they are read from the wire
    request.initial_versions.emplace(request.subscribe.back(), "1");
  }
  stream.receive(request, snapshot);

  const auto pushes = stream.poll(snapshot);  // searched one by one for each other, they would take until the test is ended

  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].removed.size(), std::size_t{kMany});
}

TEST_F(StreamTest, OnDemandSendsOnlyWhatIsAskedForAndSaysWhatIsNotThere) {
  change({workload("a"), workload("b")});
  xds::Request request = ask(Type::kAddress);
  request.subscribe = {"*"};
  request.unsubscribe = {"*"};
  stream.receive(request, snapshot);
  EXPECT_THAT(poll(), ElementsAre("WDS"));
  acknowledge_all();

  request = ask(Type::kAddress);
  request.subscribe = {"b", "nothing"};
  stream.receive(request, snapshot);
  EXPECT_THAT(poll(), ElementsAre("WDS +b -nothing"));
  acknowledge_all();

  change({workload("a", {"p"})});
  EXPECT_THAT(poll(), IsEmpty());
  change({workload("b", {"p"}), workload("nothing")});
  EXPECT_THAT(poll(), ElementsAre("WDS +b +nothing"));
}

TEST_F(StreamTest, UnknownTypesAreSaid) {
  xds::Request request;
  request.type_url = "type.googleapis.com/x";
  EXPECT_EQ(stream.receive(request, snapshot).what, What::kUnknownType);
}

}  // namespace
}  // namespace culvert::controlplane
