#pragma once
// What /proc shows of the node's processes, as far as the agent needs it: which of them are pods', and which is the kubelet.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace culvert::agent {

struct PodProcess {
  pid_t pid = 0;
  std::uint64_t netns = 0;    // inode of its network namespace
  std::uint64_t started = 0;  // ticks since boot

  friend bool operator==(const PodProcess&, const PodProcess&) = default;
};

// For each pod (by the kubelet's uid) the oldest of its processes, which is its sandbox. Pods in the node's own network namespace are left out.
std::map<std::string, PodProcess> pod_processes(const std::filesystem::path& proc = "/proc");

// Whether this process, if there still is one of this number, is of that pod and in that network namespace.
bool is_of_pod(const std::filesystem::path& proc, pid_t pid, const std::string& uid, std::uint64_t netns);

// The kubelets among the processes in the node's own network namespace that are no pod's: those of its program, and of those that have it inside
// (k3s, k0s, microk8s). Where probes come from.
std::vector<pid_t> kubelets(const std::filesystem::path& proc = "/proc");

}  // namespace culvert::agent
