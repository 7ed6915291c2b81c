#pragma once
// The cluster that a command asks about: as kubectl finds it, with the mesh's own pods in it. One Loop; outlives the tasks that it gives out.

#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cli/ask/page.h"
#include "common/kube/client.h"

namespace culvert::cli {

struct ClusterFlags {
  std::string kubeconfig = {};  // empty: $KUBECONFIG, ~/.kube/config, or what a pod finds
  std::string context = {};     // empty: the current one
  std::string system_namespace = "istio-system";
};

struct Pod {
  kube::Key key = {};
  std::string app = {};  // the label
  std::string node = {};
  bool ready = false;
  std::vector<std::string> containers = {};
};

class Cluster {
 public:
  // Asks nobody yet.
  static Result<Cluster> open(net::Loop& loop, const ClusterFlags& options);

  kube::Client& client() const { return *client_; }
  const std::string& system_namespace() const { return system_namespace_; }

  // Pods with these labels ("app=ztunnel"), of a node when one is named: the ready ones first, then by name. Not those that have ended.
  net::Task<Result<std::vector<Pod>>> pods(std::string name_space, std::string labels, std::string node = {});
  // The replicas of the control plane that run. Fails when there is none.
  net::Task<Result<std::vector<Pod>>> control_plane();
  // "web-0", "web-0.shop", "deployment/web.shop": its pods; `name_space` where the word says none. Fails when there is none.
  net::Task<Result<std::vector<Pod>>> pods_called(std::string word, std::string name_space);

  // A port of localhost in the pod.
  Target target(const Pod& pod, std::uint16_t port) const;

 private:
  Cluster(std::shared_ptr<kube::Client> client, std::string system_namespace)
      : client_(std::move(client)), system_namespace_(std::move(system_namespace)) {}
  net::Task<Result<std::string>> selector_of(std::string kind, kube::Key key);

  std::shared_ptr<kube::Client> client_;
  std::string system_namespace_;
};

// What a list's item says of a pod. Pure.
Pod pod_of(const boost::json::object& item);

// Where culvertd shows its own pages, in its pod.
inline constexpr std::uint16_t kControlPlaneDebugPort = 8080;

}  // namespace culvert::cli
