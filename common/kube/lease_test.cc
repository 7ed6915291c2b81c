#include "common/kube/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <functional>
#include <string>
#include <thread>

#include "common/kube/test_peer.h"

namespace culvert::kube {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

// One Lease as an API server keeps it: versions, conflicts, merge patches.
struct Store {
  json::object lease;
  int version = 0;
  bool broken = false;

  Steps serve(const http::Request& request) {
    if (broken) return answer(500, "");
    if (request.method == "GET") return lease.empty() ? answer(404, "{}") : answer(200, json::serialize(lease));
    const json::object sent = json::parse(request.body).as_object();
    if (request.method == "POST" && !lease.empty()) return answer(409, "{}");
    if (request.method == "PATCH") {
      const json::object& metadata = sent.at("metadata").as_object();
      if (metadata.at("resourceVersion").as_string() != std::to_string(version)) return answer(409, "{}");
    }
    if (lease.empty()) lease = sent;
    for (const auto& field : sent.at("spec").as_object()) spec()[field.key()] = field.value();
    lease["metadata"].as_object()["resourceVersion"] = std::to_string(++version);
    return answer(200, json::serialize(lease));
  }
  json::object& spec() { return lease["spec"].as_object(); }
};

struct LeaseTest : testing::Test {
  net::Loop loop;
  Store store;
  Peer peer{loop, [this](const http::Request& request) {
              return request.target.ends_with("/leases/culvert") || request.target.ends_with("/leases") ? store.serve(request)
                                                                                                        : Steps{hold()};
            }};
  Client client{loop, peer.access()};
  std::string said;

  std::unique_ptr<Lease> candidate(const std::string& name, std::chrono::milliseconds duration = 3s) {
    return std::make_unique<Lease>(
        client, LeaseOptions{.ns = "istio-system", .name = "culvert", .identity = name, .duration = duration, .retry = 20ms},
        [this, name](bool leading) { said += (leading ? "+" : "-") + name; });
  }
  std::unique_ptr<Lease> leader(const std::string& name, std::chrono::milliseconds duration = 3s) {
    auto one = candidate(name, duration);
    EXPECT_TRUE(until([&] { return one->leading(); }));
    return one;
  }
  void run_for(std::chrono::milliseconds time) {
    loop.run([](net::Loop* on, std::chrono::milliseconds how_long) -> net::Task<> { co_await net::sleep_for(*on, how_long); }(
                                                                       &loop, time));
  }
  bool until(const std::function<bool()>& holds) {
    for (int i = 0; i < 2000 && !holds(); ++i) run_for(5ms);
    return holds();
  }
};

TEST_F(LeaseTest, OneOfTwoLeadsAndHandsOverWhenItStops) {
  const auto a = leader("a");
  const auto b = candidate("b");
  EXPECT_TRUE(until([&] { return b->holder() == "a"; }));
  run_for(200ms);
  EXPECT_EQ(said, "+a");
  EXPECT_TRUE(a->leading());
  EXPECT_EQ(peer.asked[0].target, "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/culvert");
  EXPECT_EQ(peer.asked[1].target, "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases");

  loop.run(a->release());

  EXPECT_TRUE(until([&] { return said == "+a-a+b"; })) << said;
  EXPECT_EQ(store.spec().at("leaseTransitions"), 1);
}

TEST_F(LeaseTest, OneThatVanishesIsFollowedAfterTheDuration) {
  auto a = leader("a");
  store.spec()["leaseDurationSeconds"] = 1;
  a.reset();
  const auto gone = net::Clock::now();
  const auto b = candidate("b");
  EXPECT_TRUE(until([&] { return said == "+a+b"; })) << said;
  EXPECT_GE(net::Clock::now() - gone, 1s);
}

TEST_F(LeaseTest, ALeaderThatCannotRenewSaysSoBeforeOthersMayLead) {
  const auto a = leader("a");
  store.broken = true;
  const auto renewed = net::Clock::now();
  run_for(1s);
  EXPECT_EQ(said, "+a");
  EXPECT_TRUE(until([&] { return said == "+a-a"; })) << said;
  EXPECT_LT(net::Clock::now() - renewed, 3s);
  store.broken = false;
  EXPECT_TRUE(until([&] { return said == "+a-a+a"; })) << said;
}

TEST_F(LeaseTest, ALeaderThatHasStoodStillDoesNotThinkThatItLeads) {
  const auto a = leader("a", 300ms);
  std::this_thread::sleep_for(300ms);  // stopped by a signal, or by a machine that is out of breath
  EXPECT_FALSE(a->leading());
  EXPECT_EQ(said, "+a") << "nobody has been told yet";
}

TEST_F(LeaseTest, ALeaseThatSomebodyElseTookIsLost) {
  const auto a = leader("a");
  store.spec()["holderIdentity"] = "x";
  store.lease["metadata"].as_object()["resourceVersion"] = std::to_string(++store.version);
  EXPECT_TRUE(until([&] { return said == "+a-a"; })) << said;
  EXPECT_EQ(a->holder(), "x");
}

TEST_F(LeaseTest, WaitsForNoOtherCalls) {
  for (int i = 0; i < 20; ++i) {
    loop.spawn([](Client* on) -> net::Task<> { std::ignore = co_await on->call(get_path("/slow")); }(&client));
  }
  run_for(50ms);
  const auto a = leader("a");
  EXPECT_EQ(said, "+a");
}

TEST_F(LeaseTest, IsReleasedAlsoWhenARenewalOfOursCameBetween) {
  const auto a = leader("a");
  store.lease["metadata"].as_object()["resourceVersion"] = std::to_string(++store.version);

  loop.run(a->release());

  EXPECT_EQ(store.spec().at("holderIdentity"), "");
}

TEST_F(LeaseTest, OfSomebodyElseIsNotReleased) {
  const auto a = leader("a");
  store.spec()["holderIdentity"] = "x";
  store.lease["metadata"].as_object()["resourceVersion"] = std::to_string(++store.version);

  loop.run(a->release());

  EXPECT_EQ(store.spec().at("holderIdentity"), "x");
}

TEST(LeaseMove, FollowsFromHolderAndStillness) {
  const LeaseRecord theirs{.holder = "b", .renewed = "", .duration = 15s, .resource_version = "1"};
  EXPECT_EQ(lease_move(theirs, "a", 14'999ms), LeaseMove::kWait);
  EXPECT_EQ(lease_move(theirs, "a", 15'000ms), LeaseMove::kTake);
  EXPECT_EQ(lease_move(theirs, "b", 0ms), LeaseMove::kRenew);
  EXPECT_EQ(lease_move({.holder = "", .renewed = "", .duration = 15s, .resource_version = "1"}, "a", 0ms), LeaseMove::kTake);
}

TEST(LeaseRecord, IsReadFromTheObject) {
  const auto record = read_lease(
      R"({"metadata":{"resourceVersion":"7"},"spec":{"holderIdentity":"a","leaseDurationSeconds":15,"leaseTransitions":3}})");
  EXPECT_EQ(record->holder, "a");
  EXPECT_EQ(record->duration, 15s);
  EXPECT_EQ(record->transitions, 3);
  EXPECT_EQ(read_lease(R"({"metadata":{"resourceVersion":"7"}})")->holder, "");
  EXPECT_FALSE(read_lease("{}"));
  EXPECT_FALSE(read_lease("x"));
}

}  // namespace
}  // namespace culvert::kube
