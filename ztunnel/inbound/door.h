#pragma once
// What both ways in share: the question whether a peer may come in, and the connection to the application.

#include <memory>

#include "common/model/admit.h"
#include "common/net/dial.h"
#include "ztunnel/worker/worker.h"

namespace culvert::ztunnel {

// How long a connection is held when its workload names a policy that has not arrived.
inline constexpr std::chrono::seconds kPolicyPatience{1};

// Admits by today's policies of the pod's workload. Holds the connection while a policy is unknown, for kPolicyPatience at most, and
// then denies it.
net::Task<Status> admit(Worker& worker, std::shared_ptr<Pod> pod, model::Peer peer, Endpoint destination);

// How to reach the application at `to` inside the pod so that it sees `client` as its peer. The connection is turned around on lo and
// never leaves the namespace (datapath.md §1.4). Pure but for reading the pod.
net::DialOptions dial_application(const Pod& pod, const Endpoint& client, const Endpoint& to);

}  // namespace culvert::ztunnel
