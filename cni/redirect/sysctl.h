#pragma once
// The sysctls of a pod that capture needs. Internal to redirect; call inside the pod's namespace.

#include "bpf/include/culvert_abi.h"
#include "common/base/result.h"

namespace culvert::redirect {

// With the first three, answers of the application, and resets of closed ports, carry the mark of the packet they answer and so go back over
// lo. With the last, connections that a ztunnel has not accepted when it closes its listeners go to the ztunnel that listens beside it.
inline constexpr culvert_sysctls kCapturing{
    .tcp_fwmark_accept = 1, .fwmark_reflect_v4 = 1, .fwmark_reflect_v6 = 1, .tcp_migrate_req = 1};

Result<culvert_sysctls> read_sysctls();
Status write_sysctls(const culvert_sysctls& values);

}  // namespace culvert::redirect
