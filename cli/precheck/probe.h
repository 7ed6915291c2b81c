#pragma once
// A look at nodes that the API does not give: a pod on each prints what its machine is like (`culvert-node precheck`). Internal to precheck.

#include <string>
#include <vector>

#include "cli/precheck/precheck.h"
#include "common/node_facts/facts.h"

namespace culvert::cli::precheck {

struct Probed {
  std::string node;
  bool started = false;
  Result<node_facts::Facts> facts = failure("its pod was not heard");
};

// The pod that looks at one node: reads its root, and may do nothing.
std::string probe_pod(const Options& options, const std::string& name, const std::string& node);

// Starts a pod on each, hears them, and deletes them whatever comes of it.
net::Task<std::vector<Probed>> probe_nodes(kube::Client& client, const Options& options, std::vector<std::string> nodes);

}  // namespace culvert::cli::precheck
