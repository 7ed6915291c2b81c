#include "cni/agent/kubelet.h"

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <fstream>

#include "common/base/format.h"

namespace culvert::agent {
namespace {

// 0: it cannot be told.
std::uint64_t netns_inode(const std::string& process) {
  struct stat status{};
  return ::stat(culvert::format("/proc/{}/ns/net", process).c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

std::string foreign_kubelet(std::span<const std::filesystem::path> cgroups) {
  const auto ours = netns_inode("thread-self");
  if (ours == 0) return {};
  for (const auto& cgroup : cgroups) {
    std::ifstream processes(cgroup / "cgroup.procs");
    for (pid_t pid = 0; processes >> pid;) {
      const auto theirs = pid == 0 ? 0 : netns_inode(std::to_string(pid));  // 0: of another PID namespace
      if (theirs == 0 || theirs == ours) continue;
      return culvert::format(
          "culvert-node runs in network namespace {}, the kubelet (pid {}) in {}: its probes are taken for ordinary traffic, and "
          "refused where mTLS is STRICT (run culvert-node in the host's network namespace: hostNetwork: true)",
          ours, pid, theirs);
    }
  }
  return {};
}

}  // namespace culvert::agent
