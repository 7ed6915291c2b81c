#include "cni/agent/kubernetes.h"

namespace culvert::agent {

Result<kube::Access> access_of(const Settings& settings) {
  if (settings.kubeconfig.empty()) {
    auto access = kube::Access::in_cluster();
    if (!access) access.error().text += " (set --kubeconfig, or --config-dir for a folder of YAML)";
    return access;
  }
  return kube::Access::from_kubeconfig(settings.kubeconfig.string(), settings.context);
}

std::vector<kube::Wanted> wanted(const std::string& node) {
  return {{.kind = config::Kind::kNamespace}, {.kind = config::Kind::kPod, .fields = "spec.nodeName=" + node}};
}

}  // namespace culvert::agent
