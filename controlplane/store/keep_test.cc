#include "controlplane/store/keep.h"

#include <gtest/gtest.h>

#include <string>

#include "common/config/parse.h"
#include "common/derive/workload.h"

namespace culvert::controlplane {
namespace {

config::ObjectPtr pod(const std::string& name, const std::string& more = "") {
  const auto file = config::parse_yaml(
      "pods.yaml",
      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: " + name + "\n  namespace: shop\n  uid: u-" + name +
          "\n  labels: {app: web, version: v1}\n"
          "  annotations: {ambient.istio.io/redirection: enabled, k8s.v1.cni.cncf.io/network-status: long}\n"
          "  ownerReferences: [{kind: ReplicaSet, name: web-5d4f, controller: true}]\n"
          "spec:\n  nodeName: n1\n  serviceAccountName: web\n  hostNetwork: true\n  containers:\n"
          "  - {name: a, image: i, command: [x], ports: [{containerPort: 8080, name: http}, {containerPort: 53, name: dns, "
          "protocol: UDP}]}\n"
          "  - {name: b, image: i, ports: [{containerPort: 9090, name: http}, {containerPort: 9091, name: metrics}]}\n"
          "status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}\n" +
          more);
  EXPECT_EQ(file.objects.size(), 1U);
  return file.objects.at(0).object;
}

const config::Pod& as_pod(const config::ObjectPtr& object) { return std::get<config::Pod>(*object); }

TEST(Keep, DerivesTheSameFromWhatIsKept) {
  const config::ObjectPtr whole = pod("web-1");
  Keep keep;
  const config::ObjectPtr kept = keep(whole);
  const auto derived = [](const config::ObjectPtr& object) {
    derive::Objects objects;
    config::Service service;
    service.metadata.name = "web";
    service.metadata.name_space = "shop";
    service.selector = {{"app", "web"}};
    for (const char* name : {"http", "metrics", "dns"})
      service.ports.push_back(
          {name, static_cast<std::uint16_t>(80 + service.ports.size()), {0, name}, config::Transport::kTcp, ""});
    objects.put({config::Kind::kService, "shop", "web"}, std::make_shared<const config::Object>(service));
    objects.put(config::key_of(*object), object);
    return derive::workload_of(as_pod(object), objects, {});
  };

  EXPECT_EQ(derived(kept), derived(whole));
  EXPECT_EQ(derived(kept)->services.at("shop/web.shop.svc.cluster.local").at(81), 9091);
  EXPECT_EQ(as_pod(kept).metadata.uid, "u-web-1");
  EXPECT_FALSE(as_pod(kept).metadata.annotations->contains("k8s.v1.cni.cncf.io/network-status"));
}

TEST(Keep, HasOnceWhatManyHaveInCommon) {
  Keep keep;
  const auto one = keep(pod("web-1")), other = keep(pod("web-2"));

  EXPECT_EQ(&as_pod(one).metadata.labels.get(), &as_pod(other).metadata.labels.get());
  EXPECT_EQ(&as_pod(one).metadata.annotations.get(), &as_pod(other).metadata.annotations.get());
  EXPECT_EQ(&as_pod(one).metadata.owners.get(), &as_pod(other).metadata.owners.get());
  EXPECT_EQ(&as_pod(one).spec.containers.get(), &as_pod(other).spec.containers.get());
}

TEST(Keep, DerivesTheSameFromWhatIsKeptOfASlice) {
  const auto file = config::parse_yaml(
      "s.yaml",
      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, namespace: shop, labels: "
      "{kubernetes.io/service-name: web}, annotations: {endpoints.kubernetes.io/last-change-trigger-time: now}}\n"
      "addressType: IPv4\nendpoints:\n"
      "- {addresses: [10.0.0.1], nodeName: n1, zone: z1, conditions: {ready: false}, targetRef: {kind: Pod, namespace: shop, "
      "name: web-1}}\n"
      "- {addresses: [10.0.0.2], nodeName: n2, zone: z2, conditions: {ready: false}}\n"
      "ports: [{name: http, port: 8080, protocol: TCP}]\n---\n"
      "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.1.0.1, ports: [{name: http, "
      "port: 80}]}\n");
  ASSERT_EQ(file.objects.size(), 2U);
  const config::ObjectPtr whole = file.objects[0].object, kept = Keep()(whole), web = pod("web-1");
  derive::Objects objects;
  objects.put(config::key_of(*file.objects[1].object), file.objects[1].object);
  objects.put(config::key_of(*web), web);
  const auto derived = [&](const config::ObjectPtr& slice) {
    objects.put(config::key_of(*slice), slice);
    return std::pair(derive::workloads_of(std::get<config::EndpointSlice>(*slice), objects, {}),
                     derive::workload_of(as_pod(web), objects, {}));
  };

  EXPECT_EQ(derived(kept), derived(whole));
  EXPECT_EQ(derived(kept).first.at(0).health, model::Health::kUnhealthy);
  EXPECT_TRUE(derived(kept).second->services.contains("shop/web.shop.svc.cluster.local"));
  EXPECT_TRUE(std::get<config::EndpointSlice>(*kept).endpoints.at(0).own->addresses.empty());
  EXPECT_TRUE(std::get<config::EndpointSlice>(*kept).metadata.annotations.empty());
}

TEST(Keep, LeavesOtherKindsAsTheyAre) {
  const auto file = config::parse_yaml("s.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: shop}\n");
  const config::ObjectPtr account = file.objects.at(0).object;

  EXPECT_EQ(Keep()(account), account);
}

TEST(Pool, LetsGoOfWhatNobodyHas) {
  config::Pool<config::Labels> pool;
  const auto held = pool.take("held", [] { return config::Labels{{"a", "b"}}; });
  for (int i = 0; i < 10'000; ++i) pool.take(std::to_string(i), [] { return config::Labels{{"c", "d"}}; });

  EXPECT_LT(pool.size(), 2'000U);
  EXPECT_EQ(&pool.take("held", [] { return config::Labels(); }).get(), &held.get());
}

}  // namespace
}  // namespace culvert::controlplane
