#pragma once
// Which source ports our connections to applications use. They carry the client's own address, so their port must never be one that the
// client may have in use towards the same application: a range outside the ephemeral one, a part of it for each worker. Pure.

#include <string_view>

#include "common/net/dial.h"

namespace culvert::ztunnel {

// The pod's range for all workers, given its ip_local_port_range. Low ports are left alone: applications listen there.
net::PortRange source_ports_outside(net::PortRange ephemeral);

// The part of worker `index` of `count`; never empty.
net::PortRange part_of(net::PortRange all, unsigned index, unsigned count);

// "32768\t60999\n", as /proc/sys/net/ipv4/ip_local_port_range says it; Linux's default for anything else.
net::PortRange parse_port_range(std::string_view text);

}  // namespace culvert::ztunnel
