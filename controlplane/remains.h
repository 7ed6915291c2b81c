#pragma once
// What an uninstallation need not wait for, and what it may not take away, by the objects of the API. Pure.

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/kube/request.h"

namespace culvert::controlplane {

// Nodes that still have an agent which was told to end.
struct AgentsLeft {
  std::vector<std::string> awaited;
  std::vector<std::string>
      lost;  // nobody there can end it: the node is gone, is not heard of, or is not ready and the agent's time is over
};
// `now` as Kubernetes writes times.
AgentsLeft agents_left(const boost::json::array& pods, const boost::json::array& nodes, std::string_view now);

// Control planes of this cluster that go on.
struct Others {
  std::vector<std::string> here = {};       // in the namespace: they have the CA and the lease in common with the one that goes
  std::vector<std::string> revisions = {};  // of those
  std::vector<std::string> elsewhere = {};  // in other namespaces: with them, what is the whole cluster's
  bool any() const { return !here.empty() || !elsewhere.empty(); }
  std::string text() const;
};
// By Deployments of culvertd. One that is being deleted is none, and neither is one for another cluster.
Others others_of(const boost::json::array& deployments, std::string_view ns);

// Whether one of them needs what culvertd of the namespace `ns` has written there.
bool is_needed(const Others& others, const kube::Place& place, std::string_view ns);

// Whether one of them is who this Service leads to.
bool is_served(const Others& others, const boost::json::value& service);

}  // namespace culvert::controlplane
