#pragma once
// Network namespaces.

#include <concepts>
#include <cstdint>
#include <functional>
#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::net {

// Runs `function` with this thread in the network namespace `fd`, then comes back to where it was. A socket made inside
// stays in that namespace for ever; nothing else of the thread's doing should happen inside. Fails if the namespace cannot be entered;
// a failure to come back ends the program (the thread would act for the wrong pod). About 0.8 µs; -1 runs in place.
Status in_netns(int fd, const std::function<Status()>& function);

// The kernel's never reused number of a network namespace.
Result<std::uint64_t> netns_cookie(int fd);

Result<Fd> open_netns(const std::string& path);  // "/proc/self/ns/net", "/run/netns/x"
Result<Fd> current_netns();                      // of the calling thread

}  // namespace culvert::net
