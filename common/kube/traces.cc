#include "common/kube/traces.h"

#include <utility>

namespace culvert::kube {

Place root_bundle(std::string version) {
  return {.of = {.group = "certificates.k8s.io", .version = std::move(version), .plural = "clustertrustbundles"},
          .name = "istio.io:istiod-ca:root-cert"};
}

std::vector<std::string> root_bundle_versions() { return {"v1", "v1beta1"}; }

Place root_config_map(std::string ns) {
  return {.of = {.plural = "configmaps"}, .ns = std::move(ns), .name = "istio-ca-root-cert"};
}

std::vector<Place> traces(const std::string& ns) {
  std::vector<Place> all = {
      {.of = {.group = "admissionregistration.k8s.io", .plural = "validatingwebhookconfigurations"}, .name = "culvert-validator"},
      {.of = {.group = "coordination.k8s.io", .plural = "leases"}, .ns = ns, .name = "culvertd"},
      {.of = {.plural = "secrets"}, .ns = ns, .name = "istio-ca-secret"},
      {.of = {.plural = "secrets"}, .ns = ns, .name = "culvert-ca-roots"}};
  for (std::string& version : root_bundle_versions()) all.push_back(root_bundle(std::move(version)));
  return all;
}

}  // namespace culvert::kube
