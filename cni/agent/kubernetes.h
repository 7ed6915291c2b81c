#pragma once
// How the agent reaches the Kubernetes API, and what it wants to hear of there.

#include <string>
#include <vector>

#include "cni/agent/settings.h"
#include "common/kube/access.h"
#include "common/kube/source/kube_source.h"

namespace culvert::agent {

// The configured kubeconfig, or what a pod finds.
Result<kube::Access> access_of(const Settings& settings);

// The pods of this node and no others, and all namespaces, for their labels.
std::vector<kube::Wanted> wanted(const std::string& node);

}  // namespace culvert::agent
