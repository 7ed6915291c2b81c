#include "cli/verify/judge.h"

#include <algorithm>
#include <set>

#include "cli/objects/objects.h"
#include "cli/verify/place.h"
#include "common/base/base64.h"
#include "common/base/format.h"

namespace culvert::cli::verify {
namespace {

namespace json = boost::json;

constexpr std::string_view kMode = "istio.io/dataplane-mode";
constexpr std::string_view kRedirection = "ambient.istio.io/redirection";
constexpr std::string_view kVersionLabel = "app.kubernetes.io/version";
// Namespaces that get no root.
const std::set<std::string> kRootless = {"kube-system", "kube-public", "kube-node-lease"};

std::string describe(const Seen& seen, std::string_view command) {
  return culvert::format("kubectl -n {} {}", seen.name_space, command);
}

struct Rollout {
  std::string_view kind;
  std::int64_t wanted, updated, available;
};

void add_rollout(Findings& out, const Seen& seen, const json::value& object, const Rollout& counts) {
  const std::string where = text_at(object, "/metadata/name");
  const bool observed = number_at(object, "/status/observedGeneration") >= number_at(object, "/metadata/generation");
  if (observed && counts.updated >= counts.wanted && counts.available >= counts.wanted)
    return out.push_back({"CVT0301", Level::kOk, where,
                          culvert::format("{} of {} are ready and up to date", counts.available, counts.wanted), ""});
  out.push_back(
      {"CVT0301", Level::kError, where,
       culvert::format("of {} wanted, {} are up to date and {} are ready", counts.wanted, counts.updated, counts.available),
       describe(seen, culvert::format("describe {} {}, and its pods", counts.kind, where))});
}

void add_rollouts(Findings& out, const Seen& seen) {
  for (const json::value& each : seen.deployments)
    add_rollout(out, seen, each,
                {"deployment", number_at(each, "/spec/replicas"), number_at(each, "/status/updatedReplicas"),
                 number_at(each, "/status/availableReplicas")});
  for (const json::value& each : seen.daemon_sets)
    add_rollout(out, seen, each,
                {"daemonset", number_at(each, "/status/desiredNumberScheduled"),
                 number_at(each, "/status/updatedNumberScheduled"), number_at(each, "/status/numberAvailable")});
  const auto has = [](const json::array& all, std::string_view app) {
    return std::ranges::any_of(all, [&](const json::value& each) { return label_of(each, "app") == app; });
  };
  if (!has(seen.deployments, "culvertd"))
    out.push_back({"CVT0301", Level::kError, seen.name_space, "there is no Deployment of culvertd",
                   "`culvert install`, or say where it is: -n NAMESPACE"});
  for (const char* app : {"culvert-node", "ztunnel"}) {
    if (!has(seen.daemon_sets, app))
      out.push_back({"CVT0301", Level::kWarning, seen.name_space, culvert::format("there is no DaemonSet of {}", app),
                     "no pod gets into the mesh without; of no matter with the profile minimal"});
  }
}

void add_versions(Findings& out, const Seen& seen) {
  std::map<std::string, std::string> found;  // version -> whose
  for (const auto* all : {&seen.deployments, &seen.daemon_sets}) {
    for (const json::value& each : *all) {
      std::string& names = found[label_of(each, kVersionLabel)];
      names += (names.empty() ? "" : ", ") + text_at(each, "/metadata/name");
    }
  }
  for (const auto& [version, names] : found) {
    const bool same = version == seen.version;
    out.push_back(
        {"CVT0302", same ? Level::kOk : Level::kWarning, names, "version " + (version.empty() ? "unknown" : version),
         same ? ""
              : culvert::format("this program is {}: `culvert upgrade`, or take the program of that version", seen.version)});
  }
}

std::set<std::string> blocks_of(const std::string& pem) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----", kEnd = "-----END CERTIFICATE-----";
  std::set<std::string> blocks;
  for (auto at = pem.find(kBegin); at != pem.npos; at = pem.find(kBegin, at + 1)) {
    const auto end = pem.find(kEnd, at);
    if (end == pem.npos) break;
    std::string block = pem.substr(at, end - at);
    std::erase_if(block, [](char c) { return c == '\n' || c == '\r'; });
    blocks.insert(std::move(block));
  }
  return blocks;
}

// The roots of the mesh, as they are published in its own namespace.
std::string root_of(const Seen& seen, const std::string& ns) {
  const auto map =
      std::ranges::find_if(seen.roots, [&](const json::value& each) { return text_at(each, "/metadata/namespace") == ns; });
  return map == seen.roots.end() ? "" : text_at(*map, "/data/root-cert.pem");
}

void add_webhook(Findings& out, const Seen& seen) {
  const std::string where = "culvert-validator";
  const auto& hooks = list_at(seen.webhook, "/webhooks");
  if (hooks.empty())
    return out.push_back({"CVT0303", Level::kError, where,
                          "the webhook is not registered: what is wrong with a policy is not said when it is applied",
                          describe(seen, "logs deployment/culvertd: may it write ValidatingWebhookConfigurations?")});
  const auto roots = blocks_of(root_of(seen, seen.name_space));
  for (const json::value& hook : hooks) {
    const auto bundle = blocks_of(from_base64(text_at(hook, "/clientConfig/caBundle")).value_or(""));
    const bool known = std::ranges::any_of(bundle, [&](const std::string& block) { return roots.contains(block); });
    if (!known)
      out.push_back({"CVT0303", Level::kError, where,
                     culvert::format("{} trusts none of the mesh's roots (caBundle)", text_at(hook, "/name")),
                     "policies cannot be applied; does something else write the caBundle (cert-manager's injector)?"});
  }
  std::size_t ready = 0;
  for (const json::value& slice : seen.slices)
    for (const json::value& endpoint : list_at(slice, "/endpoints")) ready += flag_at(endpoint, "/conditions/ready") ? 1 : 0;
  if (ready == 0)
    out.push_back({"CVT0303", Level::kError, where, "the Service culvertd has no ready endpoint: policies cannot be applied",
                   describe(seen, "get pods -l app=culvertd")});
  if (std::ranges::none_of(out, [](const Finding& one) { return one.code == "CVT0303"; }))
    out.push_back({"CVT0303", Level::kOk, where,
                   culvert::format("{} webhooks trust the mesh's root, {} culvertd answer", hooks.size(), ready), ""});
}

void add_roots(Findings& out, const Seen& seen) {
  const auto root = blocks_of(root_of(seen, seen.name_space));
  if (root.empty())
    return out.push_back({"CVT0304", Level::kError, seen.name_space,
                          "there is no root certificate (ConfigMap istio-ca-root-cert)",
                          describe(seen, "logs deployment/culvertd: is its CA in order?")});
  std::size_t have = 0;
  for (const json::value& each : seen.namespaces) {
    const std::string ns = name_of(each);
    if (kRootless.contains(ns) || seen.left_out.contains(ns) || !text_at(each, "/metadata/deletionTimestamp").empty()) continue;
    if (blocks_of(root_of(seen, ns)) == root) ++have;
    else
      out.push_back({"CVT0304", Level::kError, ns,
                     root_of(seen, ns).empty() ? "has no ConfigMap istio-ca-root-cert"
                                               : "its ConfigMap istio-ca-root-cert has other roots than the mesh's",
                     "does another istiod write it? culvertd's log says so (culvert_root_configmaps_contested)"});
  }
  out.push_back({"CVT0304", Level::kOk, "cluster", culvert::format("{} namespaces have the mesh's root", have), ""});
}

bool is_ready(const json::value& pod) {
  return std::ranges::any_of(list_at(pod, "/status/conditions"), [](const json::value& each) {
    return text_at(each, "/type") == "Ready" && text_at(each, "/status") == "True";
  });
}

// The pod of a DaemonSet on a node; null: none.
const json::value* on_node(const Seen& seen, const std::string& node, std::string_view app) {
  const auto found = std::ranges::find_if(seen.pods, [&](const json::value& pod) {
    return text_at(pod, "/metadata/namespace") == seen.name_space && label_of(pod, "app") == app &&
           text_at(pod, "/spec/nodeName") == node && text_at(pod, "/metadata/deletionTimestamp").empty();
  });
  return found == seen.pods.end() ? nullptr : &*found;
}

void add_connection(Findings& out, const Seen& seen, const std::string& node) {
  const auto proxy = std::ranges::find(seen.proxies, node, &Proxy::node);
  if (proxy == seen.proxies.end()) {
    if (seen.unasked.empty())
      out.push_back({"CVT0306", Level::kError, node, "its ztunnel is connected to no culvertd: nothing that changes reaches it",
                     "its log says why: is culvertd:15012 reachable from the node's pods?"});
    return;
  }
  if (!proxy->refused.empty())
    out.push_back({"CVT0306", Level::kError, node, "its ztunnel refuses configuration: " + proxy->refused,
                   "`culvert proxy-status`; it keeps the last good version"});
  else if (proxy->current)
    out.push_back({"CVT0306", Level::kOk, node, "ztunnel is connected and has the configuration of now", ""});
  else
    out.push_back({"CVT0306", Level::kWarning, node,
                   culvert::format("ztunnel has epoch {} of {} in force", proxy->acked, proxy->epoch),
                   "look again; `culvert wait --all` says what it lacks"});
}

// Why neither agent nor ztunnel is wanted on a node; empty: both are. Several DaemonSets may share the nodes among them.
std::string kept_out(const Seen& seen, const json::value& node) {
  const std::string name = name_of(node);
  if (on_node(seen, name, "culvert-node") != nullptr || on_node(seen, name, "ztunnel") != nullptr) return "";
  if (is_virtual(node)) return "is a virtual node: no agent can run there";
  const bool wanted = std::ranges::any_of(seen.daemon_sets, [&](const json::value& each) { return chooses(each, node); });
  return wanted ? "" : "the node selectors of culvert-node and ztunnel leave it out";
}

void add_nodes(Findings& out, const Seen& seen) {
  for (const std::string& error : seen.unasked)
    out.push_back({"CVT0306", Level::kError, "culvertd", error,
                   "who is connected is not known; asking needs the right to create pods/portforward"});
  if (seen.daemon_sets.empty()) return;
  for (const json::value& node : seen.nodes) {
    const std::string name = name_of(node);
    if (text_at(node, "/status/nodeInfo/operatingSystem") != "linux") continue;
    if (const std::string why = kept_out(seen, node); !why.empty()) {
      out.push_back({"CVT0305", Level::kInfo, name, why, "a pod there cannot be in the mesh"});
      continue;
    }
    bool all = true;
    for (const char* app : {"culvert-node", "ztunnel"}) {
      const json::value* pod = on_node(seen, name, app);
      if (pod != nullptr && is_ready(*pod)) continue;
      all = false;
      out.push_back({"CVT0305", Level::kError, name,
                     pod == nullptr ? culvert::format("no {} runs there", app) : culvert::format("its {} is not ready", app),
                     pod == nullptr ? "tolerations, node selector, or a quota: kubectl describe daemonset"
                                    : describe(seen, "logs " + text_at(*pod, "/metadata/name"))});
    }
    if (all) out.push_back({"CVT0305", Level::kOk, name, "agent and ztunnel are ready", ""});
    add_connection(out, seen, name);
  }
}

// One that has been told to end may have no sandbox any more while its phase says that it runs.
bool runs(const json::value& pod) {
  return text_at(pod, "/status/phase") == "Running" && text_at(pod, "/metadata/deletionTimestamp").empty();
}

// As culvert-node decides; what it cannot know here, it does not change.
bool belongs(const Seen& seen, const json::value& pod) {
  const std::string ns = text_at(pod, "/metadata/namespace"), own = label_of(pod, kMode);
  if (flag_at(pod, "/spec/hostNetwork") || !annotation_of(pod, "sidecar.istio.io/status").empty() ||
      std::ranges::contains(seen.excluded, ns))
    return false;
  if (!runs(pod)) return false;
  if (own == "ambient" || own == "none") return own == "ambient";
  const auto its = std::ranges::find_if(seen.namespaces, [&](const json::value& each) { return name_of(each) == ns; });
  return its != seen.namespaces.end() && label_of(*its, kMode) == "ambient";
}

void add_members(Findings& out, const Seen& seen) {
  std::size_t in = 0;
  for (const json::value& pod : seen.pods) {
    if (!belongs(seen, pod)) continue;
    const std::string said = annotation_of(pod, kRedirection);
    if (said == "enabled") ++in;
    else
      out.push_back({"CVT0307", Level::kError, name_of(pod),
                     said.empty() ? "belongs to the mesh and is not in it" : "belongs to the mesh and is not in it yet: " + said,
                     "kubectl describe pod says why; so does /pods of the agent on its node"});
  }
  out.push_back({"CVT0307", in > 0 ? Level::kOk : Level::kInfo, "cluster", culvert::format("{} pods are in the mesh", in),
                 in > 0 ? "" : "kubectl label namespace NAME istio.io/dataplane-mode=ambient brings a namespace's in"});
}

}  // namespace

Findings judge(const Seen& seen) {
  Findings out;
  add_rollouts(out, seen);
  add_versions(out, seen);
  add_webhook(out, seen);
  add_roots(out, seen);
  add_nodes(out, seen);
  add_members(out, seen);
  return out;
}

std::vector<json::value> members_by_node(const Seen& seen) {
  std::vector<json::value> out;
  std::set<std::string> nodes;
  for (const json::value& pod : seen.pods) {
    if (annotation_of(pod, kRedirection) == "enabled" && runs(pod) &&
        !seen.left_out.contains(text_at(pod, "/metadata/namespace")) && nodes.insert(text_at(pod, "/spec/nodeName")).second)
      out.push_back(pod);
  }
  return out;
}

}  // namespace culvert::cli::verify
