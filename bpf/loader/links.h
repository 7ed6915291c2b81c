#pragma once
// Pinned BPF links: an attachment that outlives us. Internal to the loader.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "common/base/result.h"

namespace culvert::bpf {

// Puts `program` in force at `pin`. Swaps the program of the link that is pinned there, without a moment in which none is
// attached; makes and pins one by `attach` (a descriptor, or -1 and errno) when there is none, what it was attached to is gone, or it
// is attached to another cgroup than `cgroup` (an id; 0: does not matter).
Status put_link(const std::filesystem::path& pin, int program, std::uint64_t cgroup, const std::function<int()>& attach);

// Only swaps. Succeeds when nothing is pinned or what it was attached to is gone.
Status swap_link(const std::filesystem::path& pin, int program);

// The inode of the network namespace that a link is attached to; 0 when that has ended, or nothing is pinned.
Result<std::uint64_t> netns_of_link(const std::filesystem::path& pin);

// Detaches and unpins. Succeeds when nothing is pinned.
Status drop_link(const std::filesystem::path& pin);

// Makes `folder` and those above it, which must lie on a bpffs.
Status make_pin_folder(const std::filesystem::path& folder);

}  // namespace culvert::bpf
