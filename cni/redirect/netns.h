#pragma once
// Doing something inside another network namespace.

#include <cstdint>
#include <functional>
#include <map>
#include <set>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace culvert::redirect {

// Runs `work` in the namespace, on a thread of its own that ends with it: the caller's threads never change theirs.
Status in_netns(int netns, const std::function<Status()>& work);

// The kernel's identity of a namespace: unique until the next boot, never used again.
Result<std::uint64_t> netns_cookie(int netns);

// Whether a namespace belongs to our own user namespace, as what the node's root makes does. One that an unprivileged process has made belongs to
// another.
Result<bool> is_of_our_users(int netns);

// Opens the namespaces of these inodes, as far as a process or a file of /run/netns shows them.
std::map<std::uint64_t, Fd> find_netns(const std::set<std::uint64_t>& inodes);

// Opens the namespace of a path: /proc/PID/ns/net, /run/netns/NAME.
Result<Fd> open_netns(const char* path);

}  // namespace culvert::redirect
