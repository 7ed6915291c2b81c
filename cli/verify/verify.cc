#include "cli/verify/verify.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <utility>

#include "cli/ask/plane.h"
#include "cli/objects/objects.h"
#include "cli/verify/handshake.h"
#include "cli/verify/judge.h"
#include "cli/verify/mesh.h"
#include "common/base/format.h"
#include "common/base/settings.h"
#include "common/base/version.h"

namespace culvert::cli::verify {
namespace {

namespace json = boost::json;

const kube::Query kOurs{{"labelSelector", "app.kubernetes.io/part-of=culvert"}};

net::Task<Status> see(kube::Client& client, kube::Place place, json::array& into, kube::Query query = {}, bool metadata = false) {
  auto found = co_await find_all(client, std::move(place), std::move(query), metadata);
  if (!found) co_return std::unexpected(std::move(found).error());
  into = std::move(*found);
  co_return Status();
}

net::Task<Status> see_objects(kube::Client& client, Seen& seen) {
  const std::string& ns = seen.name_space;
  const kube::Collection deployments{.group = "apps", .plural = "deployments"},
      daemon_sets{.group = "apps", .plural = "daemonsets"};
  const kube::Collection slices{.group = "discovery.k8s.io", .plural = "endpointslices"}, maps{.plural = "configmaps"};
  if (auto done = co_await see(client, {.of = deployments, .ns = ns}, seen.deployments, kOurs); !done) co_return done;
  if (auto done = co_await see(client, {.of = daemon_sets, .ns = ns}, seen.daemon_sets, kOurs); !done) co_return done;
  if (auto done = co_await see(client, {.of = {.plural = "nodes"}}, seen.nodes); !done) co_return done;
  if (auto done = co_await see(client, {.of = {.plural = "namespaces"}}, seen.namespaces, {}, true); !done) co_return done;
  if (auto done = co_await see(client, {.of = {.plural = "pods"}}, seen.pods); !done) co_return done;
  if (auto done = co_await see(client, {.of = maps}, seen.roots, {{"fieldSelector", "metadata.name=istio-ca-root-cert"}}); !done)
    co_return done;
  if (auto done =
          co_await see(client, {.of = slices, .ns = ns}, seen.slices, {{"labelSelector", "kubernetes.io/service-name=culvertd"}});
      !done)
    co_return done;
  auto webhook =
      co_await find_object(client, {.of = {.group = "admissionregistration.k8s.io", .plural = "validatingwebhookconfigurations"},
                                    .name = "culvert-validator"});
  if (!webhook) co_return std::unexpected(std::move(webhook).error());
  seen.webhook = std::move(*webhook);
  co_return Status();
}

// What the containers of workloads are told by a variable of their environment.
std::string told(const json::array& workloads, std::string_view name, std::string fallback) {
  for (const json::value& each : workloads) {
    for (const json::value& container : list_at(each, "/spec/template/spec/containers")) {
      for (const json::value& variable : list_at(container, "/env"))
        if (text_at(variable, "/name") == name) return text_at(variable, "/value");
    }
  }
  return fallback;
}

net::Task<> see_proxies(Cluster& cluster, const Options& options, Seen& seen) {
  const auto pods = co_await cluster.control_plane();
  if (!pods) {
    seen.unasked.push_back(pods.error().text);
    co_return;
  }
  for (const Pod& pod : *pods) {
    const auto page =
        co_await get_page(cluster.client().loop(), cluster.target(pod, kControlPlaneDebugPort), "/debug/syncz", options.patience);
    auto proxies = page ? read_proxies(pod.key.name, *page) : std::unexpected(page.error());
    if (proxies) std::ranges::move(*proxies, std::back_inserter(seen.proxies));
    else seen.unasked.push_back(proxies.error().text);
  }
}

std::string root_of(const Seen& seen) {
  for (const json::value& map : seen.roots)
    if (text_at(map, "/metadata/namespace") == seen.name_space) return text_at(map, "/data/root-cert.pem");
  return "";
}

net::Task<Result<Mesh>> see_mesh(kube::Client& client, const Seen& seen) {
  auto config = co_await find_object(client, {.of = {.plural = "configmaps"}, .ns = seen.name_space, .name = "istio"});
  if (!config) co_return std::unexpected(std::move(config).error());
  co_return mesh_of({.system_namespace = seen.name_space,
                     .trust_domain = told(seen.deployments, "TRUST_DOMAIN", "cluster.local"),
                     .root_namespace = told(seen.deployments, "ROOT_NAMESPACE", ""),
                     .roots_pem = root_of(seen),
                     .config = std::move(*config),
                     .namespaces = seen.namespaces});
}

// One pod on each node, until one has shown what it is: one good handshake is what is promised, and each bad one is told.
net::Task<> shake(kube::Client& client, const Options& options, const Seen& seen, const Mesh& mesh, Findings& findings) {
  const std::string roots = root_of(seen);
  for (const json::value& pod : members_by_node(seen)) {
    const std::string account = text_at(pod, "/spec/serviceAccountName"), ns = text_at(pod, "/metadata/namespace");
    const Identity identity{mesh.trust_domain, ns, account.empty() ? "default" : account};
    const auto seen_hand = co_await shake_hands(client, {ns, text_at(pod, "/metadata/name")}, identity, roots, options.patience);
    if (!seen_hand) {
      findings.push_back({"CVT0308", Level::kError, name_of(pod),
                          "a handshake with its tunnel port failed: " + seen_hand.error().text,
                          "look at the log of the ztunnel on its node"});
      continue;
    }
    findings.push_back({"CVT0308", Level::kOk, name_of(pod),
                        culvert::format("it proves to be {} ({}, {}, until {}), and turns away who proves nothing",
                                        identity.uri(), seen_hand->cipher, seen_hand->group, seen_hand->expires),
                        ""});
  }
}

net::Task<Result<Findings>> look(Cluster& cluster, const Options& options) {
  Seen seen{.name_space = cluster.system_namespace(), .version = std::string(kVersion)};
  if (auto done = co_await see_objects(cluster.client(), seen); !done) co_return std::unexpected(std::move(done).error());
  if (const auto read =
          settings::Value<std::vector<std::string>>::parse(told(seen.daemon_sets, "EXCLUDE_NAMESPACES", "kube-system")))
    seen.excluded = *read;
  const auto mesh = co_await see_mesh(cluster.client(), seen);
  if (!mesh) co_return std::unexpected(mesh.error());
  seen.left_out = mesh->left_out;
  if (!seen.deployments.empty()) co_await see_proxies(cluster, options, seen);
  Findings findings = judge(seen);
  if (options.handshake) co_await shake(cluster.client(), options, seen, *mesh, findings);
  co_return findings;
}

void print(const Options& options, const Findings& findings) {
  if (options.json) {
    std::fputs(to_json(findings).c_str(), stdout);
    return;
  }
  std::fputs(to_table(findings).c_str(), stdout);
  const auto errors = count(findings, Level::kError), warnings = count(findings, Level::kWarning);
  std::printf("\n%s: %zu errors, %zu warnings\n", errors > 0 ? "Culvert does not work as it should" : "Culvert works", errors,
              warnings);
}

}  // namespace

int verify_install(const Options& options) {
  net::Loop loop;
  auto cluster = Cluster::open(loop, options.cluster);
  const Result<Findings> findings = cluster ? loop.run(look(*cluster, options)) : std::unexpected(cluster.error());
  if (!findings) {
    std::fprintf(stderr, "culvert: %s\n", findings.error().text.c_str());
    return 1;
  }
  print(options, *findings);
  return count(*findings, Level::kError) > 0 ? 1 : 0;
}

}  // namespace culvert::cli::verify
