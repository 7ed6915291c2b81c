#pragma once
// What /proc shows of the node's processes, as far as the agent needs it: which of them are pods', and which is the kubelet. Anybody on the node
// may start processes, name them and put them into cgroups of his own: only what root alone can have made is believed.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cni/agent/cgroup_tree.h"

namespace culvert::agent {

struct PodProcess {
  pid_t pid = 0;
  std::uint64_t netns = 0;    // inode of its network namespace
  std::uint64_t started = 0;  // ticks since boot

  friend bool operator==(const PodProcess&, const PodProcess&) = default;
};

class Processes {
 public:
  explicit Processes(std::filesystem::path proc = "/proc") : proc_(std::move(proc)), cgroups_(proc_) {}

  // What is mounted where, anew.
  void refresh() { cgroups_ = CgroupTree(proc_); }
  std::filesystem::path folder(pid_t pid) const { return proc_ / std::to_string(pid); }
  // Ticks since boot; none when there is no such process.
  std::optional<std::uint64_t> started(pid_t pid) const;

  // For each pod (by the kubelet's uid) the oldest of its processes in each network namespace, the oldest of all first: that is its sandbox. Those in
  // the node's own network namespace are left out.
  std::map<std::string, std::vector<PodProcess>> of_pods() const;
  // Whether this process, if there still is one of this number, is of that pod and in that network namespace.
  bool is_of_pod(pid_t pid, const std::string& uid, std::uint64_t netns) const;

  // The kubelets, the oldest first and a few at most: root's processes of its program, and of those that have it inside (k3s, k0s, microk8s), in the
  // node's own network namespace, in a cgroup of root's that is no pod's. Where probes come from.
  std::vector<pid_t> kubelets() const;

 private:
  std::filesystem::path proc_;
  CgroupTree cgroups_;
};

}  // namespace culvert::agent
