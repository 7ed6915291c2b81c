// The cluster as a whole: its version, our rights, who else is there.
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "cli/objects/objects.h"
#include "cli/precheck/judge.h"
#include "common/base/format.h"

namespace culvert::cli::precheck {
namespace {

namespace json = boost::json;

constexpr int kMajor = 1, kMinor = 30;  // of Kubernetes, as the charts have it
constexpr std::string_view kCluster = "cluster";
constexpr std::string_view kPartOf = "app.kubernetes.io/part-of";
// In every pod of the mesh these are ztunnel's.
constexpr std::int64_t kPodPorts[] = {15001, 15006, 15008, 15053};
constexpr std::int64_t kTunnels = 15008;

std::string where() { return std::string(kCluster); }
bool is_ours(const json::value& object) { return label_of(object, kPartOf) == "culvert"; }

void add_version(Findings& out, const Seen& cluster) {
  if (is_at_least(cluster.version, kMajor, kMinor))
    out.push_back({"CVT0101", Level::kOk, where(), "Kubernetes " + cluster.version, ""});
  else
    out.push_back({"CVT0101", Level::kError, where(), "Kubernetes " + cluster.version + " is too old",
                   culvert::format("upgrade it to {}.{} or newer", kMajor, kMinor)});
}

std::string joined(const std::vector<std::string>& all) {
  std::string out;
  for (const std::string& each : all) out += (out.empty() ? "" : ", ") + each;
  return out;
}

void add_rights(Findings& out, const Seen& cluster) {
  if (!cluster.denied.empty())
    out.push_back({"CVT0102", Level::kError, where(), "you may not " + joined(cluster.denied),
                   "install as somebody who may (cluster-admin), or have these granted to you"});
  if (!cluster.denied_options.empty())
    out.push_back({"CVT0102", Level::kWarning, where(), "you may not " + joined(cluster.denied_options),
                   "of no matter without the values that need it: cni.startupTaint, global.networkPolicy, global.resourceQuotas, "
                   "controlplane.istiodRemote, and the monitors of Prometheus's operator"});
  if (cluster.denied.empty() && cluster.denied_options.empty())
    out.push_back({"CVT0102", Level::kOk, where(), "you may create, change and delete what the charts consist of", ""});
}

void add_crds(Findings& out, const Seen& cluster) {
  std::size_t istio = 0, gateway = 0;
  for (const json::value& crd : cluster.crds) {
    if (is_ours(crd)) continue;
    const std::string name = name_of(crd);
    if (name.ends_with(".gateway.networking.k8s.io")) ++gateway;
    else if (name.ends_with(".istio.io")) ++istio;
  }
  const auto add = [&](std::size_t count, std::string_view of) {
    if (count > 0)
      out.push_back({"CVT0103", Level::kInfo, where(), culvert::format("{} CRDs {} are somebody else's", count, of),
                     "they stay, and ours of that group are left out; fields that they lack cannot be set"});
  };
  add(istio, "of Istio's kinds");
  add(gateway, "of the Gateway API");
  if (istio == 0 && gateway == 0) out.push_back({"CVT0103", Level::kOk, where(), "no CRDs of anybody else's are in the way", ""});
}

// Istio's node agent stands in nobody's way while it only prepares pods with a sidecar, which ours leaves alone.
Finding istio_cni(const Seen& cluster, const json::value& workload) {
  const auto config = std::ranges::find_if(cluster.istio_cni, [&](const json::value& each) {
    return text_at(each, "/metadata/namespace") == text_at(workload, "/metadata/namespace");
  });
  const std::string ambient = config == cluster.istio_cni.end() ? "" : text_at(*config, "/data/AMBIENT_ENABLED");
  const std::string where = name_of(workload);
  if (ambient == "false")
    return {"CVT0104", Level::kInfo, where, "Istio's node agent is here, for pods with a sidecar alone",
            "of no harm: pods with a sidecar stay outside; do not set its ambient.enabled"};
  if (ambient == "true")
    return {"CVT0104", Level::kError, where, "Istio's node agent takes the same pods as ours (istio.io/dataplane-mode=ambient)",
            "remove it before a namespace is labelled for Culvert: see docs/migrate-from-istio.md"};
  return {"CVT0104", Level::kWarning, where, "Istio's node agent is here, and does not say whether it serves ambient mode",
          "if it does (ambient.enabled of its chart), remove it before a namespace is labelled for Culvert: see "
          "docs/migrate-from-istio.md"};
}

// A mesh that is here already, by one workload of it.
std::optional<Finding> mesh_of(const Seen& cluster, const json::value& workload) {
  const std::string name = text_at(workload, "/metadata/name"), app = label_of(workload, "app");
  const bool here = text_at(workload, "/metadata/namespace") == cluster.name_space;
  const auto found = [&](Level level, std::string text, std::string advice) {
    return Finding{"CVT0104", level, name_of(workload), std::move(text), std::move(advice)};
  };
  if (app == "istiod" && here)
    return found(Level::kError, "Istio's control plane is in the namespace that Culvert is to be installed in",
                 "install Culvert into another namespace (-n culvert-system), or see docs/migrate-from-istio.md");
  if (app == "istiod")
    return found(Level::kWarning, "Istio's control plane is here",
                 "namespaces belong to one mesh at a time: see docs/migrate-from-istio.md");
  if (name == "istio-cni-node") return istio_cni(cluster, workload);
  if (app == "ztunnel")
    return found(Level::kError, "a ztunnel of Istio's is on the nodes",
                 "two share no node: see docs/migrate-from-istio.md, part by part");
  if (name == "kmesh" || app == "kmesh")
    return found(Level::kError, "Kmesh is here, and takes the same pods as ours", "uninstall it first");
  if (!label_of(workload, "linkerd.io/control-plane-component").empty())
    return found(Level::kWarning, "Linkerd is here",
                 "leave namespaces that it injects proxies into without the label istio.io/dataplane-mode");
  return std::nullopt;
}

void add_meshes(Findings& out, const Seen& cluster) {
  const std::size_t before = out.size();
  for (const json::value& workload : cluster.workloads) {
    if (is_ours(workload)) {
      out.push_back({"CVT0110", Level::kInfo, name_of(workload),
                     culvert::format("Culvert {} is installed", label_of(workload, "app.kubernetes.io/version")),
                     "`culvert upgrade` changes it; `culvert verify-install` looks whether it works"});
    } else if (auto mesh = mesh_of(cluster, workload)) {
      out.push_back(*std::move(mesh));
    }
  }
  const auto sidecars = std::ranges::count_if(
      cluster.pods, [](const json::value& pod) { return !annotation_of(pod, "sidecar.istio.io/status").empty(); });
  if (sidecars > 0)
    out.push_back({"CVT0104", Level::kInfo, where(), culvert::format("{} pods have a sidecar of Istio's", sidecars),
                   "they stay outside until they are started again without"});
  if (std::ranges::none_of(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(),
                           [](const Finding& each) { return each.code == "CVT0104"; }))
    out.push_back({"CVT0104", Level::kOk, where(), "no other mesh is here", ""});
}

struct Platform {
  std::string_view name;
  std::string_view advice;
};

std::optional<Platform> platform_of(const Seen& cluster) {
  if (cluster.openshift) return Platform{"OpenShift", "install with --profile openshift"};
  for (const json::value& node : cluster.nodes) {
    const std::string provider = text_at(node, "/spec/providerID"), kubelet = text_at(node, "/status/nodeInfo/kubeletVersion");
    if (provider.starts_with("gce://"))
      return Platform{"GKE",
                      "install with --set global.platform=gke,global.resourceQuotas.enabled=true: CNI's programs are elsewhere, "
                      "and node-critical pods need a quota"};
    if (provider.starts_with("aws://"))
      return Platform{"EKS",
                      "where pods have security groups of their own: POD_SECURITY_GROUP_ENFORCING_MODE=standard of the VPC CNI, "
                      "and port 15008 allowed"};
    if (!label_of(node, "microk8s.io/cluster").empty())
      return Platform{"MicroK8s", "install with --set global.platform=microk8s"};
    if (kubelet.contains("+k3s"))
      return name_of(node).starts_with("k3d-") ? Platform{"k3d", "install with --set global.platform=k3d"}
                                               : Platform{"k3s", "install with --set global.platform=k3s"};
  }
  return std::nullopt;
}

void add_platform(Findings& out, const Seen& cluster) {
  if (const auto platform = platform_of(cluster))
    out.push_back({"CVT0105", Level::kInfo, where(), "this is " + std::string(platform->name), std::string(platform->advice)});
}

void add_cilium(Findings& out, const Seen& cluster) {
  if (cluster.cilium.is_null()) return;
  const auto set = [&](std::string_view key) { return text_at(cluster.cilium, "/data/" + std::string(key)); };
  const bool replaces =
      set("kube-proxy-replacement") == "true" || set("kube-proxy-replacement") == "strict" || set("bpf-lb-sock") == "true";
  if (replaces && set("bpf-lb-sock-hostns-only") != "true")
    out.push_back({"CVT0106", Level::kError, where(),
                   "Cilium translates Services at pods' sockets: ztunnel would not see which Service was meant",
                   "set socketLB.hostNamespaceOnly=true in Cilium's values"});
  if (set("cni-exclusive") == "true")
    out.push_back({"CVT0106", Level::kError, where(), "Cilium puts CNI configuration aside that is not its own",
                   "set cni.exclusive=false in Cilium's values"});
  if (set("mesh-auth-enabled") == "true" || set("enable-wireguard") == "true")
    out.push_back({"CVT0106", Level::kInfo, where(), "Cilium encrypts or authenticates as well",
                   "of no harm; what is in the mesh is encrypted twice"});
}

void add_pod_security(Findings& out, const Seen& cluster) {
  for (const json::value& each : cluster.namespaces) {
    const std::string enforced = label_of(each, "pod-security.kubernetes.io/enforce");
    if (name_of(each) != cluster.name_space || enforced.empty() || enforced == "privileged") continue;
    out.push_back(
        {"CVT0107", Level::kError, name_of(each),
         culvert::format("the namespace lets in no pods beyond `{}`: our agents need capabilities and the node's folders",
                         enforced),
         culvert::format("kubectl label --overwrite namespace {} pod-security.kubernetes.io/enforce=privileged",
                         cluster.name_space)});
  }
}

void add_ports(Findings& out, const Seen& cluster) {
  for (const json::value& pod : cluster.pods) {
    if (flag_at(pod, "/spec/hostNetwork") || !annotation_of(pod, "sidecar.istio.io/status").empty() ||
        label_of(pod, "istio.io/dataplane-mode") == "none")
      continue;
    for (const json::value& container : list_at(pod, "/spec/containers")) {
      for (const json::value& port : list_at(container, "/ports")) {
        const std::int64_t number = number_at(port, "/containerPort");
        if (std::ranges::contains(kPodPorts, number))
          out.push_back({"CVT0108", Level::kWarning, name_of(pod),
                         culvert::format("listens on port {}, which is ztunnel's in pods of the mesh", number),
                         "let it use another port, or keep it out: label istio.io/dataplane-mode=none"});
      }
    }
  }
}

bool lets_tunnels_in(const json::value& port) {
  const std::int64_t first = number_at(port, "/port"), last = number_at(port, "/endPort");
  const std::string protocol = text_at(port, "/protocol");
  if (!protocol.empty() && protocol != "TCP") return false;
  return at(port, "/port") == nullptr || first == kTunnels || (first <= kTunnels && last >= kTunnels);
}

// Whether a policy names ports for what comes in, and not that of tunnels.
bool forbids_tunnels(const json::value& policy) {
  const auto& rules = list_at(policy, "/spec/ingress");
  return std::ranges::any_of(rules, [](const json::value& rule) {
    const auto& ports = list_at(rule, "/ports");
    return !ports.empty() && std::ranges::none_of(ports, lets_tunnels_in);
  });
}

void add_network_policies(Findings& out, const Seen& cluster) {
  std::map<std::string, std::string> found;  // namespace -> policies
  for (const json::value& policy : cluster.network_policies) {
    if (is_ours(policy) || !forbids_tunnels(policy)) continue;
    std::string& names = found[text_at(policy, "/metadata/namespace")];
    names += (names.empty() ? "" : ", ") + text_at(policy, "/metadata/name");
  }
  for (const auto& [ns, names] : found)
    out.push_back({"CVT0109", Level::kWarning, ns,
                   culvert::format("NetworkPolicies let in certain ports, and not {}: {}", kTunnels, names),
                   culvert::format("before the namespace joins the mesh, allow TCP {} beside them", kTunnels)});
}

}  // namespace

Findings judge_cluster(const Seen& cluster) {
  Findings out;
  add_version(out, cluster);
  add_rights(out, cluster);
  add_crds(out, cluster);
  add_meshes(out, cluster);
  add_platform(out, cluster);
  add_cilium(out, cluster);
  add_pod_security(out, cluster);
  add_ports(out, cluster);
  add_network_policies(out, cluster);
  return out;
}

}  // namespace culvert::cli::precheck
