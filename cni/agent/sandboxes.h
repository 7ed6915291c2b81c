#pragma once
// The network namespaces of pods: from the CNI plugin for a pod that starts, from /proc for one that runs, from an annotation for one out of a
// folder of YAML. Holds them open, so that what a pod is given cannot become another's under the same path or process number. One thread.
//
// What /proc shows, anybody on the node may try to forge: it never displaces a namespace that lives, and it has to be one that the node's root has made,
// unless the pod's own object says that its users are not the node's (hostUsers: false).

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cni/agent/processes.h"
#include "common/base/address.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/config/object.h"

namespace culvert::agent {

// The kubelet's uid of a pod: that of a static pod is another than the API's.
std::string kubelet_uid(const config::Pod& pod);
// The API's, or namespace/name where there is none.
std::string uid_of(const config::Pod& pod);

// Fails when none of the addresses is one of the namespace; nothing is asked when there are none.
Status check_addresses(int netns, const std::vector<IpAddress>& addresses);

class Sandboxes {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    bool annotation = false;  // the pod's own annotation counts (culvert.dev/netns): only where who writes pods rules the node
    bool plugin = false;      // the CNI plugin gives what no annotation says
    bool processes = false;   // /proc is looked through
    std::filesystem::path proc = "/proc";
    std::chrono::milliseconds every{10'000};  // between two looks through /proc, for a process of what the plugin has given
    std::chrono::milliseconds least{1'000};   // ... for a pod's namespace
  };
  explicit Sandboxes(Options options) : options_(std::move(options)), processes_(options_.proc) {}

  // The CNI plugin has been asked to connect this namespace for the pod.
  Status given(const config::Pod& pod, Fd netns);
  // ... or to disconnect it.
  void ended(const config::Pod& pod, std::uint64_t inode);
  // The pod is gone.
  void forget(const config::Pod& pod);

  // Where the pod's namespace is now.
  std::uint64_t inode(const config::Pod& pod);      // 0: there is none, as far as can be seen
  Result<Fd> open(const config::Pod& pod);          // fails when there is none, or when it has none of the pod's addresses
  Status sought(const config::Pod& pod) const;      // fails when it cannot be found, whatever happens
  std::string where(const config::Pod& pod) const;  // for people: "network namespace /run/netns/a", "network namespace"
  bool was_given(const config::Pod& pod) const;     // by the plugin, to this agent

 private:
  struct Sandbox {
    Fd netns;
    std::uint64_t inode = 0;
    pid_t pid = 0;       // a process in it; 0: none is known yet
    bool given = false;  // by the plugin
  };

  void look(bool missing);
  bool lives(const std::string& uid, const Sandbox& sandbox) const;
  void take(const config::Pod& pod, const std::vector<PodProcess>& seen);
  Result<Sandbox> sandbox_of(const config::Pod& pod, const PodProcess& process) const;
  Sandbox* valid(const config::Pod& pod);

  Options options_;
  Processes processes_;
  std::map<std::string, Sandbox> sandboxes_;             // by the kubelet's uid
  std::map<std::string, std::vector<PodProcess>> seen_;  // what /proc showed last
  Clock::time_point looked_{};
};

}  // namespace culvert::agent
