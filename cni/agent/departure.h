#pragma once
// The end of an agent on Kubernetes. One that is replaced leaves everything in force for its successor. One whose DaemonSet is being deleted takes the
// mesh off the node: the plugin first, so that new pods start without us; then the pods, in order, while ztunnel still carries what is open; the kernel
// programs, and then the sockets of our own, last.

#include <memory>

#include "cni/agent/node.h"
#include "cni/agent/settings.h"
#include "cni/install/installer.h"
#include "common/kube/client.h"

namespace culvert::agent {

// Whether the DaemonSet is gone or going. Not being able to ask says that it is not: what is in force stays in force.
net::Task<bool> is_uninstalled(kube::Client& client, std::string name_space, std::string daemonset);

// What is to be installed, from the settings.
install::Places places_of(const Settings& settings);
install::Wish wish_of(const Settings& settings);
// Out of the node's CNI folders, where the settings name them: pods start without us from now on.
Status remove_plugin(const Settings& settings);

net::Task<> depart(Node& node, const Settings& settings, std::unique_ptr<install::Installer>& installer);

}  // namespace culvert::agent
