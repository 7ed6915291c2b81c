#pragma once
// The life of a connection that an application of a pod opened (protocols.md §6.1): captured by the kernel, planned once, then carried
// through a tunnel or, to what is not in the mesh, in plaintext. What needs a tunnel never falls back to plaintext.

#include <memory>

#include "common/net/stream.h"
#include "common/net/task.h"
#include "ztunnel/worker/worker.h"

namespace culvert::ztunnel {

// `app` is the accepted socket; its local address is the destination that the application asked for.
net::Task<> carry_outbound(Worker& worker, std::shared_ptr<Pod> pod, net::Stream app);

// The same for one who is not the application's socket, but speaks for it: what `source` wants of `original`.
net::Task<> carry_outbound_for(Worker& worker, std::shared_ptr<Pod> pod, net::Stream app, Endpoint source, Endpoint original);

}  // namespace culvert::ztunnel
