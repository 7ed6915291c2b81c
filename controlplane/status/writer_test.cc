#include "controlplane/status/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "common/kube/test_line.h"
#include "common/kube/test_peer.h"
#include "controlplane/status/test_view.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;
using config::Kind;
using testing::HasSubstr;
using testing::SizeIs;

constexpr const char* kPolicy =
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop, generation: 4}\n"
    "spec: {action: DENY, rules: [{}]}\n";

// One policy, and an API server that stores what it is told, or does what a test says.
struct World {
  explicit World(std::chrono::milliseconds least = 100ms)
      : peer(loop, [this](const http::Request& request) { return answered(request); }), client(loop, peer.access()) {
    writer.emplace(client, objects, settings, deriver.tally(), registry,
                   StatusOptions{.batch = 5ms, .settle = 200ms, .least = least, .most = 1h, .per_second = 1000, .at_once = 2});
  }

  kube::Steps answered(const http::Request& request) {
    if (code != 200) return kube::answer(code, R"({"kind":"Status","message":"no"})");
    const json::object sent = json::parse(request.body).as_object();
    if (sent.at("metadata").at("resourceVersion").as_string() != std::to_string(version)) return kube::answer(409, "{}");
    if (!prunes) status = json::serialize(sent.at("status"));
    ++version;
    if (echoes) tell();
    return kube::answer(200, R"({"metadata":{"name":"p","namespace":"shop","generation":4,"resourceVersion":")" +
                                 std::to_string(version) + R"("},"status":)" + status + "}");
  }

  // What the watch says now.
  void tell() {
    const auto file = config::parse_yaml("f", policy);
    config::Diff diff;
    diff.changes.push_back({config::Change::What::kPut,
                            key,
                            file.objects.at(0).object,
                            {},
                            {.generation = 4, .version = std::to_string(version), .status = status}});
    objects.put(key, file.objects.at(0).object);
    writer->note(diff);
    writer->doubted(deriver.update(objects, std::span(&key, 1)).doubted);
  }

  void add_pod(const std::string& name) {
    const auto file = config::parse_yaml("f", "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name +
                                                  ", namespace: shop, annotations: {ambient.istio.io/redirection: enabled}}\n"
                                                  "spec: {containers: [{name: c, image: i}]}\n");
    config::Diff diff;
    const config::Key pod{Kind::kPod, "shop", name};
    diff.changes.push_back({config::Change::What::kPut, pod, file.objects.at(0).object, {}, {}});
    objects.put(pod, file.objects.at(0).object);
    writer->note(diff);
    writer->doubted(deriver.update(objects, std::span(&pod, 1)).doubted);
  }

  void run_for(std::chrono::milliseconds time) { loop.run(pause(time)); }
  net::Task<> pause(std::chrono::milliseconds time) { co_await net::sleep_for(loop, time); }
  // Until it holds; not longer than a test is willing to wait.
  template <class Condition>
  bool until(Condition condition) {
    for (int i = 0; i < 500 && !condition(); ++i) run_for(10ms);
    return condition();
  }

  const config::Key key{Kind::kAuthorizationPolicy, "shop", "p"};
  net::Loop loop;
  derive::Objects objects;
  derive::Settings settings;
  derive::Deriver deriver{settings};
  telemetry::Registry registry;
  std::string policy = kPolicy;
  int code = 200;
  int version = 7;
  bool prunes = false;
  bool echoes = true;
  std::string status = "{}";
  kube::Peer peer;
  kube::Client client;
  std::optional<StatusWriter> writer;
};

TEST(StatusWriter, WritesOnlyWhileItLeads) {
  World world;
  world.tell();
  world.run_for(50ms);
  EXPECT_THAT(world.peer.asked, SizeIs(0));

  world.writer->lead(true);

  ASSERT_TRUE(world.until([&] { return world.peer.asked.size() == 1; }));
  const http::Request& asked = world.peer.asked[0];
  EXPECT_EQ(asked.method, "PATCH");
  EXPECT_EQ(asked.target, "/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies/p/status?fieldManager=culvertd");
  EXPECT_THAT(asked.body,
              testing::AllOf(HasSubstr("attached to ztunnel, bound to 0 workloads"), HasSubstr(R"("observedGeneration":4)")));
}

TEST(StatusWriter, ALeaderWhoseTimeIsOverWritesNothingMore) {
  World world;
  bool leads = false;
  StatusOptions options{.batch = 5ms, .least = 10ms, .most = 10ms};
  options.leads = [&] { return leads; };
  world.writer.emplace(world.client, world.objects, world.settings, world.deriver.tally(), world.registry, options);
  world.tell();
  world.writer->lead(true);
  world.run_for(100ms);
  EXPECT_THAT(world.peer.asked, SizeIs(0));

  world.writer->lead(false);
  leads = true;
  world.writer->lead(true);

  EXPECT_TRUE(world.until([&] { return world.peer.asked.size() == 1; }));
}

TEST(StatusWriter, ALeaderWhoseTimeIsOverWhenItsTurnHasComeWritesNothing) {
  World world;
  kube::Leadership leadership = false;
  StatusOptions options{.batch = 5ms, .least = 10ms, .most = 10ms};
  options.leads = [&] { return static_cast<bool>(leadership); };
  world.writer.emplace(world.client, world.objects, world.settings, world.deriver.tally(), world.registry, options);
  world.tell();
  kube::lose_in_line(world.loop, world.peer, world.client, [&](kube::Leadership leads) {
    leadership = std::move(leads);
    world.writer->lead(true);
  });
  EXPECT_THAT(world.peer.asked, SizeIs(0));
  EXPECT_THAT(world.registry.text(), HasSubstr("culvert_status_failed_total 0\n"));
}

TEST(StatusWriter, WritesInTheVersionThatTheServerHas) {
  World world;
  StatusOptions options{.batch = 5ms};
  options.served = [](Kind kind) {
    auto of = kube::collection_of(kind);
    of.version = "v1beta1";
    return of;
  };
  world.writer.emplace(world.client, world.objects, world.settings, world.deriver.tally(), world.registry, options);
  world.tell();

  world.writer->lead(true);

  ASSERT_TRUE(world.until([&] { return world.peer.asked.size() == 1; }));
  EXPECT_THAT(world.peer.asked[0].target, testing::StartsWith("/apis/security.istio.io/v1beta1/namespaces/shop/"));
}

TEST(StatusWriter, ItsOwnWritesAreNoReasonToWrite) {
  World world;
  world.tell();
  world.writer->lead(true);
  ASSERT_TRUE(world.until([&] { return world.peer.asked.size() == 1; }));

  for (int i = 0; i < 5; ++i) {
    world.tell();
    world.run_for(30ms);
  }

  EXPECT_THAT(world.peer.asked, SizeIs(1));
}

TEST(StatusWriter, ANewLeaderWritesNothingThatIsThere) {
  World world;
  world.tell();
  world.writer->lead(true);
  ASSERT_TRUE(world.until([&] { return world.peer.asked.size() == 1; }));

  world.writer->lead(false);
  world.writer->lead(true);
  world.run_for(100ms);

  EXPECT_THAT(world.peer.asked, SizeIs(1));
}

TEST(StatusWriter, ManyChangesOfACountAreFewWrites) {
  World world;
  world.tell();
  world.writer->lead(true);
  ASSERT_TRUE(world.until([&] { return world.peer.asked.size() == 1; }));

  for (int i = 0; i < 30; ++i) {
    world.add_pod("w-" + std::to_string(i));
    world.run_for(5ms);
  }

  ASSERT_TRUE(world.until([&] { return world.status.contains("bound to 30 workloads"); })) << world.status;
  EXPECT_LE(world.peer.asked.size(), 5U);
}

TEST(StatusWriter, DoubtsThatTurnAreWrittenThoughTheObjectIsTheSame) {
  World world;
  world.policy =
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop, generation: 4}\n"
      "spec: {action: DENY, rules: [{}], selector: {matchLabels: {app: web}}}\n";
  world.tell();
  world.writer->lead(true);
  ASSERT_TRUE(world.until([&] { return world.status.contains("selects no pod"); })) << world.status;

  const auto file = config::parse_yaml("f",
                                       "apiVersion: v1\nkind: Pod\nmetadata: {name: w, namespace: shop, labels: {app: web}}\n"
                                       "spec: {containers: [{name: c, image: i}]}\n");
  const config::Key pod{Kind::kPod, "shop", "w"};
  world.objects.put(pod, file.objects.at(0).object);
  world.writer->doubted(world.deriver.update(world.objects, std::span(&pod, 1)).doubted);

  EXPECT_TRUE(world.until([&] { return !world.status.contains("selects no pod"); })) << world.status;
}

TEST(StatusWriter, AfterAConflictItIsMadeForTheNewVersion) {
  World world;
  world.echoes = false;
  world.tell();
  ++world.version;  // somebody else was faster
  world.writer->lead(true);
  ASSERT_TRUE(world.until([&] { return world.peer.asked.size() == 1; }));

  world.tell();

  ASSERT_TRUE(world.until([&] { return world.status.contains("ztunnel"); }));
  EXPECT_THAT(world.peer.asked, SizeIs(2));
}

TEST(StatusWriter, WhatDoesNotLastIsNotWrittenAgainAndAgain) {
  World world;
  world.prunes = true;  // a CRD without these fields
  world.tell();
  world.writer->lead(true);
  ASSERT_TRUE(world.until([&] { return world.peer.asked.size() == 2; }));
  world.run_for(1000ms);

  EXPECT_LE(world.peer.asked.size(), 10U) << "after 0, 100, 300, 700, 1500, ... ms";
}

TEST(StatusWriter, AKindThatCannotBeWrittenIsLeftAloneForAWhile) {
  World world(1h);
  world.code = 403;
  world.tell();
  world.writer->lead(true);
  ASSERT_TRUE(world.until([&] { return world.peer.asked.size() == 1; }));

  world.tell();
  world.run_for(100ms);

  EXPECT_THAT(world.peer.asked, SizeIs(1));
}

TEST(StatusWriter, AKindThatCannotBeWrittenIsTriedAgain) {
  World world;
  world.code = 403;
  world.tell();
  world.writer->lead(true);
  ASSERT_TRUE(world.until([&] { return !world.peer.asked.empty(); }));

  world.code = 200;

  EXPECT_TRUE(world.until([&] { return world.status.contains("ztunnel"); }));
}

}  // namespace
}  // namespace culvert::controlplane
