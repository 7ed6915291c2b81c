#include "cli/precheck/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/precheck/probe.h"

namespace culvert::cli::precheck {
namespace {

namespace json = boost::json;
using node_facts::Facts;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// "error CVT0104 istio-system/istiod: ..."
std::vector<std::string> lines_of(const Findings& findings) {
  std::vector<std::string> out;
  for (const Finding& one : findings)
    out.push_back(std::string(name(one.level)) + " " + std::string(one.code) + " " + one.where + ": " + one.text + " -> " +
                  one.advice);
  return out;
}

json::array list(std::string_view text) { return json::parse(text).as_array(); }

Seen good_cluster() {
  return {
      .version = "v1.34.1",
      .nodes = list(
          R"([{"metadata":{"name":"n1"},"status":{"nodeInfo":{"operatingSystem":"linux","architecture":"amd64","kernelVersion":"6.12.0"}}}])")};
}

Facts good_node() {
  return {.kernel = "6.12.1",
          .machine = "x86_64",
          .btf = true,
          .cgroup2 = "/sys/fs/cgroup",
          .bpffs = true,
          .lockdown = "none",
          .cni = {{.path = "/etc/cni/net.d/10-a.conflist", .plugins = {"bridge"}}},
          .interfaces = {{"eth0", 1500, true}}};
}

TEST(Precheck, FindsNothingWrongWithAnOrdinaryCluster) {
  for (const Findings& findings :
       {judge_cluster(good_cluster()), judge_nodes(good_cluster().nodes), judge_facts("n1", good_node())}) {
    EXPECT_FALSE(findings.empty());
    for (const Finding& one : findings) EXPECT_EQ(one.level, Level::kOk) << one.text;
  }
}

TEST(Precheck, KnowsVersionsByTheirNumbers) {
  EXPECT_TRUE(is_at_least("5.17.0-1-amd64", 5, 17));
  EXPECT_TRUE(is_at_least("6.1.0", 5, 17));
  EXPECT_FALSE(is_at_least("5.9.16", 5, 17));
  EXPECT_FALSE(is_at_least("4.18.0-553.el8", 5, 17));
  EXPECT_TRUE(is_at_least("v1.30.2-gke.1", 1, 30));
  EXPECT_FALSE(is_at_least("unknown", 1, 30));
}

TEST(Precheck, PullsItsImageAsItIsTold) {
  const auto pod = json::parse(probe_pod({.image = "inside/culvert-node:1", .pull_secrets = {"mine"}}, "look-n1", "n1"));

  EXPECT_EQ(pod.at_pointer("/spec/imagePullSecrets/0/name").as_string(), "mine");
  EXPECT_EQ(pod.at_pointer("/spec/containers/0/image").as_string(), "inside/culvert-node:1");
}

TEST(Precheck, RefusesWhatIsTooOld) {
  Seen cluster = good_cluster();
  cluster.version = "v1.29.4";
  Facts node = good_node();
  node.kernel = "5.10.0-23-amd64";

  EXPECT_THAT(lines_of(judge_cluster(cluster)), Contains(HasSubstr("error CVT0101 cluster: Kubernetes v1.29.4 is too old")));
  EXPECT_THAT(lines_of(judge_facts("n1", node)), Contains(HasSubstr("error CVT0201 n1: Linux 5.10.0-23-amd64 is too old")));
}

TEST(Precheck, KnowsThatRedHatsNumbersAreLower) {
  Facts node = good_node();
  node.kernel = "5.14.0-427.13.1.el9_4.x86_64";
  EXPECT_THAT(lines_of(judge_facts("n1", node)),
              Contains(HasSubstr("warning CVT0201 n1: Linux 5.14.0-427.13.1.el9_4.x86_64 should have")));
  node.kernel = "5.14.0-362.8.1.el9_3.x86_64";
  EXPECT_THAT(lines_of(judge_facts("n1", node)), Contains(HasSubstr("error CVT0201 n1")));
}

TEST(Precheck, SaysOfEachThingThatAMachineLacksWhatToDo) {
  const Facts nothing{.kernel = "6.12.1", .lockdown = "confidentiality", .interfaces = {{"eth0", 1200, true}}};

  const auto lines = lines_of(judge_facts("n1", nothing));

  EXPECT_THAT(lines, Contains(HasSubstr("error CVT0202 n1: there is no /sys/kernel/btf/vmlinux")));
  EXPECT_THAT(lines, Contains(HasSubstr("error CVT0203 n1: cgroup v2 is mounted nowhere -> mount it")));
  EXPECT_THAT(lines, Contains(HasSubstr("error CVT0204 n1: no bpffs is mounted at /sys/fs/bpf -> mount -t bpf bpf /sys/fs/bpf")));
  EXPECT_THAT(lines, Contains(HasSubstr("error CVT0205 n1: the kernel's lockdown is `confidentiality`")));
  EXPECT_THAT(lines, Contains(HasSubstr("warning CVT0206 n1: there is no CNI configuration")));
  EXPECT_THAT(lines, Contains(HasSubstr("warning CVT0208 n1: eth0 has an MTU of 1200")));
}

TEST(Precheck, SeesTheCniBelowOurs) {
  Facts node = good_node();
  node.cni = {{.path = "/etc/cni/net.d/00-culvert.conflist", .plugins = {"bridge", "culvert-cni"}},
              {.path = "/etc/cni/net.d/05-broken.conflist", .error = "is no JSON object"},
              {.path = "/etc/cni/net.d/10-calico.conflist", .plugins = {"calico", "portmap"}}};
  EXPECT_THAT(lines_of(judge_facts("n1", node)),
              Contains(HasSubstr("ok CVT0206 n1: /etc/cni/net.d/10-calico.conflist: calico, portmap")));

  node.cni = {{.path = "/etc/cni/net.d/05-broken.conflist", .error = "is no JSON object"}};
  EXPECT_THAT(lines_of(judge_facts("n1", node)),
              Contains(HasSubstr("error CVT0206 n1: /etc/cni/net.d/05-broken.conflist is no JSON object")));
}

TEST(Precheck, ComparesMtus) {
  Facts other = good_node();
  other.interfaces = {{"ens3", 9000, true}};

  EXPECT_THAT(lines_of(compare_facts({{"n1", good_node()}, {"n2", other}})),
              Contains(HasSubstr("nodes have different MTUs: 1500 on n1, 9000 on n2")));
  EXPECT_TRUE(compare_facts({{"n1", good_node()}, {"n2", good_node()}}).empty());
}

TEST(Precheck, NamesMissingRights) {
  Seen cluster = good_cluster();
  cluster.denied = {"create clusterroles.rbac.authorization.k8s.io"};

  EXPECT_THAT(lines_of(judge_cluster(cluster)),
              Contains(HasSubstr("error CVT0102 cluster: you may not create clusterroles.rbac.authorization.k8s.io")));

  cluster.denied.clear();
  cluster.denied_options = {"create networkpolicies.networking.k8s.io", "patch networkpolicies.networking.k8s.io"};
  EXPECT_THAT(lines_of(judge_cluster(cluster)),
              Contains(HasSubstr("warning CVT0102 cluster: you may not create networkpolicies")));
}

TEST(Precheck, SeesOtherMeshesAndNotOurOwn) {
  Seen cluster = good_cluster();
  cluster.workloads = list(R"([
    {"metadata":{"name":"istiod","namespace":"istio-system","labels":{"app":"istiod"}}},
    {"metadata":{"name":"istio-cni-node","namespace":"istio-system"}},
    {"metadata":{"name":"linkerd-destination","namespace":"linkerd","labels":{"linkerd.io/control-plane-component":"destination"}}},
    {"metadata":{"name":"ztunnel","namespace":"culvert-system","labels":{"app":"ztunnel","app.kubernetes.io/part-of":"culvert","app.kubernetes.io/version":"0.1.0"}}}])");

  const auto lines = lines_of(judge_cluster(cluster));

  EXPECT_THAT(lines, Contains(HasSubstr("error CVT0104 istio-system/istiod: Istio's control plane is in the namespace")));
  EXPECT_THAT(lines,
              Contains(HasSubstr("warning CVT0104 istio-system/istio-cni-node: Istio's node agent is here, and does not say")));
  EXPECT_THAT(lines, Contains(HasSubstr("warning CVT0104 linkerd/linkerd-destination")));
  EXPECT_THAT(lines, Contains(HasSubstr("info CVT0110 culvert-system/ztunnel: Culvert 0.1.0 is installed")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("CVT0104 culvert-system"))));
  cluster.name_space = "culvert-system";
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Contains(HasSubstr("warning CVT0104 istio-system/istiod")));
}

TEST(Precheck, AsksIstiosNodeAgentWhetherItServesAmbientMode) {
  Seen cluster = good_cluster();
  cluster.workloads = list(R"([{"metadata":{"name":"istio-cni-node","namespace":"istio-system"}}])");
  const auto config = [](const char* ambient) {
    return list(
        std::string(R"([{"metadata":{"name":"istio-cni-config","namespace":"istio-system"},"data":{"AMBIENT_ENABLED":")") +
        ambient + R"("}}])");
  };

  cluster.istio_cni = config("true");
  EXPECT_THAT(lines_of(judge_cluster(cluster)),
              Contains(HasSubstr("error CVT0104 istio-system/istio-cni-node: Istio's node agent takes")));
  cluster.istio_cni = config("false");
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Contains(HasSubstr("info CVT0104 istio-system/istio-cni-node")));
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Not(Contains(HasSubstr("error"))));
}

TEST(Precheck, LeavesForeignCrdsAlone) {
  Seen cluster = good_cluster();
  cluster.crds = list(R"([
    {"metadata":{"name":"gateways.gateway.networking.k8s.io"}},
    {"metadata":{"name":"gateways.networking.istio.io","labels":{"app.kubernetes.io/part-of":"culvert"}}},
    {"metadata":{"name":"widgets.example.com"}}])");

  const auto lines = lines_of(judge_cluster(cluster));

  EXPECT_THAT(lines, Contains(HasSubstr("info CVT0103 cluster: 1 CRDs of the Gateway API are somebody else's")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("of Istio's kinds"))));
}

TEST(Precheck, KnowsCiliumsSettings) {
  Seen cluster = good_cluster();
  cluster.cilium = json::parse(R"({"data":{"kube-proxy-replacement":"true","cni-exclusive":"true"}})");
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Contains(HasSubstr("-> set socketLB.hostNamespaceOnly=true")));
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Contains(HasSubstr("-> set cni.exclusive=false")));

  cluster.cilium =
      json::parse(R"({"data":{"kube-proxy-replacement":"true","bpf-lb-sock-hostns-only":"true","cni-exclusive":"false"}})");
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Not(Contains(HasSubstr("CVT0106"))));
}

TEST(Precheck, KnowsPlatforms) {
  Seen cluster = good_cluster();
  cluster.nodes = list(R"([{"metadata":{"name":"n"},"spec":{"providerID":"gce://p/z/n"},"status":{"nodeInfo":{}}}])");
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Contains(HasSubstr("global.platform=gke,global.resourceQuotas.enabled=true")));
  cluster.nodes = list(R"([{"metadata":{"name":"n"},"status":{"nodeInfo":{"kubeletVersion":"v1.34.1+k3s1"}}}])");
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Contains(HasSubstr("global.platform=k3s")));
  cluster.openshift = true;
  EXPECT_THAT(lines_of(judge_cluster(cluster)), Contains(HasSubstr("--profile openshift")));
}

TEST(Precheck, SeesWhatKeepsOurPodsOut) {
  Seen cluster = good_cluster();
  cluster.namespaces = list(R"([{"metadata":{"name":"istio-system","labels":{"pod-security.kubernetes.io/enforce":"restricted"}}},
    {"metadata":{"name":"shop","labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}])");

  const auto lines = lines_of(judge_cluster(cluster));

  EXPECT_THAT(lines, Contains(HasSubstr("error CVT0107 istio-system: the namespace lets in no pods beyond `restricted`")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("CVT0107 shop"))));
}

TEST(Precheck, SeesPortsThatAreZtunnels) {
  Seen cluster = good_cluster();
  cluster.pods = list(R"([
    {"metadata":{"name":"a","namespace":"shop"},"spec":{"containers":[{"ports":[{"containerPort":8080},{"containerPort":15008}]}]}},
    {"metadata":{"name":"b","namespace":"shop"},"spec":{"hostNetwork":true,"containers":[{"ports":[{"containerPort":15008}]}]}},
    {"metadata":{"name":"c","namespace":"shop","annotations":{"sidecar.istio.io/status":"{}"}},"spec":{"containers":[{"ports":[{"containerPort":15006}]}]}}])");

  const auto lines = lines_of(judge_cluster(cluster));

  EXPECT_THAT(lines, Contains(HasSubstr("warning CVT0108 shop/a: listens on port 15008")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("shop/b"))));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("CVT0108 shop/c"))));
  EXPECT_THAT(lines, Contains(HasSubstr("1 pods have a sidecar of Istio's")));
}

TEST(Precheck, SeesNetworkPoliciesThatForbidTunnels) {
  Seen cluster = good_cluster();
  cluster.network_policies = list(R"([
    {"metadata":{"name":"web","namespace":"shop"},"spec":{"ingress":[{"ports":[{"port":80,"protocol":"TCP"}]}]}},
    {"metadata":{"name":"wide","namespace":"a"},"spec":{"ingress":[{"ports":[{"port":15000,"endPort":16000}]}]}},
    {"metadata":{"name":"all","namespace":"b"},"spec":{"ingress":[{}]}},
    {"metadata":{"name":"ours","namespace":"c","labels":{"app.kubernetes.io/part-of":"culvert"}},"spec":{"ingress":[{"ports":[{"port":80}]}]}}])");

  std::vector<std::string> found;
  for (const std::string& line : lines_of(judge_cluster(cluster)))
    if (line.contains("CVT0109")) found.push_back(line);

  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0], HasSubstr("warning CVT0109 shop: NetworkPolicies let in certain ports, and not 15008: web"));
}

TEST(Precheck, CountsWhatIsNoLinux) {
  const auto lines = lines_of(judge_nodes(list(R"([
    {"metadata":{"name":"w"},"status":{"nodeInfo":{"operatingSystem":"windows"}}},
    {"metadata":{"name":"a"},"status":{"nodeInfo":{"operatingSystem":"linux","architecture":"arm64","kernelVersion":"6.1.0"}}},
    {"metadata":{"name":"b"},"status":{"nodeInfo":{"operatingSystem":"linux","architecture":"amd64","kernelVersion":"4.18.0"}}}])")));

  EXPECT_THAT(lines, Contains(HasSubstr("info CVT0209 w: runs windows")));
  EXPECT_THAT(lines, Contains(HasSubstr("error CVT0201 b: Linux 4.18.0 is too old")));
  EXPECT_THAT(lines, Contains(HasSubstr("nodes are of several architectures: 1 amd64, 1 arm64")));
}

}  // namespace
}  // namespace culvert::cli::precheck
