#pragma once
// Which source ports our connections to applications use. They carry the client's own address, so their port must never be one that the
// client may have in use towards the same application: a range outside the ephemeral one. Above it, if there is room: below are ports
// that applications listen on. Each worker has a part for itself; how many connections one client may have to one application
// must not depend on the number of workers, so beyond its part each may use another range whole, where the kernel finds what is free. Pure.

#include <string_view>

#include "common/net/dial.h"
#include "ztunnel/worker/pod.h"

namespace culvert::ztunnel {

// Those of worker `index` of `count` in a pod, given its ip_local_port_range. Low ports are left alone.
SourcePorts source_ports(net::PortRange ephemeral, unsigned index, unsigned count);

// The part of worker `index` of `count`; never empty.
net::PortRange part_of(net::PortRange all, unsigned index, unsigned count);

// "32768\t60999\n", as /proc/sys/net/ipv4/ip_local_port_range says it; Linux's default for anything else.
net::PortRange parse_port_range(std::string_view text);

}  // namespace culvert::ztunnel
