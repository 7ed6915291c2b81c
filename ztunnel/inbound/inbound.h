#pragma once
// The two ways into a pod (protocols.md §1.5, §6.2): tunnels on 15008 with a proven identity, and plaintext on 15006 without one.
// Every connection is admitted by policy before the application hears of it, and again whenever the configuration changes.

#include <memory>

#include "common/net/stream.h"
#include "common/net/task.h"
#include "ztunnel/worker/worker.h"

namespace culvert::ztunnel {

// Serves one accepted connection on port 15008 until it is over: handshake, then every CONNECT on it as a life of its own.
net::Task<> serve_tunnel(Worker& worker, std::shared_ptr<Pod> pod, net::Stream socket);

// Carries one captured plaintext connection to the application. `client`'s local address is what it dialled.
net::Task<> carry_plaintext_in(Worker& worker, std::shared_ptr<Pod> pod, net::Stream client);

}  // namespace culvert::ztunnel
