#include "cli/verify/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/base64.h"

namespace culvert::cli::verify {
namespace {

namespace json = boost::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kRoot = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

std::vector<std::string> lines_of(const Seen& seen) {
  std::vector<std::string> out;
  for (const Finding& one : judge(seen))
    out.push_back(std::string(name(one.level)) + " " + std::string(one.code) + " " + one.where + ": " + one.text);
  return out;
}

json::value workload(const char* app, const char* status) {
  return json::parse(std::string(R"({"metadata":{"name":")") + app + R"(","generation":2,"labels":{"app":")" + app +
                     R"(","app.kubernetes.io/version":"0.1.0"}},"spec":{"replicas":1},"status":)" + status + "}");
}

json::value pod(const char* ns, const char* name, const char* more) {
  return json::parse(std::string(R"({"metadata":{"namespace":")") + ns + R"(","name":")" + name + R"(",)" + more + "}");
}

json::value mesh_pod(const char* app) {
  return pod("istio-system", app,
             (std::string(R"("labels":{"app":")") + app +
              R"("}},"spec":{"nodeName":"n1"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]})")
                 .c_str());
}

// An installation of one node with one pod in the mesh, as it should be.
Seen good() {
  Seen seen{.version = "0.1.0"};
  seen.deployments = {workload("culvertd", R"({"observedGeneration":2,"updatedReplicas":1,"availableReplicas":1})")};
  for (const char* app : {"culvert-node", "ztunnel"}) {
    seen.daemon_sets.push_back(
        workload(app, R"({"observedGeneration":2,"desiredNumberScheduled":1,"updatedNumberScheduled":1,"numberAvailable":1})"));
    seen.pods.push_back(mesh_pod(app));
  }
  seen.nodes = {json::parse(R"({"metadata":{"name":"n1"},"status":{"nodeInfo":{"operatingSystem":"linux"}}})")};
  seen.namespaces = {json::parse(R"({"metadata":{"name":"istio-system"}})"),
                     json::parse(R"({"metadata":{"name":"shop","labels":{"istio.io/dataplane-mode":"ambient"}}})"),
                     json::parse(R"({"metadata":{"name":"kube-system"}})")};
  for (const char* ns : {"istio-system", "shop"})
    seen.roots.push_back(json::object{{"metadata", json::object{{"name", "istio-ca-root-cert"}, {"namespace", ns}}},
                                      {"data", json::object{{"root-cert.pem", kRoot}}}});
  seen.slices = {json::parse(R"({"endpoints":[{"conditions":{"ready":true}}]})")};
  seen.webhook = json::object{
      {"webhooks", json::array{json::object{{"name", "v"}, {"clientConfig", json::object{{"caBundle", to_base64(kRoot)}}}}}}};
  seen.pods.push_back(
      pod("shop", "web",
          R"("annotations":{"ambient.istio.io/redirection":"enabled"}},"spec":{"nodeName":"n1"},"status":{"phase":"Running"})"));
  seen.proxies = {{.name = "ztunnel.istio-system", .node = "n1", .epoch = 3, .acked = 3, .current = true}};
  return seen;
}

TEST(VerifyInstall, FindsNothingWrongWithAGoodOne) {
  for (const Finding& one : judge(good())) EXPECT_EQ(one.level, Level::kOk) << one.code << " " << one.text;
  EXPECT_EQ(members_by_node(good()).size(), 1U);
}

TEST(VerifyInstall, SeesARolloutThatIsNotThrough) {
  Seen seen = good();
  seen.daemon_sets[1] = workload(
      "ztunnel", R"({"observedGeneration":2,"desiredNumberScheduled":2,"updatedNumberScheduled":1,"numberAvailable":2})");
  EXPECT_THAT(lines_of(seen), Contains("error CVT0301 ztunnel: of 2 wanted, 1 are up to date and 2 are ready"));
  seen.daemon_sets[1] = workload(
      "ztunnel", R"({"observedGeneration":1,"desiredNumberScheduled":1,"updatedNumberScheduled":1,"numberAvailable":1})");
  EXPECT_THAT(lines_of(seen), Contains(HasSubstr("error CVT0301 ztunnel")))
      << "what the controller has not looked at says nothing";
  seen.deployments.clear();
  EXPECT_THAT(lines_of(seen), Contains("error CVT0301 istio-system: there is no Deployment of culvertd"));
}

TEST(VerifyInstall, ComparesVersions) {
  Seen seen = good();
  seen.version = "0.2.0";

  EXPECT_THAT(lines_of(seen), Contains("warning CVT0302 culvertd, culvert-node, ztunnel: version 0.1.0"));
}

TEST(VerifyInstall, SeesAWebhookThatNobodyCanReach) {
  Seen seen = good();
  seen.webhook = json::parse(R"({"webhooks":[{"name":"v","clientConfig":{"caBundle":""}}]})");
  EXPECT_THAT(lines_of(seen), Contains("error CVT0303 culvert-validator: v trusts none of the mesh's roots (caBundle)"));
  seen.slices = {json::parse(R"({"endpoints":[{"conditions":{"ready":false}}]})")};
  EXPECT_THAT(lines_of(seen), Contains(HasSubstr("the Service culvertd has no ready endpoint")));
  seen.webhook = nullptr;
  EXPECT_THAT(lines_of(seen), Contains(HasSubstr("the webhook is not registered")));
}

TEST(VerifyInstall, SeesNamespacesWithAnotherRootOrNone) {
  Seen seen = good();
  seen.roots.pop_back();
  EXPECT_THAT(lines_of(seen), Contains("error CVT0304 shop: has no ConfigMap istio-ca-root-cert"));
  seen.roots.clear();
  EXPECT_THAT(lines_of(seen), Contains(HasSubstr("error CVT0304 istio-system: there is no root certificate")));
}

TEST(VerifyInstall, SeesNodesWithoutAnAgentOrAConnection) {
  Seen seen = good();
  seen.pods.erase(seen.pods.begin());
  EXPECT_THAT(lines_of(seen), Contains("error CVT0305 n1: no culvert-node runs there"));
  seen.proxies[0].current = false;
  EXPECT_THAT(lines_of(seen), Contains("warning CVT0306 n1: ztunnel has epoch 3 of 3 in force"));
  seen.proxies[0].refused = "shop/p: bad";
  EXPECT_THAT(lines_of(seen), Contains("error CVT0306 n1: its ztunnel refuses configuration: shop/p: bad"));
  seen.proxies.clear();
  EXPECT_THAT(lines_of(seen), Contains(HasSubstr("error CVT0306 n1: its ztunnel is connected to no culvertd")));
  seen.unasked = {"asking pod: refused"};
  EXPECT_THAT(lines_of(seen), Contains("error CVT0306 culvertd: asking pod: refused"));
  EXPECT_THAT(lines_of(seen), Not(Contains(HasSubstr("connected to no culvertd"))));
}

TEST(VerifyInstall, LeavesNodesAloneThatAreKeptOut) {
  Seen seen = good();
  const auto node = [](const char* name, const char* labels) {
    return json::parse(std::string(R"({"metadata":{"name":")") + name + R"(","labels":)" + labels +
                       R"(},"status":{"nodeInfo":{"operatingSystem":"linux"}}})");
  };
  seen.nodes.push_back(node("far", R"({"pool":"gpu"})"));
  seen.nodes.push_back(node("fargate", R"({"eks.amazonaws.com/compute-type":"fargate"})"));
  EXPECT_THAT(lines_of(seen), Contains("error CVT0305 far: no culvert-node runs there"));
  EXPECT_THAT(lines_of(seen), Contains("info CVT0305 fargate: is a virtual node: no agent can run there"));

  for (json::value& each : seen.daemon_sets)
    each.as_object()["spec"] = json::parse(R"({"template":{"spec":{"nodeSelector":{"pool":"web"}}}})");
  EXPECT_THAT(lines_of(seen), Contains("info CVT0305 far: the node selectors of culvert-node and ztunnel leave it out"));
  EXPECT_THAT(lines_of(seen), Not(Contains(HasSubstr("CVT0306 far"))));
  for (json::value& each : seen.daemon_sets)
    each.as_object()["spec"] = json::parse(R"({"template":{"spec":{"affinity":{"nodeAffinity":{
      "requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[
      {"key":"pool","operator":"NotIn","values":["gpu"]}]}]}}}}}})");
  EXPECT_THAT(lines_of(seen), Contains("info CVT0305 far: the node selectors of culvert-node and ztunnel leave it out"));
}

TEST(VerifyInstall, WantsNoRootWhereTheMeshIsNot) {
  Seen seen = good();
  seen.namespaces.push_back(json::parse(R"({"metadata":{"name":"other"}})"));
  EXPECT_THAT(lines_of(seen), Contains("error CVT0304 other: has no ConfigMap istio-ca-root-cert"));

  seen.left_out = {"other", "shop"};
  EXPECT_THAT(lines_of(seen), Not(Contains(HasSubstr("CVT0304 other"))));
  EXPECT_TRUE(members_by_node(seen).empty()) << "nobody there has a certificate";
}

TEST(VerifyInstall, APodThatEndsIsNoProofOfAnything) {
  Seen seen = good();
  const std::string ends = R"("deletionTimestamp":"2026-01-01T00:00:00Z")",
                    runs = R"(},"spec":{"nodeName":"m"},"status":{"phase":"Running"})";
  seen.pods.push_back(pod("shop", "late", (ends + runs).c_str()));
  seen.pods.push_back(
      pod("shop", "was-in", (ends + R"(,"annotations":{"ambient.istio.io/redirection":"enabled"})" + runs).c_str()));

  EXPECT_THAT(lines_of(seen), Not(Contains(HasSubstr("shop/late"))));
  EXPECT_EQ(members_by_node(seen).size(), 1U) << "that of the good one";
}

TEST(VerifyInstall, SeesPodsThatShouldBeInTheMesh) {
  Seen seen = good();
  const char* kRuns = R"(},"spec":{},"status":{"phase":"Running"})";
  seen.pods.push_back(
      pod("shop", "late", (std::string(R"("annotations":{"ambient.istio.io/redirection":"pending"})") + kRuns).c_str()));
  seen.pods.push_back(pod("shop", "missed", (std::string(R"("labels":{})") + kRuns).c_str()));
  seen.pods.push_back(pod("shop", "out", (std::string(R"("labels":{"istio.io/dataplane-mode":"none"})") + kRuns).c_str()));
  seen.pods.push_back(pod("shop", "odd", (std::string(R"("labels":{"istio.io/dataplane-mode":"x"})") + kRuns).c_str()));
  seen.pods.push_back(pod("shop", "host", R"("labels":{}},"spec":{"hostNetwork":true},"status":{"phase":"Running"})"));
  seen.pods.push_back(
      pod("kube-system", "dns", (std::string(R"("labels":{"istio.io/dataplane-mode":"ambient"})") + kRuns).c_str()));

  const auto lines = lines_of(seen);

  EXPECT_THAT(lines, Contains("error CVT0307 shop/late: belongs to the mesh and is not in it yet: pending"));
  EXPECT_THAT(lines, Contains("error CVT0307 shop/missed: belongs to the mesh and is not in it"));
  EXPECT_THAT(lines, Contains("error CVT0307 shop/odd: belongs to the mesh and is not in it")) << "the namespace's label counts";
  for (const char* other : {"shop/out", "shop/host", "kube-system/dns"}) EXPECT_THAT(lines, Not(Contains(HasSubstr(other))));
}

}  // namespace
}  // namespace culvert::cli::verify
