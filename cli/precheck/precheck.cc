#include "cli/precheck/precheck.h"

#include <array>
#include <cstdio>
#include <utility>

#include "cli/objects/objects.h"
#include "cli/precheck/judge.h"
#include "cli/precheck/probe.h"
#include "common/base/format.h"

namespace culvert::cli::precheck {
namespace {

namespace json = boost::json;

kube::Place all_of(std::string group, std::string plural, std::string version = "v1") {
  return {.of = {.group = std::move(group), .version = std::move(version), .plural = std::move(plural)}};
}

// What helm does to each object when it installs, upgrades and uninstalls the charts.
constexpr std::array kVerbs = {"get", "create", "patch", "delete"};
constexpr const char* kPrometheus = "monitoring.coreos.com";

struct Right {
  std::string verb;
  kube::Place place;
  bool optional = false;  // only with certain values
};

// Whatever the charts can consist of. What Prometheus's operator knows only counts where it is.
std::vector<Right> rights(const std::string& ns, bool with_operator) {
  const std::string roles = "rbac.authorization.k8s.io", admission = "admissionregistration.k8s.io";
  std::vector<Right> out{{"create", all_of("", "namespaces")},
                         {"list", all_of("apiextensions.k8s.io", "customresourcedefinitions")},
                         {"list", {.of = {.plural = "secrets"}, .ns = ns}}};  // helm's records
  const auto add = [&out](const std::string& where, bool optional, std::initializer_list<kube::Place> places) {
    for (kube::Place place : places) {
      place.ns = where;
      for (const char* verb : kVerbs) out.push_back({verb, place, optional});
    }
  };
  add("", false,
      {all_of("apiextensions.k8s.io", "customresourcedefinitions"), all_of(roles, "clusterroles"),
       all_of(roles, "clusterrolebindings")});
  add(ns, false,
      {all_of("apps", "deployments"), all_of("apps", "daemonsets"), all_of("", "services"), all_of("", "serviceaccounts"),
       all_of("", "configmaps"), all_of("", "secrets"), all_of(roles, "roles"), all_of(roles, "rolebindings"),
       all_of("policy", "poddisruptionbudgets"), all_of("autoscaling", "horizontalpodautoscalers", "v2"),
       all_of("batch", "jobs")});
  add("", true, {all_of(admission, "validatingadmissionpolicies"), all_of(admission, "validatingadmissionpolicybindings")});
  add(ns, true,
      {all_of("networking.k8s.io", "networkpolicies"), all_of("discovery.k8s.io", "endpointslices"),
       all_of("", "resourcequotas")});
  if (with_operator)
    add(ns, true,
        {all_of(kPrometheus, "servicemonitors"), all_of(kPrometheus, "podmonitors"), all_of(kPrometheus, "prometheusrules")});
  return out;
}

// Fills a list, or says that it cannot be seen.
net::Task<> see(kube::Client& client, kube::Place place, json::array& into, Findings& findings, bool metadata = false,
                kube::Query query = {}) {
  auto found = co_await find_all(client, place, std::move(query), metadata);
  if (found) std::ranges::move(*found, std::back_inserter(into));
  else
    findings.push_back({"CVT0100", Level::kWarning, "cluster", found.error().text,
                        "look again as somebody who may see it: what depends on it was not checked"});
}

net::Task<Status> see_rights(kube::Client& client, Seen& cluster) {
  const auto monitoring = co_await client.exchange(kube::get_path(culvert::format("/apis/{}", kPrometheus)));
  if (!monitoring) co_return std::unexpected(monitoring.error());
  for (const Right& each : rights(cluster.name_space, kube::is_success(monitoring->status))) {
    const auto allowed = co_await may(client, each.verb, each.place);
    if (!allowed) co_return std::unexpected(allowed.error());
    if (!*allowed) (each.optional ? cluster.denied_options : cluster.denied).push_back(each.verb + " " + each.place.of.text());
  }
  co_return Status();
}

// Without an answer to the first question nothing else is asked: the server is not there, or does not know us.
net::Task<Status> see_cluster(kube::Client& client, Seen& cluster, Findings& findings) {
  const auto version = co_await client.call(kube::get_path("/version"));
  if (!version) co_return std::unexpected(version.error());
  boost::system::error_code ignored;
  cluster.version = text_at(json::parse(version->body, ignored), "/gitVersion");
  if (auto done = co_await see_rights(client, cluster); !done) co_return done;
  const auto openshift = co_await client.exchange(kube::get_path("/apis/config.openshift.io"));
  cluster.openshift = openshift && kube::is_success(openshift->status);
  co_await see(client, all_of("", "nodes"), cluster.nodes, findings);
  co_await see(client, all_of("", "namespaces"), cluster.namespaces, findings, true);
  co_await see(client, all_of("", "pods"), cluster.pods, findings);
  co_await see(client, all_of("apiextensions.k8s.io", "customresourcedefinitions"), cluster.crds, findings, true);
  co_await see(client, all_of("apps", "deployments"), cluster.workloads, findings, true);
  co_await see(client, all_of("apps", "daemonsets"), cluster.workloads, findings, true);
  co_await see(client, all_of("networking.k8s.io", "networkpolicies"), cluster.network_policies, findings);
  kube::Place cilium = all_of("", "configmaps");
  cilium.ns = "kube-system";
  cilium.name = "cilium-config";
  if (auto found = co_await find_object(client, cilium)) cluster.cilium = std::move(*found);
  co_await see(client, all_of("", "configmaps"), cluster.istio_cni, findings, false,
               {{"fieldSelector", "metadata.name=istio-cni-config"}});
  co_return Status();
}

net::Task<> see_nodes(kube::Client& client, const Options& options, const json::array& nodes, Findings& findings) {
  std::vector<std::string> names;
  for (const json::value& node : nodes) {
    if (text_at(node, "/status/nodeInfo/operatingSystem") == "linux") names.push_back(name_of(node));
  }
  std::vector<std::pair<std::string, node_facts::Facts>> seen;
  for (Probed& each : co_await probe_nodes(client, options, std::move(names))) {
    if (!each.facts) {
      findings.push_back({"CVT0200", Level::kError, each.node, each.facts.error().text,
                          "without --probe-nodes what the API knows of it is all that is checked"});
      continue;
    }
    std::ranges::move(judge_facts(each.node, *each.facts), std::back_inserter(findings));
    seen.emplace_back(each.node, std::move(*each.facts));
  }
  std::ranges::move(compare_facts(seen), std::back_inserter(findings));
}

net::Task<Result<Findings>> look(kube::Client& client, const Options& options) {
  Findings findings;
  Seen cluster{.name_space = options.cluster.system_namespace};
  if (auto done = co_await see_cluster(client, cluster, findings); !done) co_return std::unexpected(std::move(done).error());
  std::ranges::move(judge_cluster(cluster), std::back_inserter(findings));
  if (options.probe) co_await see_nodes(client, options, cluster.nodes, findings);
  else std::ranges::move(judge_nodes(cluster.nodes), std::back_inserter(findings));
  co_return findings;
}

void print(const Options& options, const Findings& findings) {
  if (options.json) return std::fputs(to_json(findings).c_str(), stdout), void();
  std::fputs(to_table(findings).c_str(), stdout);
  const auto errors = count(findings, Level::kError), warnings = count(findings, Level::kWarning);
  std::printf("\n%s: %zu errors, %zu warnings%s\n",
              errors > 0 ? "Culvert cannot be installed like this" : "Culvert can be installed", errors, warnings,
              options.local || options.probe ? "" : " (of nodes only what the API says: --probe-nodes looks at more)");
}

}  // namespace

int precheck(const Options& options) {
  Result<Findings> findings = Findings();
  if (options.local) {
    findings = judge_facts("this machine", node_facts::read_facts(options.root));
  } else {
    net::Loop loop;
    const auto cluster = Cluster::open(loop, options.cluster);
    if (!cluster) return std::fprintf(stderr, "culvert: %s\n", cluster.error().text.c_str()), 1;
    findings = loop.run(look(cluster->client(), options));
  }
  if (!findings) return std::fprintf(stderr, "culvert: %s\n", findings.error().text.c_str()), 1;
  print(options, *findings);
  return count(*findings, Level::kError) > 0 ? 1 : 0;
}

}  // namespace culvert::cli::precheck
