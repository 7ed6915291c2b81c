#pragma once
// Prepares a pod's network namespace for capture and restores it: sysctls, policy rules and routes of datapath.md §1.1, by rtnetlink.
// Nothing here captures anything by itself; that begins with Datapath::attach_lookup and Datapath::enrol.
// `netns` is a descriptor of the namespace (/proc/PID/ns/net or a bind mount). Calls take no locks and may block for
// microseconds; each may be repeated and repairs what it finds half done.

#include <optional>
#include <string>
#include <vector>

#include "bpf/include/culvert_abi.h"
#include "common/base/address.h"
#include "common/base/result.h"

namespace culvert::redirect {

// The addresses that applications of the pod connect from: the pod's own, as Kubernetes shows them.
struct PodAddresses {
  std::optional<IpAddress> v4;
  std::optional<IpAddress> v6;
};

// The sysctls of the namespace that prepare() changes, as they are now.
Result<culvert_sysctls> sysctls(int netns);

// Makes the namespace ready for marked sockets. A family in which the pod has no address is made unreachable for captured
// connections, so that none leaves in the clear. Call again when the addresses change.
Status prepare(int netns, const PodAddresses& addresses);

// Turns DNS queries (UDP port 53) of the pod around to ztunnel, or no longer. On: after attach_lookup and a filled DNS slot, else
// queries are refused meanwhile. Off: before detach_lookup.
Status capture_dns(int netns, bool on);

// Removes everything of prepare() and capture_dns(), when the last marked socket is gone (see marked_sockets). The sysctls become what they
// were `before`.
Status restore(int netns, const culvert_sysctls& before);

// TCP sockets of the namespace that carry one of our two in-pod marks.
struct MarkedSockets {
  std::size_t open = 0;        // connections that would hang after restore()
  std::size_t connecting = 0;  // of these, applications' that nobody has answered yet: without the lookup program nobody will
};
Result<MarkedSockets> marked_sockets(int netns);

// Every address of the namespace but 127.0.0.0/8 and ::1: secondary and link-local ones included.
Result<std::vector<IpAddress>> own_addresses(int netns);

// The pod's addresses of global scope that a default route would use: what PodAddresses is when Kubernetes has not told yet.
Result<PodAddresses> primary_addresses(int netns);

}  // namespace culvert::redirect
