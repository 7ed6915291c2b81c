#pragma once
// culvert-node --unload: the mesh leaves this node.

#include "cni/agent/settings.h"

namespace culvert::agent {

// Takes the plugin out of the node's CNI folders, where the settings name them, and everything that is pinned out of the kernel, of any version, and
// restores the pods' network namespaces, sysctls included: what they dial and what is sent to them goes without ztunnel from now on. A pod that still
// has connections through ztunnel after finish_grace keeps the routes that those need; they catch nothing else.
Status unload(const Settings& settings);

}  // namespace culvert::agent
