#include "cni/redirect/redirect.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "cni/redirect/netns.h"
#include "cni/redirect/rules.h"
#include "cni/redirect/sysctl.h"

namespace culvert::redirect {
namespace {

// `work` once for each family, inside the namespace.
Status for_both_families(int netns, const std::function<Status(Netlink&, int family)>& work) {
  return in_netns(netns, [&]() -> Status {
    auto netlink = Netlink::open(NETLINK_ROUTE);
    if (!netlink) return std::unexpected(netlink.error());
    if (auto done = work(*netlink, AF_INET); !done) return done;
    return work(*netlink, AF_INET6);
  });
}

}  // namespace

Result<culvert_sysctls> sysctls(int netns) {
  Result<culvert_sysctls> values;
  const auto entered = in_netns(netns, [&]() -> Status {
    values = read_sysctls();
    return {};
  });
  if (!entered) return std::unexpected(entered.error());
  return values;
}

Status prepare(int netns, const PodAddresses& addresses) {
  if (auto done = in_netns(netns, [] { return write_sysctls(kCapturing); }); !done) return done;
  return for_both_families(netns, [&](Netlink& netlink, int family) -> Status {
    // Routes first: a rule without them would cut captured connections that live, when this repairs a half-done set-up.
    if (auto done = set_routes(netlink, family, family == AF_INET ? addresses.v4 : addresses.v6); !done) return done;
    return add_capture_rules(netlink, family);
  });
}

Status capture_dns(int netns, bool on) { return for_both_families(netns, on ? add_dns_rules : remove_dns_rules); }

Status restore(int netns, const culvert_sysctls& before) {
  const auto removed = for_both_families(netns, [](Netlink& netlink, int family) -> Status {
    if (auto done = remove_dns_rules(netlink, family); !done) return done;
    if (auto done = remove_capture_rules(netlink, family); !done) return done;
    return set_routes(netlink, family, std::nullopt);
  });
  if (!removed) return removed;
  return in_netns(netns, [&] { return write_sysctls(before); });
}

}  // namespace culvert::redirect
