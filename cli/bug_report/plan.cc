#include "cli/bug_report/plan.h"

#include <utility>

#include "common/base/format.h"
#include "common/config/kinds.h"

namespace culvert::cli {
namespace {

Piece objects(kube::Collection of, std::string name_space = {}, kube::Query query = {}, std::vector<std::string> versions = {}) {
  if (versions.empty()) versions = {of.version};
  std::string file = culvert::format("cluster/{}{}.json", of.text(), name_space.empty() ? "" : "." + name_space);
  kube::Request request = kube::list({std::move(of), std::move(name_space)}, std::move(query));
  return {.file = std::move(file),
          .what = Piece::What::kObjects,
          .request = std::move(request),
          .versions = std::move(versions),
          .optional = true};
}

Piece page(const Pod& pod, std::uint16_t port, std::string path, std::string file) {
  return {.file = culvert::format("pods/{}/{}", pod.key.name, file),
          .what = Piece::What::kPage,
          .pod = pod,
          .port = port,
          .path = std::move(path)};
}

Piece log(const Pod& pod, const std::string& container, bool before, const LogLimits& limits) {
  kube::Request request = kube::get({{.plural = "pods"}, pod.key.ns, pod.key.name, "log"});
  request.query = {
      {"container", container}, {"tailLines", std::to_string(limits.lines)}, {"limitBytes", std::to_string(limits.bytes)}};
  if (before) request.query.emplace_back("previous", "true");
  return {.file = culvert::format("pods/{}/{}{}.log", pod.key.name, container, before ? ".previous" : ""),
          .what = Piece::What::kText,
          .request = std::move(request),
          .optional = before};
}

}  // namespace

std::string Piece::text() const {
  if (what == What::kPage) return culvert::format("pod {}:{}{}", pod.key.text(), port, path);
  const bool previous = request.query.size() > 3;
  return request.text() + (request.at.subresource == "log"
                               ? culvert::format(" ({}{})", request.query.front().second, previous ? ", of before" : "")
                               : "");
}

std::vector<Piece> cluster_pieces(const std::string& system_namespace) {
  std::vector<Piece> out;
  out.push_back({.file = "cluster/version.json", .what = Piece::What::kText, .request = kube::get_path("/version")});
  for (const char* plural : {"nodes", "namespaces", "pods", "services", "serviceaccounts"})
    out.push_back(objects({.plural = plural}));
  out.push_back(objects({"discovery.k8s.io", "v1", "endpointslices"}));
  for (const config::CustomKind& kind : config::custom_kinds())
    out.push_back(objects({kind.group, kind.versions.front(), kind.plural}, {}, {}, kind.versions));
  for (const char* plural : {"daemonsets", "deployments"}) out.push_back(objects({"apps", "v1", plural}, system_namespace));
  out.push_back(objects({.plural = "events"}, system_namespace));
  out.push_back(objects({.plural = "configmaps"}, system_namespace, {{"fieldSelector", "metadata.name=istio"}}));
  out.push_back(objects({"coordination.k8s.io", "v1", "leases"}, system_namespace));
  out.push_back(objects({"networking.k8s.io", "v1", "networkpolicies"}));
  out.push_back(objects({"admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"}, "",
                        {{"fieldSelector", "metadata.name=culvert-validator"}}));
  return out;
}

std::vector<Piece> pod_pieces(const Pod& pod, const LogLimits& limits) {
  std::vector<Piece> out;
  if (pod.app == "culvertd") {
    for (const char* name : {"syncz", "epochs", "configz", "settings", "resources", "config_dump"})
      out.push_back(page(pod, kControlPlaneDebugPort, std::string("/debug/") + name, std::string(name) + ".json"));
    out.push_back(page(pod, kControlPlaneDebugPort, "/version", "version.txt"));
    out.push_back(page(pod, 15014, "/metrics", "metrics.txt"));
  } else if (pod.app == "ztunnel") {
    out.push_back(page(pod, 15000, "/config_dump", "config_dump.json"));
    out.push_back(page(pod, 15000, "/logging", "logging.txt"));
    out.push_back(page(pod, 15020, "/metrics", "metrics.txt"));
  } else {
    for (const char* name : {"pods", "settings"})
      out.push_back(page(pod, 9876, std::string("/") + name, std::string(name) + ".json"));
    out.push_back(page(pod, 15014, "/metrics", "metrics.txt"));
  }
  for (const std::string& container : pod.containers)
    for (const bool before : {false, true}) out.push_back(log(pod, container, before, limits));
  return out;
}

}  // namespace culvert::cli
