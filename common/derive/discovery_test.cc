#include "common/derive/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/config/folder.h"
#include "common/derive/deriver.h"
#include "common/derive/test_held.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::string mesh(const std::string& selectors) {
  return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    "
         "discoverySelectors: " +
         selectors + "\n";
}
std::string name_space(const std::string& name, const std::string& labels = "") {
  return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + ", labels: {" + labels + "}}\n";
}
std::string pod(const std::string& in, const std::string& address) {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: " + in +
         "}\nspec: {nodeName: n1, serviceAccountName: web}\nstatus: {phase: Running, podIPs: [{ip: " + address + "}]}\n";
}

// A store and what is derived from it, one step of a source after another.
struct DiscoveryTest : testing::Test {
  Discovery discovery{Settings{}};
  Deriver deriver{Settings{}};
  Held held;

  std::vector<std::string> write(const std::string& yaml) {
    config::Folder folder;
    std::vector<Key> keys;
    for (config::Change& change : folder.written("f.yaml", yaml, {}).changes) {
      keys.push_back(change.key);
      if (change.object) discovery.put(change.key, change.object);
      else discovery.invalidate(change.key);
    }
    return settle(std::move(keys));
  }
  std::vector<std::string> erase(const Key& key) {
    discovery.erase(key);
    return settle({key});
  }
  // Returns what came or went with its namespace.
  std::vector<std::string> settle(std::vector<Key> keys) {
    std::vector<std::string> moved;
    for (const Key& key : discovery.settle()) {
      moved.push_back(key.text());
      keys.push_back(key);
    }
    held.take(deriver.update(discovery.objects(), keys));
    return moved;
  }
  std::vector<std::string> workloads() const {
    std::vector<std::string> out;
    for (const auto& [uid, workload] : held.workloads) out.push_back(workload->name_space);
    return out;
  }
};

TEST_F(DiscoveryTest, ANamespaceComesAndGoesByItsLabels) {
  write(mesh("[{matchLabels: {mesh: \"yes\"}}]"));
  write(name_space("shop") + "---\n" + pod("shop", "10.0.0.1") + "---\n" + pod("bank", "10.0.0.2"));
  EXPECT_THAT(workloads(), IsEmpty());
  EXPECT_EQ(discovery.others().size(), 2U);

  EXPECT_THAT(write(name_space("shop", "mesh: \"yes\"")), ElementsAre("Pod shop/web"));
  EXPECT_THAT(workloads(), ElementsAre("shop"));

  EXPECT_THAT(write(name_space("shop", "mesh: \"no\"")), ElementsAre("Pod shop/web"));
  EXPECT_THAT(workloads(), IsEmpty());
}

TEST_F(DiscoveryTest, MeshConfigBringsAllThatItSelectsAndLetsTheOthersGo) {
  write(name_space("shop", "team: a") + "---\n" + name_space("bank", "team: b") + "---\n" + pod("shop", "10.0.0.1") + "---\n" +
        pod("bank", "10.0.0.2"));
  EXPECT_THAT(workloads(), UnorderedElementsAre("bank", "shop"));

  EXPECT_THAT(write(mesh("[{matchLabels: {team: a}}]")), ElementsAre("Pod bank/web"));
  EXPECT_THAT(workloads(), ElementsAre("shop"));

  EXPECT_THAT(write(mesh("[{matchLabels: {team: b}}]")), UnorderedElementsAre("Pod bank/web", "Pod shop/web"));
  EXPECT_THAT(workloads(), ElementsAre("bank"));

  EXPECT_THAT(erase({Kind::kConfigMap, "istio-system", "istio"}), ElementsAre("Pod shop/web"));
  EXPECT_THAT(workloads(), UnorderedElementsAre("bank", "shop"));
}

TEST_F(DiscoveryTest, SelectorsThatCannotBeReadChangeNothing) {
  write(mesh("[{matchLabels: {mesh: \"yes\"}}]"));
  write(name_space("shop", "mesh: \"yes\"") + "---\n" + pod("shop", "10.0.0.1") + "---\n" + pod("bank", "10.0.0.2"));

  EXPECT_THAT(write(mesh("nonsense")), IsEmpty());

  EXPECT_THAT(workloads(), ElementsAre("shop"));
}

TEST_F(DiscoveryTest, WhatChangesOutsideIsThereAsItIsWhenItsNamespaceComes) {
  write(mesh("[{matchLabels: {mesh: \"yes\"}}]"));
  write(name_space("shop") + "---\n" + pod("shop", "10.0.0.1"));
  write(pod("shop", "10.0.0.9"));
  write(
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: bad, namespace: shop}\nspec: {action: "
      "NONSENSE}\n");
  EXPECT_THAT(discovery.objects().invalid(), IsEmpty());

  write(name_space("shop", "mesh: \"yes\""));

  ASSERT_THAT(workloads(), ElementsAre("shop"));
  EXPECT_EQ(held.workloads.begin()->second->addresses.front().text(), "10.0.0.9");
  EXPECT_TRUE(deriver.policies().contains("shop/policy_invalid")) << "one that cannot be read denies, now that it is of the mesh";
}

TEST_F(DiscoveryTest, WithoutSelectorsNothingIsLookedAt) {
  write(name_space("shop") + "---\n" + pod("shop", "10.0.0.1"));

  EXPECT_THAT(write(name_space("shop", "a: b")), IsEmpty());

  EXPECT_THAT(workloads(), ElementsAre("shop"));
  EXPECT_EQ(discovery.others().size(), 0U);
}

}  // namespace
}  // namespace culvert::derive
