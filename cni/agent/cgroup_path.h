#pragma once
// Whose a process is, read from its cgroup. Pure.

#include <string>
#include <string_view>

namespace culvert::agent {

// The uid of the pod whose process has this /proc/PID/cgroup; empty when it is no pod's. Of a static pod, the kubelet's uid: 32 digits. Knows
// what kubelets make with the drivers cgroupfs and systemd, with either cgroup version, inside of kind's nodes and others:
//
//   0::/kubepods/burstable/pod9d2c7a10-.../a3f0...                                          cgroupfs
//   0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod9d2c7a10_....slice/cri-containerd-a3f0....scope     systemd; crio-...
//   0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod9d2c7a10_....slice/...   kind
//   0::/../../kubepods/...                                                                from within another cgroup namespace
//
// The outermost pod counts: what a pod makes below its own cgroup, it may name as it likes.
std::string pod_of_cgroup(std::string_view cgroup);

}  // namespace culvert::agent
