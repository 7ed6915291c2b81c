#pragma once
// The end of an agent on Kubernetes. One that is replaced leaves everything in force for its successor. One whose DaemonSet is being deleted takes the
// mesh off the node: the plugin first, so that new pods start without us; then the pods, in order, while ztunnel still carries what is open; the kernel
// programs, and then the sockets of our own, last.

#include <memory>

#include "cni/agent/ask_endpoint.h"
#include "cni/agent/node.h"
#include "cni/agent/settings.h"
#include "cni/install/installer.h"
#include "common/kube/client.h"

namespace culvert::agent {

// What is to be installed, from the settings.
install::Places places_of(const Settings& settings);
install::Wish wish_of(const Settings& settings);
// Out of the node's CNI folders, where the settings name them: pods start without us from now on.
Status remove_plugin(const Settings& settings);

// All of them outlive it.
struct Departing {
  kube::Client& client;
  const Settings& settings;
  Node& node;
  AskEndpoint& endpoint;
  std::unique_ptr<install::Installer>& installer;  // null when there is none
};

// Does nothing unless the DaemonSet is gone or going; when nobody can say, what is in force stays in force. Stops where it is when there is one again: what
// is there then is another agent's, or will be.
net::Task<> depart_if_uninstalled(Departing parts);

}  // namespace culvert::agent
