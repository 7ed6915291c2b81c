#pragma once
// Policy rules and routes of a pod, one family at a time. Internal to redirect; call inside the pod's namespace.
//
//   pref  99  fwmark 0x715                    lookup main         DNS: ztunnel's own queries go out
//   pref 100  fwmark 0x716/0xffe              lookup 100          captured sockets, and ztunnel's way to the application
//   pref 101  iif lo ipproto udp dport 53     lookup 100          DNS: everybody else's
//   pref 102  fwmark 0x716/0xffe              unreachable         what table 100 does not cover never leaves in the clear
//   table 100: local default dev lo src POD metric 1
//              local default dev IF src POD metric 10+   for sockets bound to an interface
// `src` is mandatory: without it the kernel takes the destination as the source of a local route.

#include <optional>

#include "cni/redirect/netlink.h"
#include "common/base/address.h"
#include "common/base/result.h"

namespace culvert::redirect {

Status add_capture_rules(Netlink& netlink, int family);
Status add_dns_rules(Netlink& netlink, int family);
Status remove_capture_rules(Netlink& netlink, int family);
Status remove_dns_rules(Netlink& netlink, int family);

// Makes table 100 exactly what it should be for a pod of this address; empty without one.
Status set_routes(Netlink& netlink, int family, const std::optional<IpAddress>& pod);

}  // namespace culvert::redirect
