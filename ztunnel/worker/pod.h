#pragma once
// One pod of this node as one worker sees it.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>

#include "common/base/fd.h"
#include "common/hbone/server.h"
#include "common/model/baggage.h"
#include "common/model/mesh.h"
#include "common/net/dial.h"
#include "common/zds/messages.h"
#include "ztunnel/worker/live.h"

namespace culvert::ztunnel {

// A pod's network namespace. Immutable, shared between threads.
struct Netns {
  std::shared_ptr<const Fd> fd;
  std::uint64_t cookie = 0;
};

// Source ports of one worker's connections to applications (inbound/source_ports.h).
struct SourcePorts {
  net::PortRange own;   // this worker's alone
  net::PortRange more;  // every worker's, once those do not do
};

// Shared by the listeners and the connections of the pod; outlives its place in the worker's table for as long as those do.
struct Pod {
  zds::Pod name;
  Netns netns;
  SourcePorts source_ports;
  model::WorkloadRef own;  // in the worker's present mesh; null when it is not known there
  std::string baggage;     // of `described`
  model::WorkloadRef described;
  LiveSet live;
  std::set<std::shared_ptr<hbone::ServerControl>> tunnels;  // that came in
  std::size_t handshakes = 0;                               // of those, under way (handshakes.h)
  std::optional<model::Mesh::PolicySets> checked;           // the policies that all of `live` passed; nothing: not known
  bool gone = false;                                        // left the mesh, or we are ending: nothing new is begun
  Reason why_gone = Reason::kPodRemoved;

  // What a tunnel says of the pod's own workload: made once for each version of it.
  const std::string& baggage_of(const model::WorkloadRef& workload) {
    if (described != workload) {
      baggage = model::baggage(*workload);
      described = workload;
    }
    return baggage;
  }
};

}  // namespace culvert::ztunnel
