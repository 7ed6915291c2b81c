#pragma once
// The taint that a node may be registered with, so that no pod comes to it before its agent is there: taken away once pods can be brought into the
// mesh. Needs get and patch of nodes, which the chart grants with the setting alone, under a policy that keeps an agent to this taint of its own node.

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/kube/client.h"

namespace culvert::agent {

// The merge patch that takes every taint of that key, whatever its value and effect, off the node whose JSON is `node`; empty when it has none. The patch
// holds what was read: when the node has changed meanwhile, the API server refuses it (409). Fails when `node` cannot be read. Pure.
Result<std::string> untaint(std::string_view node, std::string_view key);

// Asks until it is done: every few seconds while the API server or a right is missing, which is logged once for each reason.
net::Task<> take_taint_away(kube::Client& client, std::string node, std::string key);

}  // namespace culvert::agent
