#include "common/rpc/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::rpc {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

struct Gates : testing::Test {
  Gate::Limits limits{};
  std::optional<Gate> gate;
  std::uint16_t port = 1000;
  Gate::Time now{};

  Gate& made() { return gate ? *gate : gate.emplace(limits); }
  static Endpoint at(const std::string& address, std::uint16_t its_port) { return {*IpAddress::parse(address), its_port}; }
  Gate::Id last = 0;  // who arrived
  Gate::Arrival arrive(const std::string& address = "10.0.0.1") {
    const auto arrival = made().arrive(at(address, ++port), now);
    last = arrival.id.value_or(0);
    return arrival;
  }
  // One that has proved to be `caller`.
  Gate::Id proved(const std::string& caller, const std::string& address = "10.0.0.1") {
    const auto arrival = arrive(address);
    auto ticket = gate->begin_call(last);
    gate->prove(*ticket, caller);
    gate->end_call(*ticket);
    return *arrival.id;
  }
  std::uint64_t turned(Gate::Reason reason) const { return gate->turned_away(reason); }
};

TEST_F(Gates, TheOldestOfTheAddressWithMostMakesRoom) {
  limits.unproved = 3;
  const auto alone = arrive("10.0.0.1");
  const auto oldest = arrive("10.0.0.2");
  arrive("10.0.0.2");

  const auto newcomer = arrive("10.0.0.3");

  EXPECT_TRUE(newcomer.id);
  EXPECT_EQ(newcomer.out, oldest.id);
  EXPECT_EQ(gate->unproved(), 3U);
  EXPECT_EQ(turned(Gate::Reason::kCrowded), 1U);
  EXPECT_TRUE(gate->peer(*alone.id));
  EXPECT_FALSE(gate->peer(*oldest.id));
}

TEST_F(Gates, OneAddressHasSoManyUnprovedOnesAndNoMore) {
  limits.unproved_of_address = 2;
  const auto first = arrive();
  arrive();

  EXPECT_EQ(arrive().out, first.id);
  EXPECT_EQ(arrive("10.0.0.2").out, std::nullopt);
  EXPECT_EQ(gate->unproved(), 3U);
}

TEST_F(Gates, UnprovedOnesTakeNoPlaceOfProvedOnes) {
  limits.connections = 3;
  const auto one = proved("node n1");
  const auto two = proved("node n2");

  const auto first = arrive("10.0.0.9");
  const auto second = arrive("10.0.0.9");

  EXPECT_EQ(second.out, first.id);
  EXPECT_TRUE(gate->peer(one));
  EXPECT_TRUE(gate->peer(two));
  EXPECT_EQ(gate->size(), 3U);
}

TEST_F(Gates, ANewcomerIsRefusedWhereAllAreProved) {
  limits.connections = 3;
  limits.of_address = 2;
  proved("node n1");
  proved("node n2");

  EXPECT_FALSE(arrive().id);
  EXPECT_EQ(turned(Gate::Reason::kAddress), 1U);
  proved("node n3", "10.0.0.2");
  EXPECT_FALSE(arrive("10.0.0.3").id);
  EXPECT_EQ(turned(Gate::Reason::kFull), 1U);
}

TEST_F(Gates, WhoDoesNotProveHimselfInTimeGoes) {
  limits.proof = 30s;
  const auto early = arrive();
  const auto node = proved("node n1");
  now += 20s;
  arrive();
  now += 10s;

  EXPECT_THAT(gate->silent(now), ElementsAre(*early.id));
  EXPECT_THAT(gate->silent(now), IsEmpty());
  EXPECT_TRUE(gate->peer(node));
}

TEST_F(Gates, BytesAreBoundedUntilTheProof) {
  limits.unproved_bytes = 100;
  const auto one = arrive();
  const auto node = proved("node n1");

  EXPECT_FALSE(gate->sent(*one.id, 100));
  EXPECT_TRUE(gate->sent(*one.id, 101));
  EXPECT_FALSE(gate->sent(*one.id, 102)) << "it is gone";
  EXPECT_FALSE(gate->sent(node, 1'000'000));
}

TEST_F(Gates, WhatAProvedOneSendsHasToBecomeCallsOrMessages) {
  limits.bytes = 1000;
  proved("node n1");
  const auto call = gate->begin_call(last);
  EXPECT_FALSE(gate->sent(call->id, 5000)) << "until now";
  EXPECT_FALSE(gate->sent(call->id, 6000));
  gate->moved(*call);
  EXPECT_FALSE(gate->sent(call->id, 6900)) << "a message";
  EXPECT_FALSE(gate->sent(call->id, 7900));

  EXPECT_TRUE(gate->sent(call->id, 7901));

  EXPECT_EQ(turned(Gate::Reason::kBytes), 1U);
  gate->end_call(*call);
}

TEST_F(Gates, UnprovedCallsAreBoundedOfAConnectionAndOfAnAddress) {
  limits.calls = 2;
  limits.unproved_calls_of_address = 3;
  arrive();
  const Gate::Id one = last;
  arrive();
  const Gate::Id two = last;

  auto first = gate->begin_call(one);
  auto second = gate->begin_call(one);
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(gate->begin_call(one)) << "of the connection";
  EXPECT_TRUE(gate->begin_call(two));
  EXPECT_FALSE(gate->begin_call(two)) << "of the address";
  EXPECT_EQ(gate->refused_calls(), 2U);

  gate->prove(*first, "node n1");
  EXPECT_TRUE(gate->begin_call(two)) << "what is proved does not count";
  gate->end_call(*second);
  EXPECT_TRUE(gate->begin_call(one));
}

TEST_F(Gates, OfAllUnprovedConnectionsThereAreSoManyCallsBeyondTheFirstOfEach) {
  limits.unproved_calls_of_all = 2;
  arrive("10.0.0.1");
  const Gate::Id one = last;
  arrive("10.0.0.2");
  const Gate::Id two = last;
  auto first = gate->begin_call(one);
  const auto second = gate->begin_call(one);

  EXPECT_FALSE(gate->begin_call(one));
  const auto other = gate->begin_call(two);
  EXPECT_TRUE(other) << "its first";
  EXPECT_FALSE(gate->begin_call(two));
  EXPECT_EQ(gate->unproved_calls(), 3U);
  gate->prove(*first, "node n1");
  EXPECT_EQ(gate->unproved_calls(), 1U);
  EXPECT_TRUE(gate->begin_call(two)) << "once there is room";
  gate->leave(two);
  EXPECT_EQ(gate->unproved_calls(), 0U);
  gate->end_call(*second);
  gate->end_call(*other);
  EXPECT_EQ(gate->unproved_calls(), 0U);
}

TEST_F(Gates, CallsBeyondSomeWaitForTheFirstProof) {
  limits.unproved_calls = 2;
  const auto connection = arrive();
  const Gate::Id peer = last;
  auto first = gate->begin_call(peer);
  const auto second = gate->begin_call(peer);
  const auto third = gate->begin_call(peer);
  const auto fourth = gate->begin_call(peer);

  const auto turn = gate->prove(*first, "node n1");

  EXPECT_FALSE(first->waits || second->waits);
  EXPECT_TRUE(third->waits && fourth->waits);
  EXPECT_THAT(turn.go_on, ElementsAre(third->call, fourth->call));
  EXPECT_FALSE(gate->begin_call(peer)->waits);
  EXPECT_THAT(gate->end_call(*second).go_on, IsEmpty());
  EXPECT_TRUE(gate->peer(*connection.id));
}

TEST_F(Gates, OneThatEndsWithoutAProofGivesItsTurnToTheNextAndEachIsATry) {
  limits.unproved_calls = 1;
  limits.tries = 2;
  const auto connection = arrive();
  const Gate::Id peer = last;
  const auto first = gate->begin_call(peer);
  const auto second = gate->begin_call(peer);
  const auto third = gate->begin_call(peer);

  EXPECT_THAT(gate->end_call(*first).go_on, ElementsAre(second->call));
  const auto turn = gate->end_call(*second);

  EXPECT_EQ(turn.out, connection.id);
  EXPECT_THAT(turn.go_on, IsEmpty());
  EXPECT_EQ(turned(Gate::Reason::kTries), 1U);
  EXPECT_THAT(gate->end_call(*third).go_on, IsEmpty());
}

TEST_F(Gates, OnesThatWaitTakeNothingFromOthersOfTheirAddress) {
  limits.unproved_calls = 1;
  limits.unproved_calls_of_address = 2;
  arrive();
  const Gate::Id one = last;
  const auto first = gate->begin_call(one);
  const auto second = gate->begin_call(one);
  const auto third = gate->begin_call(one);
  arrive();
  const Gate::Id two = last;

  const auto other = gate->begin_call(two);
  ASSERT_TRUE(other);
  EXPECT_FALSE(other->waits);
  arrive();
  const Gate::Id three = last;
  EXPECT_FALSE(gate->begin_call(three));
  gate->end_call(*first);
  EXPECT_FALSE(gate->begin_call(three)) << "one that has waited takes that place";
  gate->end_call(*third);
  gate->end_call(*second);
  EXPECT_TRUE(gate->begin_call(three));
}

TEST_F(Gates, OneThatIsResetWhileItWaitsIsATry) {
  limits.unproved_calls = 1;
  limits.tries = 2;
  const auto connection = arrive();
  const Gate::Id peer = last;
  const auto first = gate->begin_call(peer);

  EXPECT_EQ(gate->end_call(*gate->begin_call(peer)).out, std::nullopt);
  EXPECT_EQ(gate->end_call(*gate->begin_call(peer)).out, connection.id);
  gate->end_call(*first);
}

TEST_F(Gates, CallsThatAreResetCountUntilTheyHaveEndedHere) {
  limits.tries = 3;
  const auto connection = arrive();
  for (int i = 0; i < 3; ++i) gate->end_call(*gate->begin_call(last));

  const auto fourth = gate->begin_call(last);

  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error().out, connection.id);
  EXPECT_EQ(turned(Gate::Reason::kTries), 1U);
  const auto fifth = gate->begin_call(last);
  ASSERT_FALSE(fifth);
  EXPECT_EQ(fifth.error().out, std::nullopt) << "said once";
}

TEST_F(Gates, CallsOfAProvedConnectionAreBoundedAsWell) {
  limits.calls = 2;
  limits.tries = 3;
  const auto id = proved("node n1");
  const Gate::Id peer = last;
  for (int i = 0; i < 10; ++i) gate->end_call(*gate->begin_call(peer));

  for (int i = 0; i < 4; ++i) EXPECT_TRUE(gate->begin_call(peer));
  for (int i = 0; i < 3; ++i) {
    const auto refused = gate->begin_call(peer);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().out, std::nullopt);
  }
  const auto refused = gate->begin_call(peer);

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().out, id);
}

TEST_F(Gates, ACallerHasSoManyConnectionsAndTheOldestMakesRoom) {
  limits.of_caller = 2;
  const auto first = proved("node n1");
  const auto second = proved("node n1");
  proved("node n2");

  const auto third = proved("node n1");

  EXPECT_FALSE(gate->peer(first));
  EXPECT_TRUE(gate->peer(second));
  EXPECT_TRUE(gate->peer(third));
  EXPECT_EQ(turned(Gate::Reason::kCaller), 1U);
}

TEST_F(Gates, WhatHasEndedIsForgotten) {
  const auto one = arrive();
  auto open = gate->begin_call(last);
  auto proving = gate->begin_call(last);
  gate->leave(*one.id);

  EXPECT_EQ(gate->size(), 0U);
  EXPECT_EQ(gate->unproved(), 0U);
  EXPECT_FALSE(gate->begin_call(last));
  EXPECT_EQ(gate->prove(*proving, "node n1").out, std::nullopt) << "too late";
  gate->end_call(*proving);
  gate->end_call(*open);
  EXPECT_EQ(gate->refused_calls(), 0U);
}

}  // namespace
}  // namespace culvert::rpc
