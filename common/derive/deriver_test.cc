#include "common/derive/deriver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/format.h"
#include "common/config/folder.h"
#include "common/derive/test_held.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A mesh of namespaces with services and pods, put there without parsing anything.
class World {
 public:
  explicit World(Settings settings = {}) : deriver(std::move(settings)) {}

  template <class T>
  void put(T object) {
    auto made = std::make_shared<const config::Object>(std::move(object));
    keys_.push_back(config::key_of(*made));
    objects.put(keys_.back(), std::move(made));
  }
  void erase(const Key& key) {
    keys_.push_back(key);
    objects.erase(key);
  }
  // Objects as text.
  void write(const std::string& yaml) {
    config::Folder folder;
    for (config::Change& change : folder.written("f.yaml", yaml, {}).changes) {
      if (!change.object) continue;
      keys_.push_back(change.key);
      objects.put(change.key, change.object);
    }
  }
  Delta update() {
    Delta delta = held.take(deriver.update(objects, keys_));
    keys_.clear();
    return delta;
  }
  Delta sign_for(const std::string& trust_domain) { return held.take(deriver.sign_for(objects, trust_domain)); }

  Objects objects;
  Deriver deriver;
  Held held;

 private:
  std::vector<Key> keys_;
};

constexpr int kPodsOfAService = 20;

config::Metadata metadata(std::string name_space, std::string name, config::Labels labels = {}) {
  config::Metadata out;
  out.name_space = std::move(name_space);
  out.name = std::move(name);
  out.labels = std::move(labels);
  return out;
}

config::Pod pod(const std::string& name_space, int service, int index) {
  config::Pod out;
  out.metadata = metadata(name_space, culvert::format("app-{}-{}", service, index),
                          {{"app", culvert::format("app-{}", service)}, {"part-of", "shop"}, {"tier", "backend"}});
  out.spec.node_name = culvert::format("n{}", index % 10);
  out.phase = config::PodPhase::kRunning;
  out.addresses = {IpAddress::v4(static_cast<std::uint32_t>(0x0a000000 + service * (kPodsOfAService + 1) + index))};
  out.ready = true;
  return out;
}

config::Service service(const std::string& name_space, int index) {
  config::Service out;
  out.metadata = metadata(name_space, culvert::format("app-{}", index));
  out.selector = {{"app", culvert::format("app-{}", index)}, {"part-of", "shop"}};
  out.cluster_ips = {IpAddress::v4(static_cast<std::uint32_t>(0x0b000000 + index))};
  out.ports = {{.name = "http", .port = 80, .target = {8080, ""}, .transport = config::Transport::kTcp, .app_protocol = ""}};
  return out;
}

// All of them in one namespace, which is the worst that there is.
void fill(World& world, int services) {
  for (int i = 0; i < services; ++i) {
    world.put(service("shop", i));
    for (int j = 0; j < kPodsOfAService; ++j) world.put(pod("shop", i, j));
    config::AuthorizationPolicy policy;
    policy.metadata = metadata("shop", culvert::format("only-{}", i));
    policy.selector = {{"app", culvert::format("app-{}", i)}};
    policy.rules = {{}};
    world.put(policy);
    config::EndpointSlice slice;
    slice.metadata = metadata("shop", culvert::format("app-{}-x", i));
    slice.service = culvert::format("app-{}", i);
    for (int j = 0; j < kPodsOfAService; ++j) {
      auto& endpoint = slice.endpoints.emplace_back();
      endpoint.target = config::EndpointSlice::Endpoint::Target::kPod;
      endpoint.pod = culvert::format("app-{}-{}", i, j);
    }
    world.put(slice);
  }
}

class AtAnySize : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Deriver, AtAnySize, ::testing::Values(10, 100), ::testing::PrintToStringParamName());

TEST_P(AtAnySize, AChangedPodIsTheOnlyOneLookedAt) {
  World world;
  fill(world, GetParam());
  EXPECT_THAT(world.update().workloads, SizeIs(GetParam() * kPodsOfAService));

  config::Pod changed = pod("shop", 3, 4);
  changed.ready = false;
  world.put(changed);
  const Delta delta = world.update();

  ASSERT_THAT(delta.workloads, SizeIs(1));
  EXPECT_EQ(delta.workloads[0]->health, model::Health::kUnhealthy);
  EXPECT_THAT(delta.services, IsEmpty());
  EXPECT_EQ(world.deriver.work(), (Deriver::Work{.workloads = 1, .services = 0, .policies = 0, .doubts = 1}));
}

TEST_P(AtAnySize, APodThatComesOrGoesIsTheOnlyOneLookedAt) {
  World world;
  fill(world, GetParam());
  world.update();

  world.put(pod("shop", 3, kPodsOfAService));
  EXPECT_THAT(world.update().workloads, SizeIs(1));
  EXPECT_EQ(world.deriver.work(), (Deriver::Work{.workloads = 1, .services = 0, .policies = 0, .doubts = 1}));

  world.erase({Kind::kPod, "shop", "app-3-20"});
  EXPECT_THAT(world.update().removed_addresses, ElementsAre("Kubernetes//Pod/shop/app-3-20"));
  EXPECT_EQ(world.deriver.work(), (Deriver::Work{.workloads = 1, .services = 0, .policies = 0, .doubts = 1}));
}

TEST_P(AtAnySize, AChangedSliceOfAServiceWithSelectorTouchesNoPod) {
  World world;
  fill(world, GetParam());
  world.update();

  config::EndpointSlice slice;
  slice.metadata = metadata("shop", "app-3-x");
  slice.service = "app-3";
  world.put(slice);

  EXPECT_FALSE(world.update().changed());
  EXPECT_EQ(world.deriver.work(), (Deriver::Work{.workloads = 0, .services = 0, .policies = 0, .doubts = 1}));
}

TEST_P(AtAnySize, AChangedServiceTouchesTheWorkloadsThatItSelectsOrDid) {
  World world;
  fill(world, GetParam());
  world.update();

  config::Service changed = service("shop", 3);
  changed.selector = {{"app", "app-4"}};
  world.put(changed);

  EXPECT_THAT(world.update().workloads, SizeIs(2 * kPodsOfAService));
  EXPECT_EQ(world.deriver.work().workloads, 2U * kPodsOfAService);
}

TEST_P(AtAnySize, RulesOfAPolicyTouchNoWorkloadAndItsSelectorThoseThatItSelectsOrDid) {
  World world;
  fill(world, GetParam());
  world.update();
  config::AuthorizationPolicy policy;
  policy.metadata = metadata("shop", "only-3");
  policy.selector = {{"app", "app-3"}};

  world.put(policy);
  EXPECT_THAT(world.update().policies, SizeIs(1));
  EXPECT_EQ(world.deriver.work().workloads, 0U);

  policy.selector = {{"app", "app-4"}};
  world.put(policy);
  EXPECT_THAT(world.update().workloads, SizeIs(2 * kPodsOfAService));
  EXPECT_EQ(world.deriver.work().workloads, 2U * kPodsOfAService);
}

TEST_P(AtAnySize, ANodeThatIsSeenAgainTouchesNothing) {
  World world;
  fill(world, GetParam());
  config::Node node;
  node.metadata = metadata("", "n1", {{"topology.kubernetes.io/zone", "z1"}});
  world.put(node);
  world.update();

  node.metadata.annotations = {{"heartbeat", "1"}};
  world.put(node);
  EXPECT_FALSE(world.update().changed());
  EXPECT_EQ(world.deriver.work().workloads, 0U);

  node.metadata.labels = {{"topology.kubernetes.io/zone", "z2"}};
  world.put(node);
  EXPECT_THAT(world.update().workloads, SizeIs(2 * GetParam()));
}

TEST(Deriver, AnEqualObjectIsNotLookedAt) {
  World world;
  fill(world, 1);
  world.update();

  world.put(pod("shop", 0, 0));
  world.put(service("shop", 0));

  EXPECT_FALSE(world.update().changed());
  EXPECT_EQ(world.deriver.work(), Deriver::Work{});
}

TEST(Deriver, EqualOutputIsNoChange) {
  World world;
  fill(world, 1);
  world.update();

  config::Pod changed = pod("shop", 0, 0);
  changed.metadata.annotations = {{"note", "nothing that is derived from"}};
  world.put(changed);

  EXPECT_FALSE(world.update().changed());
  EXPECT_EQ(world.deriver.work().workloads, 1U);
}

constexpr const char* kEntry = R"(
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {}, namespace: shop, creationTimestamp: "{}"}}
spec: {{hosts: [web.shop.svc.cluster.local], ports: [{{number: 80, name: http}}], resolution: STATIC, endpoints: [{{address: {}}}]}}
)";

TEST(Deriver, AHostGoesFromOneOwnerToTheNextInOneStepWithoutBeingGone) {
  World world;
  world.write(culvert::format(kEntry, "old", "2026-01-01T00:00:00Z", "192.0.2.1"));
  world.write(culvert::format(kEntry, "young", "2026-02-01T00:00:00Z", "192.0.2.2"));
  world.update();

  world.erase({Kind::kServiceEntry, "shop", "old"});
  const Delta next = world.update();
  EXPECT_THAT(next.removed_addresses, ElementsAre("Kubernetes/networking.istio.io/ServiceEntry/shop/old/192.0.2.1"));
  EXPECT_THAT(world.deriver.services(), SizeIs(1));

  config::Service kubernetes = service("shop", 0);
  kubernetes.metadata.name = "web";
  world.put(kubernetes);
  const Delta taken = world.update();
  EXPECT_THAT(taken.removed_addresses, ElementsAre("Kubernetes/networking.istio.io/ServiceEntry/shop/young/192.0.2.2"));
  ASSERT_THAT(taken.services, SizeIs(1));
  EXPECT_TRUE(taken.services[0]->canonical);

  world.erase({Kind::kService, "shop", "web"});
  const Delta back = world.update();
  EXPECT_THAT(back.removed_addresses, IsEmpty());
  ASSERT_THAT(back.services, SizeIs(1));
  EXPECT_EQ(back.services[0]->name, "young");
}

TEST(Deriver, ThousandsOfEntriesOfOneHostAreOneService) {
  World world;
  for (int i = 0; i < 2000; ++i)
    world.write(culvert::format(kEntry, culvert::format("e{:05}", i), "2026-01-01T00:00:00Z", "192.0.2.1"));
  world.update();
  EXPECT_THAT(world.deriver.services(), SizeIs(1));

  world.erase({Kind::kServiceEntry, "shop", "e00000"});
  world.update();
  EXPECT_LT(world.deriver.work().services, 50U);
  EXPECT_EQ(world.deriver.services().begin()->second->name, "e00001");
}

// A pod costs nothing more for the ranges that it is in: but the first of a namespace, and the last.
TEST(Deriver, AnEntryThatCoversOthersIsLookedAtWhenThatBeginsAndEnds) {
  World world;
  fill(world, 1);
  world.write(
      "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: other}\n"
      "spec: {hosts: [a.example.com], addresses: [10.0.0.0/24, 11.0.0.0], ports: [{number: 80, name: http}], resolution: "
      "NONE}\n");
  world.update();
  const auto warned = [&](const std::string& what) {
    return std::ranges::count_if(world.deriver.warnings(),
                                 [&](const Warning& one) { return one.object.name_space == "other" && one.text.contains(what); });
  };
  EXPECT_EQ(warned("10.0.0.0/24 covers pods of other namespaces"), 1);
  EXPECT_EQ(warned("11.0.0.0/32 covers Services of other namespaces"), 1);

  world.put(pod("shop", 1, 0));
  world.update();
  EXPECT_EQ(world.deriver.work().doubts, 1U) << "the pod's own";

  world.put(pod("bank", 2, 0));
  world.update();
  EXPECT_EQ(world.deriver.work().doubts, 2U) << "the first of its namespace";
  world.erase(config::key_of(config::Object(pod("bank", 2, 0))));
  world.erase(config::key_of(config::Object(pod("shop", 1, 0))));
  for (int i = 0; i < kPodsOfAService; ++i) world.erase(config::key_of(config::Object(pod("shop", 0, i))));
  world.erase({Kind::kService, "shop", "app-0"});
  world.update();
  EXPECT_EQ(warned("covers"), 0);
}

TEST(Deriver, TenThousandHostsInOneEntryAreAMistakeOfThatEntryAlone) {
  std::string hosts;
  for (int i = 0; i < 10'000; ++i) hosts += culvert::format("h{}.example.com, ", i);
  const std::string many =
      "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: many, namespace: shop}\nspec: {hosts: [" + hosts +
      "], resolution: DNS}\n---\n";
  config::Folder folder;
  const config::Diff diff =
      folder.written("f.yaml", many + culvert::format(kEntry, "one", "2026-01-01T00:00:00Z", "192.0.2.1"), {});

  ASSERT_THAT(diff.problems, SizeIs(1));
  EXPECT_THAT(diff.problems[0].text(), ::testing::HasSubstr("ServiceEntry shop/many: spec.hosts: "));
  World world;
  world.write(many + culvert::format(kEntry, "one", "2026-01-01T00:00:00Z", "192.0.2.1"));
  world.update();
  EXPECT_THAT(world.deriver.services(), SizeIs(1));
}

TEST(Deriver, TheLastMeshConfigThatCanBeReadStaysInForce) {
  World world;
  fill(world, 1);
  config::ConfigMap mesh;
  mesh.metadata = metadata("istio-system", "istio");
  mesh.data = {{"mesh", "trustDomain: td2"}};
  world.put(mesh);
  world.update();
  EXPECT_EQ(world.deriver.settings().trust_domain, "td2");

  mesh.data = {{"mesh", "trustDomian: td3"}};
  world.put(mesh);
  EXPECT_FALSE(world.update().changed());
  EXPECT_EQ(world.deriver.settings().trust_domain, "td2");
  EXPECT_THAT(world.deriver.warnings(),
              ElementsAre(::testing::Field(&Warning::text, ::testing::HasSubstr("did you mean trustDomain?"))));

  world.erase({Kind::kConfigMap, "istio-system", "istio"});
  EXPECT_THAT(world.update().workloads, SizeIs(kPodsOfAService));
  EXPECT_EQ(world.deriver.settings().trust_domain, "cluster.local");
}

TEST(Deriver, TheTrustDomainIsTheRootsWhereItNamesOne) {
  World world;
  world.write(
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomain: td2'}\n");
  world.put(pod("shop", 0, 0));
  world.update();
  const auto of_the_pod = [&] { return world.held.workloads.begin()->second->trust_domain; };
  EXPECT_EQ(of_the_pod(), "td2");

  EXPECT_TRUE(world.sign_for("td1").changed());
  EXPECT_EQ(of_the_pod(), "td1");
  EXPECT_THAT(world.deriver.warnings(),
              ::testing::Contains(::testing::Field(&Warning::text, ::testing::HasSubstr("the mesh stays td1"))));
  EXPECT_FALSE(world.sign_for("td1").changed());

  EXPECT_TRUE(world.sign_for("").changed());
  EXPECT_EQ(of_the_pod(), "td2");
}

TEST(Deriver, SaysWhoseDoubtsCameOutDifferent) {
  const Key entry{Kind::kWorkloadEntry, "shop", "vm"}, account{Kind::kServiceAccount, "shop", "web"};
  World world;
  world.write(
      "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: shop}\n"
      "spec: {address: 192.0.2.1, serviceAccount: web}\n");
  EXPECT_THAT(world.update().doubted, ElementsAre(entry)) << "there is no such account";

  world.put(pod("shop", 0, 0));
  EXPECT_THAT(world.update().doubted, IsEmpty());

  config::ServiceAccount made;
  made.metadata = metadata("shop", "web");
  world.put(made);
  const Delta mended = world.update();
  EXPECT_THAT(mended.doubted, ElementsAre(entry));
  EXPECT_THAT(mended.warnings, IsEmpty());

  world.erase(account);
  EXPECT_THAT(world.update().doubted, ElementsAre(entry));
}

TEST(Deriver, TheRootsTrustDomainHoldsAlsoWhenMeshConfigCannotBeRead) {
  World world;
  world.write(
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomain: [no]'}\n");
  world.put(pod("shop", 0, 0));
  world.update();

  world.sign_for("td1");

  EXPECT_EQ(world.held.workloads.begin()->second->trust_domain, "td1");
}

TEST(Deriver, AGatewayIntoANetworkTouchesThoseOfThatNetworkAlone) {
  World world;
  for (int i = 0; i < 3; ++i) {
    config::Pod one = pod("shop", 0, i);
    if (i > 0) one.metadata.labels.edit()["topology.istio.io/network"] = i == 1 ? "net2" : "net3";
    world.put(std::move(one));
  }
  world.update();
  const auto gateway = [](const std::string& address) {
    return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: istio-system, labels: "
           "{topology.istio.io/network: net2}}\nspec: {gatewayClassName: istio-remote, addresses: [{value: " +
           address + "}], listeners: [{name: h, port: 15008, protocol: HBONE}]}\n";
  };

  world.write(gateway("192.0.2.1"));
  EXPECT_THAT(world.update().workloads, SizeIs(2)) << "the pod of net2, and the gateway";
  EXPECT_EQ(world.deriver.work().workloads, 2U);

  world.write(gateway("192.0.2.2"));
  const Delta moved = world.update();
  EXPECT_THAT(moved.workloads, SizeIs(2));
  EXPECT_THAT(moved.removed_addresses, ElementsAre("NetworkGateway/net2/192.0.2.1/15008"));
}

TEST(Deriver, AnotherRootNamespaceMovesWhatIsForTheWholeMesh) {
  World world;
  fill(world, 1);
  config::PeerAuthentication strict;
  strict.metadata = metadata("policies", "default");
  strict.mode = config::PeerAuthentication::Mode::kStrict;
  world.put(strict);
  world.update();
  ASSERT_TRUE(world.deriver.policies().contains("istio-system/istio_converted_static_strict"));

  config::ConfigMap mesh;
  mesh.metadata = metadata("istio-system", "istio");
  mesh.data = {{"mesh", "rootNamespace: policies"}};
  world.put(mesh);
  const Delta delta = world.update();

  EXPECT_THAT(delta.removed_policies, ElementsAre("istio-system/istio_converted_static_strict"));
  EXPECT_TRUE(world.deriver.policies().contains("policies/istio_converted_static_strict"));
  ASSERT_THAT(delta.workloads, SizeIs(kPodsOfAService));
  EXPECT_THAT(delta.workloads[0]->policies, ::testing::Contains("policies/istio_converted_static_strict"));
}

}  // namespace
}  // namespace culvert::derive
