#include "cni/agent/kubernetes.h"

namespace culvert::agent {

std::vector<kube::Wanted> wanted(const std::string& node) {
  return {{.kind = config::Kind::kNamespace}, {.kind = config::Kind::kPod, .fields = "spec.nodeName=" + node}};
}

}  // namespace culvert::agent
