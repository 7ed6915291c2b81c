#include "cli/local/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/parse.h"

namespace culvert::local {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kWeb = R"(apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: web}}
spec:
  nodeName: node1
  containers:
  - {name: main, command: [run], ports: [{name: http, containerPort: 8080}], readinessProbe: {httpGet: {path: /, port: http}}}
  - {name: other, command: [run], readinessProbe: {tcpSocket: {port: 9000}}}
  - {name: last, command: [run], readinessProbe: {exec: {command: [ask]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: web}}
spec: {nodeName: node2, containers: [{name: main, command: [run]}]}
)";

const PodName kOne{"default", "one"}, kTwo{"default", "two"};

Layout layout_of(const std::string& text) {
  auto plan = lay_out(read_folder({{"a.yaml", text}}), 2, {});
  EXPECT_THAT(plan.problems, IsEmpty());
  return std::move(plan.layout);
}

TEST(Render, MakesPodsThatTheControlPlaneReads) {
  const auto layout = layout_of(kWeb);
  const PodStates states = {{kOne, {.uid = "u1", .running = true, .ready = true, .netns = "/run/netns/x"}}};

  const auto files = render_objects(layout, states);

  const auto parsed = config::parse_yaml("p", files.at("culvert-pod-default-one.yaml"));
  ASSERT_EQ(parsed.objects.size(), 1U);
  EXPECT_TRUE(parsed.broken.empty());
  const auto& pod = std::get<config::Pod>(*parsed.objects[0].object);
  EXPECT_TRUE(pod.ready);
  EXPECT_EQ(pod.phase, config::PodPhase::kRunning);
  EXPECT_EQ(pod.metadata.uid, "u1");
  EXPECT_EQ(pod.metadata.annotations->at("culvert.dev/netns"), "/run/netns/x");
  EXPECT_EQ(pod.addresses.size(), 2U);
  EXPECT_EQ(pod.spec.node_name, "node1");
  EXPECT_THAT(pod.spec.on_node->dialled,
              testing::ElementsAre(config::Dialled{"main", 8080, ""}, config::Dialled{"other", 9000, ""}));
  EXPECT_FALSE(files.contains("culvert-pod-default-two.yaml")) << "it is not there yet";
}

TEST(Render, MakesServicesWithASliceForEachFamily) {
  const auto layout = layout_of(kWeb);

  const auto files = render_objects(layout, {{kOne, {.uid = "u1", .running = true, .ready = true, .netns = ""}}});

  const auto parsed = config::parse_yaml("s", files.at("culvert-service-default-web.yaml"));
  EXPECT_TRUE(parsed.broken.empty());
  ASSERT_EQ(parsed.objects.size(), 3U);
  EXPECT_EQ(std::get<config::Service>(*parsed.objects[0].object).cluster_ips.size(), 2U);
  const auto& slice = std::get<config::EndpointSlice>(*parsed.objects[1].object);
  EXPECT_EQ(slice.service, "web");
  ASSERT_EQ(slice.endpoints.size(), 2U);
  EXPECT_TRUE(slice.endpoints[0].own->ready);
  EXPECT_FALSE(slice.endpoints[1].own->ready);
  EXPECT_EQ(slice.ports.front().port, 8080);
}

TEST(Render, LeadsServiceAddressesToReadyPodsOnly) {
  const auto layout = layout_of(kWeb);

  EXPECT_THAT(
      render_services(layout, {kTwo}),
      HasSubstr("ip daddr 10.96.1.0 tcp dport 80 dnat ip addr . port to numgen random mod 1 map { 0 : 10.244.2.2 . 8080 }"));
  EXPECT_THAT(render_services(layout, {}), Not(HasSubstr("dport")));
}

TEST(Render, NamesServicesInTheZone) {
  const auto zone = render_zone(layout_of(kWeb), {kOne});

  EXPECT_THAT(zone, HasSubstr("web.default.svc.cluster.local A 10.96.1.0\n"));
  EXPECT_THAT(zone, HasSubstr("web.default.svc.cluster.local AAAA fd00:10:96::100\n"));
  EXPECT_THAT(zone, HasSubstr("_http._tcp.web.default.svc.cluster.local SRV 80 web.default.svc.cluster.local\n"));
}

TEST(Render, NamesThePodsOfHeadlessServices) {
  const auto zone = render_zone(layout_of(R"(apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: db}}
spec: {hostname: first, subdomain: db, containers: [{name: main, command: [run]}]}
)"),
                                {kOne});

  EXPECT_THAT(zone, HasSubstr("\ndb.default.svc.cluster.local A 10.244.1.2\n"));
  EXPECT_THAT(zone, HasSubstr("first.db.default.svc.cluster.local A 10.244.1.2\n"));
}

TEST(KeepPolicies, LeavesThemOnTheirLines) {
  const std::string kept = keep_policies(
      "a.yaml",
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n");

  EXPECT_EQ(kept, "\n\n\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n");
}

TEST(KeepPolicies, KeepsOneThatBeginsOnTheLineOfItsMark) {
  const std::string policy =
      "--- {apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: none, namespace: shop}, spec: {}}\n";
  const std::string kept = keep_policies("a.yaml", std::string(kWeb) + policy + "---\n" + kWeb + "--- # no more\n");

  EXPECT_THAT(kept, testing::HasSubstr(policy));
  EXPECT_THAT(kept, testing::Not(testing::HasSubstr("web")));
}

TEST(KeepPolicies, KeepsThoseThatCannotBeRead) {
  EXPECT_THAT(
      keep_policies("a.yaml",
                    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec: {acton: DENY}\n"),
      HasSubstr("acton"));
  EXPECT_EQ(keep_policies("a.yaml", kWeb), "");
}

}  // namespace
}  // namespace culvert::local
