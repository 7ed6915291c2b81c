#pragma once
// Pinned BPF links: an attachment that outlives us. Internal to the loader.

#include <filesystem>
#include <functional>
#include <string>

#include "common/base/result.h"

namespace culvert::bpf {

// Puts `program` in force at `pin`. Swaps the program of the link that is pinned there, without a moment in which none is
// attached; makes and pins one by `attach` (a descriptor, or -1 and errno) when there is none or what it was attached to is gone.
Status put_link(const std::filesystem::path& pin, int program, const std::function<int()>& attach);

// Detaches and unpins. Succeeds when nothing is pinned.
Status drop_link(const std::filesystem::path& pin);

// Makes `folder` and those above it, which must lie on a bpffs.
Status make_pin_folder(const std::filesystem::path& folder);

}  // namespace culvert::bpf
