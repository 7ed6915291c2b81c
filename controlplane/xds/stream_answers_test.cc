// What is known of a subscriber from its answers: acknowledged, refused, in force.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/xds/test_stream.h"

namespace culvert::controlplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using What = Stream::Heard::What;

TEST_F(StreamTest, TheNonceCarriesTheEpoch) {
  change({workload("a")});
  change({workload("b")});
  stream.receive(ask(Type::kAddress), snapshot);
  poll();

  EXPECT_EQ(nonce[Type::kAddress], "2.1");
  EXPECT_EQ(answer(Type::kAddress, "1.1"), What::kStale);
  EXPECT_EQ(stream.progress(Type::kAddress).acknowledged, 0U);
  EXPECT_EQ(answer(Type::kAddress, "2.1"), What::kAck);
  EXPECT_EQ(stream.progress(Type::kAddress).acknowledged, 2U);
}

TEST_F(StreamTest, ARefusalIsRememberedAndTheStreamGoesOn) {
  change({workload("a")});
  stream.receive(ask(Type::kAddress), snapshot);
  poll();

  EXPECT_EQ(answer(Type::kAddress, nonce[Type::kAddress], "a: bad address"), What::kNack);
  EXPECT_EQ(refused(Type::kAddress), "a: bad address");
  EXPECT_EQ(stream.progress(Type::kAddress).acknowledged, 0U);
  EXPECT_THAT(poll(), IsEmpty());

  change({workload("a", {"p"})});
  EXPECT_THAT(poll(), ElementsAre("WDS +a"));
  acknowledge_all();
  EXPECT_EQ(refused(Type::kAddress), "");
}

TEST_F(StreamTest, WhatIsAnsweredIsInForceUpToItsEpochAndWithNothingPendingAllOfIt) {
  change({workload("a")});
  stream.receive(ask(Type::kAddress), snapshot);
  stream.receive(ask(Type::kAuthorization), snapshot);
  poll();
  EXPECT_EQ(applied(Type::kAddress), 0U) << "sent is not answered";
  acknowledge_all();
  EXPECT_EQ(applied(Type::kAddress), 1U);

  change({}, {policy("p")});
  poll();
  EXPECT_EQ(applied(Type::kAddress), 2U) << "there is nothing in it for this type";
  EXPECT_EQ(applied(Type::kAuthorization), 1U);
  change({}, {policy("q")});
  poll();
  acknowledge_all();
  EXPECT_EQ(applied(Type::kAuthorization), 2U) << "epoch 3 has not been sent";
  poll();
  acknowledge_all();

  EXPECT_EQ(applied(Type::kAuthorization), 3U);
}

TEST_F(StreamTest, ARemovalThatWaitsForItsTurnIsNotInForce) {
  change({workload("a", {"shop/p"})}, {policy("p")});
  stream.receive(ask(Type::kAuthorization), snapshot);
  stream.receive(ask(Type::kAddress), snapshot);
  poll();
  std::string addresses = std::exchange(nonce[Type::kAddress], "");
  answer(Type::kAuthorization, std::exchange(nonce[Type::kAuthorization], ""));
  EXPECT_EQ(applied(Type::kAuthorization), 1U);

  change({workload("a")}, {policy("q")}, {}, {"shop/p"});
  poll();
  answer(Type::kAuthorization, std::exchange(nonce[Type::kAuthorization], ""));
  EXPECT_EQ(applied(Type::kAuthorization), 1U) << "the workload that names it goes first";
  answer(Type::kAddress, addresses);
  EXPECT_THAT(poll(), ElementsAre("WDS +a", "WADS -shop/p"));
  EXPECT_EQ(applied(Type::kAuthorization), 1U);
  acknowledge_all();

  EXPECT_EQ(applied(Type::kAuthorization), 2U);
  EXPECT_EQ(applied(Type::kAddress), 2U);
}

TEST_F(StreamTest, ALaterAcknowledgementSaysNothingOfWhatWasRefused) {
  change({}, {policy("p"), policy("q")});
  stream.receive(ask(Type::kAuthorization), snapshot);
  poll();
  answer(Type::kAuthorization, nonce[Type::kAuthorization], "shop/q: unknown scope");

  change({}, {policy("r")});
  poll();
  acknowledge_all();

  const auto& progress = stream.progress(Type::kAuthorization);
  EXPECT_EQ(progress.answered, 2U);
  EXPECT_EQ(progress.applied(), 0U);
  EXPECT_EQ(refused(Type::kAuthorization), "shop/q: unknown scope");
  ASSERT_TRUE(progress.refusals.of(1));
  EXPECT_EQ(progress.refusals.of(1)->first, "shop/q");
  EXPECT_FALSE(progress.refusals.of(2)) << "what came in epoch 2 is in force there";

  change({}, {policy("q", true)});
  poll();
  EXPECT_EQ(progress.applied(), 0U);
  acknowledge_all();
  EXPECT_EQ(progress.applied(), 3U);
}

TEST_F(StreamTest, ARefusalOfSeveralNamesEachAndARemovedOneIsNoMore) {
  change({}, {policy("p"), policy("q"), policy("r")});
  stream.receive(ask(Type::kAuthorization), snapshot);
  poll();

  answer(Type::kAuthorization, nonce[Type::kAuthorization], "shop/p: a; and b: c; shop/q: d");

  EXPECT_EQ(refused(Type::kAuthorization), "shop/p: a; and b: c | shop/q: d");
  change({}, {policy("q", true)}, {}, {"shop/p"});
  poll();
  answer(Type::kAuthorization, nonce[Type::kAuthorization], "shop/q: still");
  EXPECT_EQ(refused(Type::kAuthorization), "shop/q: still");
  EXPECT_EQ(stream.progress(Type::kAuthorization).refusals.of(1)->second.sent, 2U) << "it has neither version";
}

TEST_F(StreamTest, ARefusalThatNamesNothingStands) {
  change({}, {policy("p")});
  stream.receive(ask(Type::kAuthorization), snapshot);
  poll();
  answer(Type::kAuthorization, nonce[Type::kAuthorization], "out of memory");
  change({}, {policy("p", true)});
  poll();
  acknowledge_all();

  EXPECT_EQ(refused(Type::kAuthorization), ": out of memory");
  EXPECT_EQ(applied(Type::kAuthorization), 0U);
}

TEST_F(StreamTest, KnowsWhatHasBeenSentForForgettingRemovals) {
  change({workload("a")});
  stream.receive(ask(Type::kAddress), snapshot);
  poll();
  change({}, {}, {"a"});
  EXPECT_EQ(stream.sent(snapshot), 1U);
  acknowledge_all();
  poll();
  EXPECT_EQ(stream.sent(snapshot), 2U);
}

}  // namespace
}  // namespace culvert::controlplane
