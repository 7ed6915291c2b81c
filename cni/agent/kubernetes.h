#pragma once
// What the agent wants to hear of from the Kubernetes API.

#include <string>
#include <vector>

#include "common/kube/source/kube_source.h"

namespace culvert::agent {

// The pods of this node and no others, and all namespaces, for their labels.
std::vector<kube::Wanted> wanted(const std::string& node);

}  // namespace culvert::agent
