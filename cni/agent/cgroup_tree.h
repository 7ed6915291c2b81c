#pragma once
// The node's cgroups as far as it matters who made them. A login user's service manager, a rootless runtime and others get a cgroup of their own,
// in which they name what they make as they like: what is said of a process by the path of its cgroup holds only where every folder of it is root's.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/mounts.h"

namespace culvert::agent {

class CgroupTree {
 public:
  // Sees what is mounted now.
  explicit CgroupTree(const std::filesystem::path& proc = "/proc");

  // The uid (cgroup_path.h) of the pod that a process with this /proc/PID/cgroup is of; empty: no pod's.
  std::string pod_of(std::string_view cgroup) const;
  // Whether its cgroup2 is root's.
  bool is_roots(std::string_view cgroup) const;

 private:
  bool is_roots(std::string_view controllers, std::string_view path) const;

  std::vector<Mount> mounts_;
};

}  // namespace culvert::agent
