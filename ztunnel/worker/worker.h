#pragma once
// One of the threads that carry traffic. Whatever lives here is touched on this thread alone; from outside come only immutable
// snapshots and functions posted to its loop. A connection never changes its worker.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "common/hbone/pool.h"
#include "common/model/mesh.h"
#include "common/net/event.h"
#include "common/net/published.h"
#include "ztunnel/identity/identities.h"
#include "ztunnel/record/counters.h"
#include "ztunnel/settings.h"
#include "ztunnel/worker/handshakes.h"
#include "ztunnel/worker/pod.h"
#include "ztunnel/worker/tunnels.h"

namespace culvert::ztunnel {

// How long a new pod's connections wait for its workload to appear in the mesh.
inline constexpr std::chrono::seconds kWorkloadPatience{5};
Error unknown_workload(const Pod& pod);
Error left_the_mesh(const Pod& pod);  // once it has

// The workload that a pod of this node is. Null when the mesh does not know it, or knows it on another node.
model::WorkloadRef own_workload(const model::Mesh& mesh, const zds::Pod& pod, const std::string& node);

using MeshView = std::shared_ptr<net::Published<model::Mesh>::View>;

class Worker {
 public:
  struct Parts {
    net::Loop* loop = nullptr;
    const Settings* settings = nullptr;
    unsigned index = 0;  // of `count` workers
    unsigned count = 1;
    MeshView mesh;
    std::function<void(const Identity&)> ask_certificate;  // told once for each identity that we lack
  };
  explicit Worker(Parts parts);
  ~Worker();
  Worker(const Worker&) = delete;

  net::Loop& loop() { return *parts_.loop; }
  const Settings& settings() const { return *parts_.settings; }
  unsigned index() const { return parts_.index; }
  unsigned count() const { return parts_.count; }
  const std::shared_ptr<const model::Mesh>& mesh() const { return parts_.mesh->get(); }
  net::Event& mesh_changed() { return mesh_changed_; }  // notified after each switch to a new mesh
  hbone::Pool& pool() { return *pool_; }
  const hbone::TunnelOptions& tunnel_options() const { return tunnel_options_; }  // of tunnels that come in
  Handshakes& handshakes() { return handshakes_; }
  Tunnels& tunnels() { return tunnels_; }
  Identities& identities() { return identities_; }
  Counters& counters() { return counters_; }
  Counts counts();  // with those of the pool
  std::uint64_t random() { return random_(); }
  // True once in ten seconds, for a warning about what would otherwise be warned of fifty times a second.
  bool may_complain();

  // Pods. removing one ends all of its connections with `reason`, and its tunnels.
  std::shared_ptr<Pod> add_pod(zds::Pod name, Netns netns, SourcePorts source_ports);
  void remove_pod(const std::shared_ptr<Pod>& pod, Reason reason);
  const std::map<std::uint64_t, std::shared_ptr<Pod>>& pods() const { return pods_; }  // by the cookie of their namespace

  // The pod's own workload in today's mesh, if it is known.
  static const model::WorkloadRef& own_workload(const Pod& pod) { return pod.own; }
  // The same, waiting for it to appear.
  net::Task<model::WorkloadRef> await_workload(std::shared_ptr<Pod> pod, net::Clock::duration patience);

  // A certificate was fetched, renewed or given up.
  void set_identity(const Identity& identity, Identities::Value value);

  // Live connections of all pods; `idle` is notified when the last one ends.
  std::size_t live() const;
  net::Event& idle() { return idle_; }
  void drain();  // no tunnel takes another connection; what lives goes on
  // What drain() waits for: live connections, and tunnels whose peers have not heard of it or have asked for more before they did.
  std::size_t unfinished() const;
  void stop_all(Reason reason);

 private:
  Result<hbone::DialPlan> plan_dial(const hbone::PoolKey& key);
  void check_again();

  Parts parts_;
  hbone::TunnelOptions tunnel_options_;
  Handshakes handshakes_;
  Tunnels tunnels_;
  Counters counters_;
  Identities identities_;
  net::Event mesh_changed_;
  net::Event idle_;
  std::map<std::uint64_t, std::shared_ptr<Pod>> pods_;
  std::mt19937_64 random_;
  net::Clock::time_point complain_again_{};
  std::unique_ptr<hbone::Pool> pool_;
};

}  // namespace culvert::ztunnel
