#pragma once
// Which pod a cgroup is of, by its path. Pure. Whose the folder is that has that path, cgroup_tree.h tells: who may make folders of his own may
// call them as kubelets do.

#include <string>
#include <string_view>
#include <vector>

namespace culvert::agent {

// One line of /proc/PID/cgroup: where the process is in one hierarchy.
struct CgroupLine {
  std::string_view controllers;  // "" of cgroup2, "cpu,cpuacct" or "name=systemd" of v1
  std::string_view path;         // "/kubepods/..."
};
std::vector<CgroupLine> cgroup_lines(std::string_view text);

struct PodFolder {
  std::string uid;        // as the kubelet has it: that of a static pod is 32 digits. Empty: no pod's
  std::string_view path;  // of the pod's cgroup, down from the root of the hierarchy: what is below it is the pod's own to name
};

// Knows what kubelets make with the drivers cgroupfs and systemd, with either cgroup version, inside of kind's nodes and others: behind the
// folder `kubepods`, wherever that is, at most one for the class of service, and then the pod's.
//
//   /kubepods/burstable/pod9d2c7a10-.../a3f0...                                           cgroupfs
//   /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod9d2c7a10_....slice/cri-containerd-a3f0....scope     systemd; crio-...
//   /kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod9d2c7a10_....slice/...      kind
//   /../../kubepods/...                                                                   from within another cgroup namespace
//   /system.slice/containerd.service/kubepods-pod9d2c7a10_....slice:cri-containerd:a3f0...   the kubelet's driver is systemd, the runtime's is not
//
// The outermost pod counts.
PodFolder pod_of_path(std::string_view path);

}  // namespace culvert::agent
