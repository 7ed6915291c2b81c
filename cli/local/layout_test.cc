#include "cli/local/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/format.h"

namespace culvert::local {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kShop = R"(apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: main}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        command: [serve]
        ports: [{name: main, containerPort: 8080}]
)";

std::string pod(const std::string& name, const std::string& more = "") {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec:\n" + more +
         "  containers:\n  - {name: main, command: [run]}\n";
}

Plan plan_of(const std::string& text, const Layout& before = {}, int nodes = 2) {
  return lay_out(read_folder({{"a.yaml", text}}), nodes, before);
}

std::vector<std::string> problems_of(const std::string& text) {
  const auto folder = read_folder({{"a.yaml", text}});
  std::vector<std::string> texts;
  for (const auto& problem : folder.problems) texts.push_back(problem.text());
  for (const auto& problem : lay_out(folder, 2, {}).problems) texts.push_back(problem.text());
  return texts;
}

TEST(Layout, SpreadsReplicasOverTheNodesAndGivesThemAddresses) {
  const auto plan = plan_of(kShop);

  ASSERT_THAT(plan.problems, IsEmpty());
  const auto& pods = plan.layout.pods;
  EXPECT_EQ(pods.at({"shop", "web-0"}).addresses.v4.text(), "10.244.1.2");
  EXPECT_EQ(pods.at({"shop", "web-1"}).addresses.v4.text(), "10.244.2.2");
  EXPECT_EQ(pods.at({"shop", "web-2"}).addresses.v6.text(), "fd00:10:244:1::3");
  EXPECT_EQ(pods.at({"shop", "web-1"}).spec.node_name, "node2");
  EXPECT_EQ(pods.at({"shop", "web-1"}).metadata.owners->front().name, "web");
}

TEST(Layout, KeepsWhoIsThereWhereHeIs) {
  const auto before = plan_of(pod("b") + "---\n" + pod("c"));

  const auto after = plan_of(pod("a") + "---\n" + pod("c"), before.layout);

  EXPECT_EQ(after.layout.pods.at({"default", "c"}).addresses, before.layout.pods.at({"default", "c"}).addresses);
  EXPECT_EQ(after.layout.pods.at({"default", "a"}).spec.node_name, "node1");
  EXPECT_NE(after.layout.pods.at({"default", "a"}).addresses, before.layout.pods.at({"default", "b"}).addresses)
      << "given away at once";
}

TEST(Layout, PutsAPodOnTheNodeThatItNames) {
  EXPECT_EQ(plan_of(pod("a", "  nodeName: node2\n")).layout.pods.at({"default", "a"}).node, 2);
  EXPECT_THAT(problems_of(pod("a", "  nodeName: node3\n")), ElementsAre(HasSubstr("no node is called node3")));
}

TEST(Layout, GivesServicesAddressesOfBothFamiliesAndKeepsThem) {
  const auto before = plan_of(kShop);
  const auto& service = before.layout.services.at({"shop", "web"});

  const auto after =
      plan_of(std::string(kShop) +
                  "---\napiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\nspec: {ports: [{port: 1}]}\n",
              before.layout);

  EXPECT_EQ(service.addresses.v4.text(), "10.96.1.0");
  EXPECT_EQ(service.addresses.v6.text(), "fd00:10:96::100");
  EXPECT_EQ(after.layout.services.at({"shop", "web"}).addresses, service.addresses);
  EXPECT_NE(after.layout.services.at({"shop", "api"}).addresses, service.addresses);
}

TEST(Layout, FindsBackendsAmongReadyPodsAndResolvesNamedPorts) {
  const auto plan = plan_of(kShop);
  const auto& service = plan.layout.services.at({"shop", "web"});

  const auto found = backends(plan.layout, service, {{"shop", "web-1"}});

  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].pod->metadata.name, "web-1");
  EXPECT_THAT(found[0].ports, ElementsAre(8080));
}

std::string pod_at(const std::string& name, const std::string& address) {
  return culvert::format(
      "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {}, annotations: {{culvert.dev/pod-ip: '{}'}}}}\n"
      "spec: {{nodeName: node1, containers: [{{name: main, command: [run]}}]}}\n",
      name, address);
}

TEST(Layout, GivesAPodTheAddressThatItAsksFor) {
  const auto first = plan_of(pod("a", "  nodeName: node1\n") + pod_at("b", "10.244.1.2") + pod_at("c", "fd00:10:244:1::63"));
  ASSERT_THAT(first.problems, IsEmpty());
  EXPECT_EQ(first.layout.pods.at({"default", "a"}).addresses.v4.text(), "10.244.1.3");
  EXPECT_EQ(first.layout.pods.at({"default", "b"}).addresses.v4.text(), "10.244.1.2");
  EXPECT_EQ(first.layout.pods.at({"default", "c"}).addresses.v4.text(), "10.244.1.99");

  const auto second = plan_of(pod_at("d", "10.244.1.2"), first.layout);  // in place of another

  ASSERT_THAT(second.problems, IsEmpty());
  EXPECT_EQ(second.layout.pods.at({"default", "d"}).addresses, first.layout.pods.at({"default", "b"}).addresses);
}

TEST(Layout, SaysWhyAPodCannotHaveTheAddressThatItAsksFor) {
  EXPECT_THAT(problems_of(pod_at("a", "10.244.1.9") + pod_at("b", "10.244.1.9")),
              testing::ElementsAre(HasSubstr("10.244.1.9 is another pod's")));
  for (const char* address : {"10.244.2.9", "10.244.1.1", "fd00::9", "here"})
    EXPECT_THAT(problems_of(pod_at("a", address)),
                testing::ElementsAre(HasSubstr(culvert::format("{} is no address of a pod of node1", address))));
}

TEST(Layout, KnowsWhoWantsTheMesh) {
  const auto plan = plan_of(std::string(kShop) + "---\n" + pod("outside"));

  EXPECT_TRUE(wants_mesh(plan.layout, plan.layout.pods.at({"shop", "web-0"})));
  EXPECT_FALSE(wants_mesh(plan.layout, plan.layout.pods.at({"default", "outside"})));
}

TEST(Layout, LeavesOutOfTheMeshWhatTheNodeAgentRefuses) {
  const auto plan =
      plan_of(std::string(kShop) +
              "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, labels: {istio.io/dataplane-mode: "
              "ambient}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: dns, namespace: kube-system}\nspec: "
              "{containers: [{name: main, command: [a]}]}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: old, "
              "namespace: shop, annotations: {sidecar.istio.io/status: '{}'}}\nspec: {containers: [{name: main, command: "
              "[a]}]}\n");

  ASSERT_THAT(plan.problems, IsEmpty());
  EXPECT_EQ(why_outside(plan.layout, plan.layout.pods.at({"kube-system", "dns"})), "its namespace is excluded");
  EXPECT_EQ(why_outside(plan.layout, plan.layout.pods.at({"shop", "old"})), "it has a sidecar");
}

TEST(Layout, RefusesFieldsThatItDoesNotHonourByName) {
  const auto problems = problems_of(pod("a", "  priorityClassName: high\n"));

  ASSERT_EQ(problems.size(), 1U);
  EXPECT_THAT(problems[0], testing::AllOf(HasSubstr("a.yaml:5"), HasSubstr("priorityClassName")));
}

TEST(Layout, RefusesKindsThatItDoesNotHonour) {
  for (const char* kind : {"networking.istio.io/v1, kind: Sidecar", "networking.istio.io/v1, kind: VirtualService",
                           "telemetry.istio.io/v1, kind: Telemetry", "security.istio.io/v1, kind: RequestAuthentication"}) {
    const auto folder = read_folder(
        {{"a.yaml", culvert::format("{{apiVersion: {}, metadata: {{name: x, namespace: shop}}, spec: {{}}}}\n", kind)}});
    EXPECT_TRUE(std::ranges::any_of(folder.problems, [](const auto& one) { return one.text().contains("is not honoured here"); }))
        << kind;
  }
}

TEST(Layout, RefusesWhatWouldNotWorkInACluster) {
  EXPECT_THAT(problems_of("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: main}]}\n"),
              ElementsAre(HasSubstr("command")));
  EXPECT_THAT(problems_of(pod("a", "  serviceAccountName: nobody\n")), ElementsAre(HasSubstr("no ServiceAccount nobody")));
  EXPECT_THAT(problems_of("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: nowhere}\nspec: {containers: [{name: main, "
                          "command: [a]}]}\n"),
              ElementsAre(HasSubstr("no such namespace")));
  EXPECT_THAT(problems_of(pod("a") + "---\n" + pod("a")), testing::Contains(HasSubstr("already")));
}

TEST(Layout, RefusesWhatItCannotDo) {
  EXPECT_THAT(problems_of("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n"),
              ElementsAre(HasSubstr("spec.containers: is empty")));
  EXPECT_THAT(problems_of("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {internalTrafficPolicy: Local}\n"),
              ElementsAre(HasSubstr("spec.internalTrafficPolicy")));
  EXPECT_THAT(problems_of("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {sessionAffinity: ClientIP}\n"),
              ElementsAre(HasSubstr("spec.sessionAffinity")));
}

TEST(Layout, RefusesPathsThatLeaveTheirVolume) {
  const auto with = [](const std::string& item, const std::string& mount) {
    return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: v}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: "
           "a}\n"
           "spec:\n  volumes: [{name: v, configMap: {name: c, items: [{key: k, path: " +
           item + "}]}}]\n  containers: [{name: main, command: [run], volumeMounts: [{name: v, " + mount + "}]}]\n";
  };

  EXPECT_THAT(problems_of(with("a/..b", "mountPath: /x, subPath: a")), IsEmpty());
  EXPECT_THAT(problems_of(with("a/../../b", "mountPath: /x")), ElementsAre(HasSubstr("items[k].path")));
  EXPECT_THAT(problems_of(with("..b", "mountPath: /x")), ElementsAre(HasSubstr("items[k].path")));
  EXPECT_THAT(problems_of(with("a", "mountPath: /x, subPath: ../..")), ElementsAre(HasSubstr("subPath")));
  EXPECT_THAT(problems_of(with("a", "mountPath: /../etc")), ElementsAre(HasSubstr("mountPath")));
  EXPECT_THAT(problems_of("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
                          "spec: {volumes: [{name: ../../x, emptyDir: {}}], containers: [{name: main, command: [run]}]}\n"),
              ElementsAre(HasSubstr("spec.volumes[../../x].name: is no name")));
}

TEST(Layout, RefusesKeysOfConfigMapsThatKubernetesRefuses) {
  using namespace std::string_literals;
  const auto with = [](const std::string& key) {
    return problems_of("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {\"" + key + "\": v}\n");
  };

  for (const std::string& good : {"a"s, "A_b-c.d"s, ".hidden"s, "a..b"s, "-"s, std::string(253, 'k')})
    EXPECT_THAT(with(good), IsEmpty()) << good;
  for (const std::string& bad : {""s, "."s, ".."s, "../k"s, "..data"s, "a/b"s, "/k"s, "a b"s, "\xc3\xa9"s, std::string(254, 'k')})
    EXPECT_THAT(with(bad), ElementsAre(HasSubstr("a.yaml:1: ConfigMap default/c: data[" + bad + "]: is no key of a ConfigMap")))
        << bad;
}

TEST(Layout, RefusesNamesThatAreNone) {
  EXPECT_THAT(
      problems_of("apiVersion: v1\nkind: Pod\nmetadata: {name: ../../x}\nspec: {containers: [{name: main, command: [run]}]}\n"),
      ElementsAre(HasSubstr("metadata.name")));
  EXPECT_THAT(problems_of("apiVersion: v1\nkind: Namespace\nmetadata: {name: ../x}\n"), ElementsAre(HasSubstr("metadata.name")));
}

TEST(Expand, IsThatOfKubernetes) {
  const std::map<std::string, std::string> values = {{"A", "1"}, {"B", "$(A)"}};

  EXPECT_EQ(expand("x$(A)y", values), "x1y");
  EXPECT_EQ(expand("$(NONE) $$(A) $5 $", values), "$(NONE) $(A) $5 $");
  EXPECT_EQ(expand("$(B)", values), "$(A)");
}

}  // namespace
}  // namespace culvert::local
