// Clients that come again and say what they hold in sums.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "controlplane/xds/test_stream.h"

namespace culvert::controlplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using What = Stream::Heard::What;

struct StreamSums : StreamTest {
  void come(Type type, const Held& held) {
    brought[type] = held;
    EXPECT_EQ(stream.receive(ask_with_sums(type, held), snapshot).what, What::kSubscription);
  }
  void say_what_is_held(Type type) {
    EXPECT_EQ(say_held(type, nonce.extract(type).mapped(), asked[type], brought[type]), What::kHeld);
  }
  // What is wrong with the next request.
  std::string wrong(xds::Request request) {
    const auto heard = stream.receive(std::move(request), snapshot);
    return heard.what == What::kImpossible ? heard.error : "nothing";
  }

  std::map<Type, Held> brought;
};

TEST_F(StreamSums, WhoHoldsWhatIsServedIsSentNothing) {
  change({workload("a"), workload("b")}, {policy("p")});
  come(Type::kAuthorization, served(Type::kAuthorization));
  come(Type::kAddress, served(Type::kAddress));
  EXPECT_TRUE(stream.beginning());

  EXPECT_THAT(poll(), ElementsAre("WADS", "WDS"));

  EXPECT_FALSE(stream.beginning());
  acknowledge_all();
  EXPECT_TRUE(stream.current(snapshot));
  EXPECT_EQ(applied(Type::kAddress), snapshot.epoch());
}

TEST_F(StreamSums, WhoKnowsThemIsToldThatWeDoOnceForEachType) {
  change({workload("a")});
  xds::Request knows = ask(Type::kAddress);
  knows.knows_sums = true;
  stream.receive(knows, snapshot);
  stream.receive(ask(Type::kAuthorization), snapshot);
  std::map<Type, bool> told;
  for (const Push& push : stream.poll(snapshot)) told[push.type] = received(push).knows_sums, nonce[push.type] = push.nonce;
  EXPECT_EQ(told, (std::map<Type, bool>{{Type::kAddress, true}, {Type::kAuthorization, false}}));
  acknowledge_all();

  change({workload("b")});

  EXPECT_FALSE(received(stream.poll(snapshot).at(0)).knows_sums);
}

TEST_F(StreamSums, OnlyThePartsThatDifferAreAskedForAndCompared) {
  change({workload("same"), workload("changed"), workload("new")});
  Held held = served(Type::kAddress);
  held["changed"] = "0";
  held["gone"] = "1";
  held.erase("new");
  come(Type::kAddress, held);

  EXPECT_THAT(poll(), ElementsAre("WDS ?3"));
  EXPECT_THAT(poll(), IsEmpty());
  EXPECT_TRUE(stream.beginning());
  EXPECT_FALSE(stream.current(snapshot));
  say_what_is_held(Type::kAddress);
  EXPECT_EQ(applied(Type::kAddress), 0U) << "nothing was sent yet";
  EXPECT_THAT(poll(), ElementsAre("WDS +changed +new -gone"));
  EXPECT_FALSE(stream.beginning());
  acknowledge_all();

  EXPECT_TRUE(stream.current(snapshot));
  EXPECT_EQ(applied(Type::kAddress), snapshot.epoch());
}

TEST_F(StreamSums, WhatIsRefusedOrHasAStandInIsSentAgain) {
  change({}, {policy("refused"), policy("stand-in"), policy("good")});
  Held held = served(Type::kAuthorization);
  held["shop/refused"] = "of the last good one";
  held["shop/stand-in"] = "";
  come(Type::kAuthorization, held);
  EXPECT_THAT(poll(), ElementsAre("WADS ?2"));

  say_what_is_held(Type::kAuthorization);

  EXPECT_THAT(poll(), ElementsAre("WADS +shop/refused +shop/stand-in"));
}

TEST_F(StreamSums, WhatHasChangedSinceTheListingIsSentUnasked) {
  change({workload("a"), workload("b"), workload("c")});
  const Held held = served(Type::kAddress);
  snapshot.listing(Type::kAddress);  // somebody else's
  change({workload("b", {"x"}), workload("d")}, {}, {"c"});
  ASSERT_EQ(snapshot.listing(Type::kAddress).epoch(), 1U);
  come(Type::kAddress, held);

  EXPECT_THAT(poll(), ElementsAre("WDS +b +d -c"));

  acknowledge_all();
  EXPECT_TRUE(stream.current(snapshot));
}

TEST_F(StreamSums, WhoHoldsWhatIsNewerThanTheListingIsAskedAndSentNothing) {
  change({workload("a"), workload("b")});
  snapshot.listing(Type::kAddress);
  change({workload("b", {"x"})}, {}, {"a"});
  come(Type::kAddress, served(Type::kAddress));
  EXPECT_THAT(poll(), ElementsAre("WDS ?2"));

  say_what_is_held(Type::kAddress);

  EXPECT_THAT(poll(), ElementsAre("WDS"));
}

TEST_F(StreamSums, WhatChangesWhileTheQuestionIsUnderWayIsNotForgotten) {
  change({workload("asked"), workload("other"), workload("gone"), workload("asked-gone")});
  Held held = served(Type::kAddress);
  held["asked"] = held["asked-gone"] = "0";
  come(Type::kAddress, held);
  EXPECT_THAT(poll(), ElementsAre("WDS ?2"));

  change({workload("asked", {"x"}), workload("other", {"x"})}, {}, {"gone", "asked-gone"});
  EXPECT_EQ(stream.sent(snapshot), 1U);
  snapshot.forget_removals(stream.sent(snapshot));
  snapshot.drop_listings();
  EXPECT_THAT(poll(), IsEmpty());
  say_what_is_held(Type::kAddress);

  EXPECT_THAT(poll(), ElementsAre("WDS +asked +other -asked-gone -gone"));
  EXPECT_EQ(stream.sent(snapshot), snapshot.epoch());
}

// The others of a part that was asked for are compared as well, and may have changed since the listing.
TEST_F(StreamSums, WhatChangesInAPartThatWasAskedForIsNotForgotten) {
  std::string kept = "kept0", gone = "gone0";
  for (int i = 0; xds::part_of(kept) != xds::part_of("asked"); ++i) kept = "kept" + std::to_string(i);
  for (int i = 0; xds::part_of(gone) != xds::part_of("asked"); ++i) gone = "gone" + std::to_string(i);
  change({workload("asked"), workload(kept), workload(gone)});
  Held held = served(Type::kAddress);
  held["asked"] = "0";
  come(Type::kAddress, held);
  EXPECT_THAT(poll(), ElementsAre("WDS ?1"));

  change({workload(kept, {"x"})}, {}, {gone});
  ASSERT_EQ(snapshot.listing(Type::kAddress).epoch(), 1U);
  say_what_is_held(Type::kAddress);

  EXPECT_THAT(poll(), ElementsAre("WDS +asked +" + kept + " -" + gone));
}

TEST_F(StreamSums, WorkloadsWaitForThePoliciesThatDifferButNotTheirQuestion) {
  change({workload("a", {"shop/p"})}, {policy("p")});
  come(Type::kAuthorization, {});
  come(Type::kAddress, {});
  EXPECT_THAT(poll(), ElementsAre("WADS ?1", "WDS ?1"));

  say_what_is_held(Type::kAddress);
  EXPECT_THAT(poll(), IsEmpty());
  say_what_is_held(Type::kAuthorization);

  EXPECT_THAT(poll(), ElementsAre("WADS +shop/p", "WDS +a"));
}

TEST_F(StreamSums, APolicyThatIsGoneIsToldAfterTheWorkloads) {
  change({workload("a", {"shop/p", "shop/q"})}, {policy("p"), policy("q")});
  const Held policies = served(Type::kAuthorization), addresses = served(Type::kAddress);
  change({workload("a", {"shop/q"})}, {}, {}, {"shop/p"});
  snapshot.forget_removals(snapshot.epoch());
  snapshot.listing(Type::kAuthorization);
  change({workload("a")}, {}, {}, {"shop/q"});  // of the one it is known by its part, of the other by its epoch
  come(Type::kAuthorization, policies);
  EXPECT_THAT(poll(), ElementsAre("WADS ?1"));
  say_what_is_held(Type::kAuthorization);

  EXPECT_THAT(poll(), ElementsAre("WADS"));
  come(Type::kAddress, addresses);
  EXPECT_THAT(poll(), ElementsAre("WDS ?1"));
  say_what_is_held(Type::kAddress);
  EXPECT_THAT(poll(), ElementsAre("WDS +a"));
  EXPECT_EQ(applied(Type::kAuthorization), 0U);
  acknowledge_all();
  EXPECT_THAT(poll(), ElementsAre("WADS -shop/q -shop/p"));
  acknowledge_all();

  EXPECT_TRUE(stream.current(snapshot));
  EXPECT_EQ(applied(Type::kAuthorization), snapshot.epoch());
}

TEST_F(StreamSums, AnAnswerToSomethingElseIsNoAnswer) {
  change({workload("a")});
  come(Type::kAddress, {});
  poll();

  EXPECT_EQ(say_held(Type::kAddress, "0.0", asked[Type::kAddress], {{"a", "0"}}), What::kStale);
  EXPECT_THAT(poll(), IsEmpty());
  say_what_is_held(Type::kAddress);

  EXPECT_THAT(poll(), ElementsAre("WDS +a"));
}

TEST_F(StreamSums, WhatCannotBeIsRefused) {
  change({workload("a")});
  xds::Request with_names = ask_with_sums(Type::kAddress, {}), on_demand = with_names, with_versions = with_names;
  with_names.subscribe = {"a"};
  on_demand.unsubscribe = {"*"};
  with_versions.initial_versions = {{"a", "1"}};
  for (const auto& request : {with_names, on_demand, with_versions})
    EXPECT_EQ(wrong(request), "sums are of everything that is held, and come with no names");
  come(Type::kAddress, {});
  EXPECT_EQ(wrong(ask_with_sums(Type::kAddress, {})), "sums of what is held come with the first request only");
  poll();

  xds::Request names = ask(Type::kAddress), error = names, other = names;
  names.unsubscribe = {"*"};
  error.nonce = other.nonce = nonce[Type::kAddress];
  error.error = "no";
  std::string elsewhere = "b";
  while (asked[Type::kAddress][xds::part_of(elsewhere)]) elsewhere += "b";
  other.initial_versions.emplace(elsewhere, "1");

  EXPECT_EQ(wrong(names), "names are asked for before it is said what is held");
  EXPECT_EQ(wrong(error), "what is held was asked for, and is not said");
  EXPECT_EQ(wrong(other), "it is said to be held what was not asked for");
  say_what_is_held(Type::kAddress);
  EXPECT_THAT(poll(), ElementsAre("WDS +a"));
  EXPECT_EQ(wrong(ask_with_sums(Type::kAddress, {})), "sums of what is held come with the first request only");
}

// Workloads that name policies that come and go, and a client that answers late and comes again with what it holds.
struct ComingWithSums : StreamTest {
  std::size_t pick(std::size_t below) { return random() % below; }

  void change_something() {
    derive::Delta delta;
    const std::string name = "p" + std::to_string(pick(6)), full = "shop/" + name;
    if (pick(3) > 0) {
      const std::string uid = "w" + std::to_string(pick(40));
      if (pick(4) == 0) {
        workloads.erase(uid);
        delta.removed_addresses.push_back(uid);
      } else {
        workloads[uid].clear();
        for (const auto& one : policies)
          if (pick(2) == 0) workloads[uid].insert(one);
        delta.workloads.push_back(workload(uid, {workloads[uid].begin(), workloads[uid].end()}));
      }
    } else if (policies.erase(full) > 0) {
      delta.removed_policies.push_back(full);
      for (auto& [uid, named] : workloads)
        if (named.erase(full) > 0) delta.workloads.push_back(workload(uid, {named.begin(), named.end()}));
    } else {
      policies.insert(full);
      delta.policies.push_back(policy(name));
    }
    snapshot.apply(delta);
  }
  void come_again() {
    stream = Stream();
    under_way.clear();
    for (const Type type : {Type::kAuthorization, Type::kAddress}) stream.receive(ask_with_sums(type, held[type]), snapshot);
  }
  void deliver() {
    for (const Push& push : stream.poll(snapshot)) {
      const auto response = received(push);
      questions += response.asked.any();
      under_way[push.type] = response;
      for (const auto& name : response.removed) held[push.type].erase(name), named.erase(name);
      for (const auto& resource : response.resources) {
        held[push.type][resource.name] = resource.version;
        if (push.type == Type::kAddress)
          named[resource.name] = std::get<model::Workload>(*xds::decode_address(resource.value)).policies;
      }
      for (const auto& [uid, some] : named)
        for (const auto& one : some)
          ASSERT_TRUE(held[Type::kAuthorization].contains(one)) << uid << " names " << one << ", which it does not hold";
    }
  }
  void answer_one(Type type) {
    const auto response = under_way.extract(type).mapped();
    if (response.asked.any()) say_held(type, response.nonce, response.asked, held[type]);
    else answer(type, response.nonce);
  }

  std::mt19937 random{31};
  std::map<std::string, std::set<std::string>> workloads;  // served: what they name
  std::set<std::string> policies;
  std::map<Type, Held> held;
  std::map<std::string, std::vector<std::string>> named;
  std::map<Type, xds::Response> under_way;
  std::size_t questions = 0;
};

TEST_F(ComingWithSums, EndsWithWhatIsServedAndNothingNamesWhatWasNotSent) {
  for (int life = 0; life < 60; ++life) {
    for (std::size_t away = pick(20); away > 0; --away) change_something();
    if (pick(2) == 0) snapshot.forget_removals(snapshot.epoch());  // it has no stream
    if (pick(4) == 0) snapshot.drop_listings();
    come_again();
    for (std::size_t steps = pick(200); steps > 0; --steps) {
      if (pick(3) == 0) change_something();
      deliver();
      if (HasFatalFailure()) return;
      const Type type = pick(2) == 0 ? Type::kAddress : Type::kAuthorization;
      if (under_way.contains(type) && pick(3) == 0) answer_one(type);
      if (pick(2) == 0) snapshot.forget_removals(stream.sent(snapshot));
      if (pick(20) == 0) snapshot.drop_listings();
    }
    if (pick(2) == 0) continue;  // and it is cut off
    for (deliver(); !under_way.empty(); deliver()) answer_one(under_way.begin()->first);
    ASSERT_TRUE(stream.current(snapshot)) << "life " << life;
    for (const Type type : {Type::kAddress, Type::kAuthorization}) {
      ASSERT_EQ(held[type], served(type)) << "life " << life;
      ASSERT_EQ(applied(type), snapshot.epoch()) << "life " << life;
    }
  }
  EXPECT_GT(questions, 30U) << "it is asked often enough";
}

}  // namespace
}  // namespace culvert::controlplane
