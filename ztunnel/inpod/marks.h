#pragma once
// Our ports and marks inside a pod, as the kernel side knows them.

#include <cstdint>

#include "bpf/include/culvert_abi.h"

namespace culvert::ztunnel {

inline constexpr std::uint32_t kMarkEgress = CULVERT_MARK_EGRESS;  // listeners, and connections that leave the pod
inline constexpr std::uint32_t kMarkInPod = CULVERT_MARK_IN_POD;   // our connections to the application
inline constexpr std::uint16_t kPortOutbound = CULVERT_PORT_OUTBOUND;
inline constexpr std::uint16_t kPortInbound = CULVERT_PORT_INBOUND;
inline constexpr std::uint16_t kPortHbone = CULVERT_PORT_HBONE;
inline constexpr std::uint16_t kPortDns = CULVERT_PORT_DNS;

}  // namespace culvert::ztunnel
