#include "controlplane/xds/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "common/xds/codec.h"

namespace culvert::controlplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using What = Stream::Heard::What;

struct StreamTest : ::testing::Test {
  static model::PolicyRef policy(std::string name, bool dry_run = false) {
    model::Policy policy;
    policy.name = std::move(name);
    policy.name_space = "shop";
    policy.dry_run = dry_run;
    return std::make_shared<const model::Policy>(policy);
  }
  static model::WorkloadRef workload(std::string uid, std::vector<std::string> policies = {}) {
    model::Workload workload;
    workload.uid = std::move(uid);
    workload.policies = std::move(policies);
    return std::make_shared<const model::Workload>(workload);
  }
  void change(std::vector<model::WorkloadRef> workloads, std::vector<model::PolicyRef> policies = {},
              std::vector<std::string> removed_addresses = {}, std::vector<std::string> removed_policies = {}) {
    derive::Delta delta;
    delta.workloads = std::move(workloads);
    delta.policies = std::move(policies);
    delta.removed_addresses = std::move(removed_addresses);
    delta.removed_policies = std::move(removed_policies);
    snapshot.apply(delta);
  }
  static xds::Request ask(Type type) {
    xds::Request request;
    request.type_url = type_url(type);
    return request;
  }
  What answer(Type type, std::string nonce, std::string error = "") {
    xds::Request request = ask(type);
    request.nonce = std::move(nonce);
    request.error = std::move(error);
    return stream.receive(request, snapshot).what;
  }
  // "WADS +shop/a -shop/b" for each response; remembers the nonces.
  std::vector<std::string> poll() {
    std::vector<std::string> out;
    for (const Push& push : stream.poll(snapshot)) {
      const auto response =
          xds::decode_response(xds::encode_response(type_url(push.type), push.nonce, push.resources, push.removed));
      std::string text(short_name(push.type));
      for (const auto& resource : response->resources) text += " +" + resource.name;
      for (const auto& name : response->removed) text += " -" + name;
      nonce[push.type] = push.nonce;
      out.push_back(text);
    }
    return out;
  }
  void acknowledge_all() {
    for (const auto& [type, value] : std::exchange(nonce, {})) answer(type, value);
  }
  Epoch applied(Type type) const { return stream.progress(type).applied(); }
  std::string refused(Type type) const {
    std::string out;
    for (const auto& [name, refusal] : stream.progress(type).refusals.all())
      out += (out.empty() ? "" : " | ") + name + ": " + refusal.error;
    return out;
  }
  std::string version(Type type, std::string_view name) { return snapshot.table(type).find(name)->version; }

  Snapshot snapshot;
  Stream stream;
  std::map<Type, std::string> nonce;
};

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
    request.subscribe.push_back("n" + std::to_string(i));
    request.initial_versions["n" + std::to_string(i)] = "1";
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

TEST_F(StreamTest, UnknownTypesAreSaid) {
  xds::Request request;
  request.type_url = "type.googleapis.com/x";
  EXPECT_EQ(stream.receive(request, snapshot).what, What::kUnknownType);
}

// Whatever changes and however late the client answers: it never holds a workload that names a policy it does not hold, and ends with what is served.
TEST_F(StreamTest, AnyOrderOfChangesAndAnswersConvergesAndNeverNamesWhatWasNotSent) {
  std::mt19937 random(42);
  const auto pick = [&random](std::size_t below) { return random() % below; };
  std::map<std::string, std::set<std::string>> workloads, client_workloads;
  std::set<std::string> policies, client_policies;
  std::vector<std::pair<Type, std::string>> unanswered;
  const auto deliver = [&] {
    for (const Push& push : stream.poll(snapshot)) {
      const auto response =
          xds::decode_response(xds::encode_response(type_url(push.type), push.nonce, push.resources, push.removed));
      for (const auto& name : response->removed) client_workloads.erase(name), client_policies.erase(name);
      for (const auto& resource : response->resources) {
        if (push.type == Type::kAuthorization) {
          client_policies.insert(resource.name);
        } else {
          const auto named = std::get<model::Workload>(*xds::decode_address(resource.value)).policies;
          client_workloads[resource.name] = {named.begin(), named.end()};
        }
      }
      unanswered.emplace_back(push.type, push.nonce);
      for (const auto& [uid, named] : client_workloads) {
        ASSERT_TRUE(std::ranges::includes(client_policies, named)) << uid << " names a policy that was not sent";
      }
    }
  };
  const auto make_change = [&] {
    derive::Delta delta;
    if (pick(3) == 0) {
      const std::string name = "p" + std::to_string(pick(6));
      if (policies.erase("shop/" + name) > 0) {
        delta.removed_policies.push_back("shop/" + name);
        for (auto& [uid, named] : workloads) {
          if (named.erase("shop/" + name) > 0) delta.workloads.push_back(workload(uid, {named.begin(), named.end()}));
        }
      } else {
        policies.insert("shop/" + name);
        delta.policies.push_back(policy(name));
      }
    } else {
      const std::string uid = "w" + std::to_string(pick(8));
      if (pick(4) == 0) {
        workloads.erase(uid);
        delta.removed_addresses.push_back(uid);
      } else {
        std::set<std::string> named;
        for (const auto& one : policies) {
          if (pick(2) == 0) named.insert(one);
        }
        workloads[uid] = named;
        delta.workloads.push_back(workload(uid, {named.begin(), named.end()}));
      }
    }
    snapshot.apply(delta);
  };

  stream.receive(ask(Type::kAuthorization), snapshot);
  stream.receive(ask(Type::kAddress), snapshot);
  for (int step = 0; step < 20'000; ++step) {
    if (pick(2) == 0) make_change();
    if (!unanswered.empty() && pick(3) == 0) {
      const auto [type, value] = unanswered.front();
      unanswered.erase(unanswered.begin());
      answer(type, value);
    }
    if (pick(4) == 0) snapshot.forget_removals(stream.sent(snapshot));
    deliver();
  }
  while (!unanswered.empty()) {
    const auto [type, value] = unanswered.front();
    unanswered.erase(unanswered.begin());
    answer(type, value);
    deliver();
  }

  EXPECT_EQ(client_workloads, workloads);
  EXPECT_EQ(client_policies, policies);
  EXPECT_TRUE(stream.current(snapshot));
}

// Whatever changes, however late the client answers and whatever it refuses: what is called in force there is what it holds.
TEST_F(StreamTest, WhatIsCalledInForceIsWhatTheClientHolds) {
  std::mt19937 random(7);
  const auto pick = [&random](std::size_t below) { return random() % below; };
  std::map<Type, std::map<std::string, std::string>> held;  // versions
  std::map<Type, std::pair<std::string, xds::Response>> under_way;
  const auto deliver = [&] {
    for (const Push& push : stream.poll(snapshot)) {
      under_way[push.type] = {
          push.nonce, *xds::decode_response(xds::encode_response(type_url(push.type), push.nonce, push.resources, push.removed))};
    }
  };
  const auto answer_one = [&](Type type) {
    const auto [value, response] = under_way.extract(type).mapped();
    std::string error;
    for (const auto& name : response.removed) held[type].erase(name);
    for (const auto& resource : response.resources) {
      if (pick(8) == 0) error += (error.empty() ? "" : "; ") + resource.name + ": bad; luck";
      else held[type][resource.name] = resource.version;
    }
    answer(type, value, error);
  };
  const auto check = [&](Type type) {
    const auto& progress = stream.progress(type);
    const Table& table = snapshot.table(type);
    const Epoch applied = progress.applied();
    for (const auto& [name, resource] : table.resources()) {
      const bool in_force = resource.epoch <= progress.answered && !progress.refusals.of(resource.epoch);
      if (resource.epoch > applied && !in_force) continue;
      ASSERT_TRUE(held[type].contains(name)) << name;
      ASSERT_EQ(held[type][name], resource.version) << name << " of epoch " << resource.epoch;
    }
    if (applied == 0) return;
    std::set<std::string> removed;
    table.after(applied, [&](const std::string& name, const Resource* resource) {
      if (!resource) removed.insert(name);
    });
    for (const auto& [name, version] : held[type]) ASSERT_TRUE(table.find(name) || removed.contains(name)) << name;
  };

  stream.receive(ask(Type::kAuthorization), snapshot);
  stream.receive(ask(Type::kAddress), snapshot);
  std::size_t whole = 0;
  for (int step = 0; step < 20'000; ++step) {
    const std::string name = std::to_string(pick(6));
    switch (pick(6)) {
      case 0: change({}, {policy(name, pick(2) == 0)}); break;
      case 1: change({}, {}, {}, {"shop/" + name}); break;
      case 2: change({workload(name, {"v" + std::to_string(pick(4))})}); break;
      case 3: change({}, {}, {name}); break;
      default: break;
    }
    deliver();
    for (const Type type : {Type::kAddress, Type::kAuthorization}) {
      if (under_way.contains(type) && pick(3) == 0) answer_one(type);
      deliver();
      check(type);
      whole += stream.progress(type).applied() == snapshot.epoch();
    }
    if (pick(4) == 0)
      snapshot.forget_removals(std::min({stream.sent(snapshot), applied(Type::kAddress), applied(Type::kAuthorization)}));
    if (pick(500) == 0) {  // it comes anew, with what it holds
      stream = Stream();
      under_way.clear();
      for (const Type type : {Type::kAuthorization, Type::kAddress}) {
        xds::Request request = ask(type);
        request.initial_versions = held[type];
        stream.receive(request, snapshot);
      }
    }
  }
  EXPECT_GT(whole, 1000U) << "that it holds everything is said often enough";
}

}  // namespace
}  // namespace culvert::controlplane
