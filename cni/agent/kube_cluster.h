#pragma once
// The Cluster of a Kubernetes API server: annotations are patches of pods/status, news are Events. On the client's loop.
//
// What ClusterRole culvert-node grants for this: get, list and watch of pods and namespaces; patch of pods/status; create and patch of events.

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "cni/agent/cluster.h"
#include "cni/agent/kube_events.h"
#include "common/kube/client.h"
#include "common/net/event.h"
#include "common/telemetry/registry.h"

namespace culvert::agent {

struct KubeClusterOptions {
  std::string node;
  std::chrono::milliseconds pending{1'000};   // a pod that gets into the mesh sooner never says that it waits for that
  std::chrono::milliseconds patience{5'000};  // of a look
};

class KubeCluster final : public Cluster {
 public:
  KubeCluster(kube::Client& client, KubeClusterOptions options, telemetry::Registry& registry);

  net::Task<Status> say(std::shared_ptr<const config::Pod> pod, Redirection redirection) override;
  // Nothing: pods come with their annotations, and the node takes back what does not hold.
  Status prune(const std::set<std::string>&) override { return {}; }
  void tell(const config::Pod& pod, News news) override { events_.tell(pod, std::move(news)); }
  net::Task<Result<Fresh>> look(std::string name_space, std::string pod) override;

 private:
  bool says(const config::Pod& pod, Redirection redirection) const;
  net::Task<> say_later(std::shared_ptr<const config::Pod> pod, std::uint64_t turn);
  net::Task<Status> patch(std::shared_ptr<const config::Pod> pod, Redirection redirection);
  net::Task<Result<config::ObjectPtr>> get(kube::Place at);

  kube::Client& client_;
  const KubeClusterOptions options_;
  KubeEvents events_;
  std::map<std::string, std::uint64_t> waiting_;  // uid of a pod that is about to say "pending", and whose turn that is
  std::uint64_t turns_ = 0;
  std::map<std::string, Redirection> said_;  // by uid: what was patched last
  std::set<std::string> sending_;            // uids of those that are saying so now
  net::Event sent_;
};

}  // namespace culvert::agent
