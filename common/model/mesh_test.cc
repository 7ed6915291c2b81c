#include "common/model/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "common/model/policy_index.h"
#include "common/model/test_addresses.h"

namespace culvert::model {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

NetworkAddress at(std::string_view text) { return {"", ip(text)}; }
Vip vip(std::string_view text) { return {"", Cidr::parse(text).value()}; }

Workload pod(std::string_view name, std::string_view address, TunnelProtocol protocol = TunnelProtocol::kHbone) {
  Workload workload;
  workload.uid = "c1//Pod/ns/" + std::string(name);
  workload.name = name;
  workload.name_space = "ns";
  workload.service_account = "sa";
  workload.protocol = protocol;
  if (!address.empty()) workload.addresses = {ip(address)};
  return workload;
}

Service service(std::string_view name_space, std::string_view hostname, std::vector<Vip> vips = {}) {
  Service out;
  out.name = hostname;
  out.name_space = name_space;
  out.hostname = hostname;
  out.vips = std::move(vips);
  out.ports = {{80, 8080}};
  return out;
}

std::string owner(const Mesh& mesh, std::string_view address, std::string_view client = "elsewhere") {
  const auto* state = mesh.service_by_vip(at(address), client);
  return state ? state->service->key() : "";
}

TEST(Mesh, FindsAWorkloadByEachOfItsNames) {
  MeshBuilder builder;
  auto workload = pod("a", "10.0.0.1");
  workload.hostname = "a.example.com";
  builder.upsert(workload);

  const auto mesh = builder.build();

  EXPECT_EQ(mesh->workload("c1//Pod/ns/a")->name, "a");
  EXPECT_EQ(mesh->by_address(at("10.0.0.1"))->name, "a");
  EXPECT_EQ(mesh->by_address({"other", ip("10.0.0.1")}), nullptr);
  EXPECT_EQ(mesh->pod("ns", "a")->name, "a");
  EXPECT_EQ(mesh->pod("ns", "a", "sa")->name, "a");
  EXPECT_EQ(mesh->pod("ns", "a", "other"), nullptr);
  EXPECT_EQ(mesh->workload_by_hostname("a.example.com")->name, "a");
}

TEST(Mesh, AnUpdateReplacesEveryOldName) {
  MeshBuilder builder;
  auto workload = pod("a", "10.0.0.1");
  workload.services["ns/s"] = {};
  builder.upsert(workload);
  workload.addresses = {ip("10.0.0.2")};
  workload.services = {{"ns/t", {}}};
  builder.upsert(workload);

  const auto& mesh = builder.current();

  EXPECT_EQ(mesh.by_address(at("10.0.0.1")), nullptr);
  EXPECT_NE(mesh.by_address(at("10.0.0.2")), nullptr);
  EXPECT_EQ(mesh.service("ns/s"), nullptr);
  EXPECT_NE(mesh.service("ns/t"), nullptr);
  EXPECT_EQ(mesh.workload_count(), 1u);
}

TEST(Mesh, HostNetworkWorkloadsOwnNoAddress) {
  MeshBuilder builder;
  auto workload = pod("a", "10.0.0.1");
  workload.network_mode = NetworkMode::kHostNetwork;
  builder.upsert(workload);

  EXPECT_EQ(builder.current().by_address(at("10.0.0.1")), nullptr);
  EXPECT_NE(builder.current().pod("ns", "a"), nullptr);
}

TEST(Mesh, OfSeveralOwnersOfAnAddressPrefersPodsWithHbone) {
  auto entry = pod("entry", "10.0.0.1", TunnelProtocol::kNone);
  entry.uid = "c1/networking.istio.io/WorkloadEntry/ns/entry";
  auto entry_hbone = pod("entry-hbone", "10.0.0.1");
  entry_hbone.uid = "c1/networking.istio.io/WorkloadEntry/ns/entry-hbone";
  std::vector order{entry, entry_hbone, pod("plain", "10.0.0.1", TunnelProtocol::kNone), pod("hbone", "10.0.0.1")};
  MeshBuilder upwards, downwards;
  for (const auto& workload : order) upwards.upsert(workload);
  for (auto i = order.rbegin(); i != order.rend(); ++i) downwards.upsert(*i);

  for (auto* builder : {&upwards, &downwards}) {
    for (const char* name : {"hbone", "plain", "entry-hbone", "entry"}) {
      const WorkloadRef& best = builder->current().by_address(at("10.0.0.1"));
      ASSERT_TRUE(best);
      EXPECT_EQ(best->name, name);
      builder->remove_workload(std::string(best->uid));
    }
    EXPECT_EQ(builder->current().by_address(at("10.0.0.1")), nullptr);
  }
}

TEST(Mesh, AReusedAddressBelongsToTheNewPodAlsoWhenTheOldOneIsUpdated) {
  MeshBuilder builder;
  auto old = pod("old", "10.0.0.1");
  builder.upsert(old);
  builder.upsert(pod("new", "10.0.0.1"));
  EXPECT_EQ(builder.current().by_address(at("10.0.0.1"))->name, "new");

  old.health = Health::kUnhealthy;
  builder.upsert(old);

  EXPECT_EQ(builder.current().by_address(at("10.0.0.1"))->name, "new");
  builder.remove_workload("c1//Pod/ns/new");
  EXPECT_EQ(builder.current().by_address(at("10.0.0.1"))->name, "old");
}

TEST(Mesh, EndpointsMayArriveBeforeTheirServiceAndOutliveIt) {
  MeshBuilder builder;
  auto workload = pod("a", "10.0.0.1");
  workload.services["ns/s.ns.svc"] = {{80, 8080}};
  builder.upsert(workload);
  ASSERT_NE(builder.current().service("ns/s.ns.svc"), nullptr);
  EXPECT_EQ(builder.current().service("ns/s.ns.svc")->service, nullptr);
  EXPECT_EQ(builder.current().service_count(), 0u);

  builder.upsert(service("ns", "s.ns.svc"));
  EXPECT_EQ(builder.current().service("ns/s.ns.svc")->endpoints.size(), 1u);
  EXPECT_EQ(builder.current().service_count(), 1u);

  EXPECT_TRUE(builder.remove_service("ns/s.ns.svc"));
  EXPECT_FALSE(builder.remove_service("ns/s.ns.svc"));
  EXPECT_EQ(builder.current().service("ns/s.ns.svc")->endpoints.size(), 1u);
  builder.remove_workload(workload.uid);
  EXPECT_EQ(builder.current().service("ns/s.ns.svc"), nullptr);
}

TEST(Mesh, AServiceUpdateKeepsItsEndpoints) {
  MeshBuilder builder;
  auto workload = pod("a", "10.0.0.1");
  workload.services["ns/s"] = {{80, 8080}};
  builder.upsert(workload);
  builder.upsert(service("ns", "s", {vip("10.96.0.1")}));
  builder.upsert(service("ns", "s", {vip("10.96.0.2")}));

  EXPECT_EQ(builder.current().service("ns/s")->endpoints.size(), 1u);
  EXPECT_EQ(owner(builder.current(), "10.96.0.1"), "");
  EXPECT_EQ(owner(builder.current(), "10.96.0.2"), "ns/s");
}

TEST(Mesh, CountsEndpointsWithAWeight) {
  MeshBuilder builder;
  auto workload = pod("a", "10.0.0.1");
  workload.services["ns/s"] = {};
  workload.capacity = 3;
  builder.upsert(workload);
  EXPECT_EQ(builder.current().service("ns/s")->weighted, 1u);
  workload.capacity = 1;
  builder.upsert(workload);
  EXPECT_EQ(builder.current().service("ns/s")->weighted, 0u);
}

TEST(Mesh, RanksExactAddressesByNamespaceThenCanonicalThenPreferredThenName) {
  const auto canonical = [](Service value) {
    value.canonical = true;
    return value;
  };
  MeshBuilder builder("preferred");
  builder.upsert(service("first", "h", {vip("10.96.0.1")}));
  builder.upsert(service("second", "h", {vip("10.96.0.1")}));
  EXPECT_EQ(owner(builder.current(), "10.96.0.1"), "first/h");

  builder.upsert(service("preferred", "h", {vip("10.96.0.1")}));
  EXPECT_EQ(owner(builder.current(), "10.96.0.1"), "preferred/h");

  builder.upsert(canonical(service("canon", "h", {vip("10.96.0.1")})));
  EXPECT_EQ(owner(builder.current(), "10.96.0.1"), "canon/h");
  EXPECT_EQ(owner(builder.current(), "10.96.0.1", "second"), "second/h");
  EXPECT_EQ(builder.current().service_by_hostname("h", "second")->service->key(), "second/h");
  EXPECT_EQ(builder.current().services_by_hostname("h", "second").size(), 4u);
  EXPECT_EQ(builder.current().services_by_hostname("h", "second").front()->key(), "second/h");
}

Service kubernetes(Service value) {
  value.canonical = true;
  value.ip_families = IpFamilies::kIpv4Only;
  return value;
}

// Both orders in which a node may be told.
std::vector<MeshBuilder> told(const std::vector<Service>& services, const std::vector<Workload>& workloads = {}) {
  std::vector<MeshBuilder> out(4);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i >= 2) std::ranges::for_each(workloads, [&](const Workload& one) { out[i].upsert(one); });
    for (std::size_t at = 0; at < services.size(); ++at) out[i].upsert(services[i % 2 == 0 ? at : services.size() - 1 - at]);
    if (i < 2) std::ranges::for_each(workloads, [&](const Workload& one) { out[i].upsert(one); });
  }
  return out;
}

TEST(Mesh, AnAddressThatKubernetesGaveToAServiceIsNoEntrysElsewhere) {
  auto entry = service("aaa", "evil.example.com", {vip("10.96.0.1")});
  entry.canonical = true;  // the oldest of its host
  for (const MeshBuilder& builder : told({entry, kubernetes(service("shop", "web.shop.svc", {vip("10.96.0.1")}))})) {
    EXPECT_EQ(owner(builder.current(), "10.96.0.1"), "shop/web.shop.svc");
    EXPECT_EQ(owner(builder.current(), "10.96.0.1", "shop"), "shop/web.shop.svc");
    EXPECT_EQ(owner(builder.current(), "10.96.0.1", "aaa"), "aaa/evil.example.com") << "its own clients are its own affair";
    EXPECT_EQ(builder.current().kubernetes_service_by_vip(at("10.96.0.1"))->service->key(), "shop/web.shop.svc");
  }
}

TEST(Mesh, OfEqualOwnersOfAnAddressTheFirstByNameIsItOnEveryNode) {
  for (const MeshBuilder& builder : told({service("b", "x", {vip("10.96.0.1"), vip("10.97.0.0/16")}),
                                          service("a", "y", {vip("10.96.0.1"), vip("10.97.0.0/16")}),
                                          service("a", "x", {vip("10.96.0.1"), vip("10.97.0.0/16")})})) {
    EXPECT_EQ(owner(builder.current(), "10.96.0.1"), "a/x");
    EXPECT_EQ(owner(builder.current(), "10.97.0.1"), "a/x");
  }
  for (const MeshBuilder& builder : told({service("b", "x"), service("a", "x")})) {
    EXPECT_EQ(builder.current().service_by_hostname("x", "elsewhere")->service->key(), "a/x");
    EXPECT_EQ(builder.current().services_by_hostname("x", "elsewhere").front()->key(), "a/x");
  }
}

TEST(Mesh, WhatAnEntryWritesDownTakesNoPodsAddressFromIt) {
  const auto victim = pod("victim", "10.0.0.1");
  for (const char* claim : {"10.0.0.1", "10.0.0.0/16", "0.0.0.0/0"}) {
    const auto evil = service("evil", "x", {vip(claim)});
    for (const MeshBuilder& builder : told({evil}, {victim})) {
      for (const char* client : {"elsewhere", "evil", "ns"}) EXPECT_EQ(owner(builder.current(), "10.0.0.1", client), "") << claim;
      EXPECT_EQ(owner(builder.current(), "10.0.9.9"), std::string_view(claim).contains('/') ? "evil/x" : "");
    }
    for (const MeshBuilder& builder : told({evil, service("ns", "own", {vip("10.0.0.0/8")})}, {victim}))
      EXPECT_EQ(owner(builder.current(), "10.0.0.1"), "ns/own") << "a pod's own namespace may";
  }
  // What somebody wrote down as well proves nothing.
  auto written = pod("written", "10.0.0.1");
  written.uid = "c1/networking.istio.io/ServiceEntry/ns/e/x//Pod/y";
  for (const MeshBuilder& builder : told({service("other", "x", {vip("10.0.0.1")})}, {written}))
    EXPECT_EQ(owner(builder.current(), "10.0.0.1"), "other/x");
}

TEST(Mesh, ANamespacePrivateServiceIsUnknownElsewhere) {
  MeshBuilder builder;
  auto hidden = service("own", "h", {vip("10.96.0.1"), vip("10.97.0.0/16")});
  hidden.visibility = Visibility::kNamespace;
  builder.upsert(hidden);

  EXPECT_EQ(owner(builder.current(), "10.96.0.1"), "");
  EXPECT_EQ(owner(builder.current(), "10.97.0.1"), "");
  EXPECT_EQ(owner(builder.current(), "10.96.0.1", "own"), "own/h");
  EXPECT_EQ(owner(builder.current(), "10.97.0.1", "own"), "own/h");
  EXPECT_EQ(builder.current().service_by_hostname("h", "else"), nullptr);
  EXPECT_THAT(builder.current().services_by_hostname("h", "else"), IsEmpty());
}

TEST(Mesh, RanksRangesByNamespaceThenLengthThenCanonicalBelowExactAddresses) {
  MeshBuilder builder;
  builder.upsert(service("wide", "w", {vip("10.0.0.0/8")}));
  builder.upsert(service("narrow", "n", {vip("10.1.255.0/16")}));  // bits past the prefix do not count
  EXPECT_EQ(owner(builder.current(), "10.1.2.3"), "narrow/n");
  EXPECT_EQ(owner(builder.current(), "10.2.2.3"), "wide/w");
  EXPECT_EQ(owner(builder.current(), "10.1.2.3", "wide"), "wide/w");
  EXPECT_EQ(owner(builder.current(), "fd00::1"), "");

  auto canonical = service("canon", "c", {vip("10.1.0.0/16")});
  canonical.canonical = true;
  builder.upsert(canonical);
  EXPECT_EQ(owner(builder.current(), "10.1.2.3"), "canon/c");

  builder.upsert(service("exact", "e", {vip("10.1.2.3")}));
  EXPECT_EQ(owner(builder.current(), "10.1.2.3", "wide"), "exact/e");

  for (const char* key : {"exact/e", "canon/c", "narrow/n", "wide/w"}) builder.remove_service(key);
  EXPECT_EQ(owner(builder.current(), "10.1.2.3"), "");
}

TEST(Mesh, FindsWildcardHostnames) {
  MeshBuilder builder;
  builder.upsert(service("ns", "*.example.com"));

  EXPECT_NE(builder.current().service_by_hostname("a.example.com", "ns"), nullptr);
  EXPECT_NE(builder.current().service_by_hostname("b.a.example.com", "ns"), nullptr);
  EXPECT_EQ(builder.current().service_by_hostname("example.com", "ns"), nullptr);
}

TEST(Mesh, ASnapshotDoesNotSeeLaterChanges) {
  MeshBuilder builder;
  builder.upsert(pod("a", "10.0.0.1"));
  const auto before = builder.build();
  builder.upsert(pod("b", "10.0.0.2"));
  builder.remove_workload("c1//Pod/ns/a");

  EXPECT_NE(before->by_address(at("10.0.0.1")), nullptr);
  EXPECT_EQ(before->by_address(at("10.0.0.2")), nullptr);
  EXPECT_EQ(before->workload_count(), 1u);
}

TEST(Mesh, TwoClustersMayHaveAPodOfTheSameName) {
  MeshBuilder builder;
  auto here = pod("a", "10.0.0.1"), there = pod("a", "10.1.0.1"), somewhere = pod("a", "10.2.0.1");
  here.node = "n1", there.node = "n2";
  there.uid = "c2//Pod/ns/a", somewhere.uid = "c3//Pod/ns/a";
  builder.upsert(here);
  builder.upsert(there);  // the last one is the first choice where nothing is said

  EXPECT_EQ(builder.current().pod("ns", "a", "", "n1")->uid, here.uid);
  EXPECT_EQ(builder.current().pod("ns", "a", "", "n2")->uid, there.uid);
  EXPECT_EQ(builder.current().pod("ns", "a")->uid, there.uid);
  EXPECT_EQ(builder.current().pod("ns", "a", "", "n3"), nullptr);

  builder.upsert(somewhere);
  EXPECT_EQ(builder.current().pod("ns", "a", "", "n1")->uid, here.uid);
  EXPECT_EQ(builder.current().pod("ns", "a", "", "n3")->uid, somewhere.uid);
}

TEST(Mesh, ThePoliciesOfAWorkloadChangeOnlyWithWhatDecidesAdmission) {
  MeshBuilder builder;
  auto workload = pod("a", "10.0.0.1");
  const auto now = [&] { return builder.current().policies_of(workload); };
  builder.upsert(workload);
  const auto start = now();
  builder.upsert(pod("b", "10.0.0.2"));
  workload.health = Health::kUnhealthy;
  builder.upsert(workload);
  builder.upsert(service("ns", "h"));
  builder.upsert(Policy{.name = "p", .name_space = "elsewhere", .scope = Policy::Scope::kNamespace});
  builder.upsert(Policy{.name = "q", .name_space = "ns", .scope = Policy::Scope::kWorkloadSelector});
  EXPECT_EQ(now(), start);

  workload.policies = {"ns/p"};
  const auto named = now();
  EXPECT_NE(named, start);
  Policy policy{.name = "p", .name_space = "ns", .scope = Policy::Scope::kWorkloadSelector};
  builder.upsert(policy);
  const auto arrived = now();
  EXPECT_NE(arrived, named);
  builder.upsert(policy);
  EXPECT_EQ(now(), arrived);
  EXPECT_TRUE(builder.remove_policy("ns/p"));
  EXPECT_EQ(now(), named);

  for (const auto scope : {Policy::Scope::kGlobal, Policy::Scope::kNamespace}) {
    builder.upsert(Policy{.name = "r", .name_space = "ns", .scope = scope});
    EXPECT_NE(now(), named);
    builder.remove_policy("ns/r");
    EXPECT_EQ(now(), named);
  }
}

TEST(Mesh, APolicyThatChangesItsScopeLeavesTheOldOne) {
  MeshBuilder builder;
  Policy policy{.name = "p", .name_space = "ns", .scope = Policy::Scope::kGlobal, .rules = {Rule{}}};
  builder.upsert(policy);
  EXPECT_NE(builder.current().global_policies(), nullptr);

  policy.scope = Policy::Scope::kNamespace;
  builder.upsert(policy);
  EXPECT_EQ(builder.current().global_policies(), nullptr);
  ASSERT_NE(builder.current().namespace_policies("ns"), nullptr);
  EXPECT_EQ(builder.current().namespace_policies("ns")->enforced_allows, 1u);

  builder.remove_policy("ns/p");
  EXPECT_EQ(builder.current().namespace_policies("ns"), nullptr);
  EXPECT_EQ(builder.current().named_policy("ns/p"), nullptr);
}

// Not a benchmark: a change of a large mesh must not cost the mesh. If it did, a thousand changes would cost a thousand times as much as the mesh;
// they cost an eighth of it.
TEST(Mesh, OneChangeOfALargeMeshIsCheap) {
  using Clock = std::chrono::steady_clock;
  MeshBuilder builder;
  const auto began = Clock::now();
  for (int i = 0; i < 20000; ++i) {
    auto workload = pod(std::to_string(i),
                        "10." + std::to_string(i / 65536) + "." + std::to_string(i / 256 % 256) + "." + std::to_string(i % 256));
    workload.services["ns/s" + std::to_string(i % 10)] = {{80, 8080}};
    builder.upsert(std::move(workload));
  }
  auto snapshot = builder.build();
  const auto made = Clock::now();

  for (int i = 0; i < 1000; ++i) {
    auto changed = *snapshot->workload("c1//Pod/ns/" + std::to_string(i));
    changed.health = Health::kUnhealthy;
    builder.upsert(std::move(changed));
    snapshot = builder.build();
  }

  EXPECT_LT(2 * (Clock::now() - made), made - began);
  EXPECT_EQ(snapshot->workload("c1//Pod/ns/7")->health, Health::kUnhealthy);
}

}  // namespace
}  // namespace culvert::model
