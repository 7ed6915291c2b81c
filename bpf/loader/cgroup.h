#pragma once
// Where cgroup2 is and which cgroup is which. On hybrid hosts cgroup2 is mounted beside the v1 hierarchies
// (/sys/fs/cgroup/unified); a cgroup's id is the inode number of its folder.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "common/base/result.h"

namespace culvert::bpf {

// The mount point of cgroup2, from the text of a mountinfo file. The first that shows the most of the hierarchy wins.
Result<std::filesystem::path> cgroup2_root(std::string_view mountinfo);
// The same, of this process.
Result<std::filesystem::path> cgroup2_root();

// The id of the cgroup whose folder this is.
Result<std::uint64_t> cgroup_id(const std::filesystem::path& folder);

// Whether processes live in the cgroup of this id, or below it. True also when that cannot be told.
bool cgroup_populated(const std::filesystem::path& root, std::uint64_t id);

// Where the cgroup of this path, as /proc/PID/cgroup has it, is to be seen: both are as seen from this process' cgroup namespace, in which a mount may show
// what is beside it or above.
Result<std::filesystem::path> cgroup_folder(std::string_view mountinfo, std::string_view path);
// That of the cgroup2 that a process lives in: ztunnel's, from its ZDS peer.
Result<std::filesystem::path> cgroup_of(pid_t process);

}  // namespace culvert::bpf
