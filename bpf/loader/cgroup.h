#pragma once
// Where cgroup2 is and which cgroup is which. On hybrid hosts cgroup2 is mounted beside the v1 hierarchies
// (/sys/fs/cgroup/unified); a cgroup's id is the inode number of its folder.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string_view>

#include "common/base/mounts.h"
#include "common/base/result.h"

namespace culvert::bpf {

// The mount point of cgroup2, from the text of a mountinfo file. The first that shows the most of the hierarchy wins.
Result<std::filesystem::path> cgroup2_root(std::string_view mountinfo);
// The same, of this process.
Result<std::filesystem::path> cgroup2_root();

// The id of the cgroup whose folder this is.
Result<std::uint64_t> cgroup_id(const std::filesystem::path& folder);

// Whether processes live in the cgroup of this id, or below it: this is, or was, its folder. True also when that cannot be told. Needs no capability.
bool cgroup_populated(const std::filesystem::path& folder, std::uint64_t id);

// The folders of the cgroups of these ids, as far as they are there and can be entered. Walks the whole tree below `root`: for the beginning of a program.
// Fails when not even that can be read.
Result<std::map<std::uint64_t, std::filesystem::path>> find_cgroups(const std::filesystem::path& root,
                                                                    const std::set<std::uint64_t>& ids);

// Where a cgroup's folder is to be seen.
struct CgroupPlace {
  std::filesystem::path mount;  // of its hierarchy
  std::filesystem::path below;  // the rest of the way; empty when it is the mount's root

  std::filesystem::path folder() const { return below.empty() ? mount : mount / below; }
};

// Where the cgroup of this path, as /proc/PID/cgroup has it, is to be seen: both are as seen from this process' cgroup namespace, in which a mount may show
// what is beside it or above. `controllers` says of which hierarchy, as that file does: "" is cgroup2, else one of v1 ("cpu,cpuacct", "name=systemd").
Result<CgroupPlace> cgroup_place(std::span<const Mount> mounts, std::string_view controllers, std::string_view path);
// The folder of one in cgroup2.
Result<std::filesystem::path> cgroup_folder(std::string_view mountinfo, std::string_view path);
// That of the cgroup2 that a process lives in: ztunnel's, from its ZDS peer.
Result<std::filesystem::path> cgroup_of(pid_t process);

}  // namespace culvert::bpf
