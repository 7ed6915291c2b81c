#pragma once
// What a pod's network namespace was before the first agent touched it, kept in the kernel as long as the pod is ours: agents of any
// version that come after know it.

#include <cstdint>

#include "bpf/loader/datapath.h"
#include "common/base/result.h"

namespace culvert::agent {

// Notes it, unless that was done before. Before redirect::prepare. `captured`: an agent that noted nothing has prepared the namespace, so
// that what is seen there is its doing; the kernel's defaults are noted then.
Status note_original(const bpf::Datapath& datapath, int netns, std::uint64_t cookie, bool captured);

// redirect::restore, to what was noted; to the kernel's defaults when nothing was. The note goes with Datapath::forget.
Status restore_original(const bpf::Datapath& datapath, int netns, std::uint64_t cookie);

}  // namespace culvert::agent
