#pragma once
// The sysctls of a pod that capture needs. Internal to redirect; call inside the pod's namespace.

#include "bpf/include/culvert_abi.h"
#include "common/base/result.h"

namespace culvert::redirect {

// With these, answers of the application, and resets of closed ports, carry the mark of the packet they answer and so go back over lo.
inline constexpr culvert_sysctls kCapturing{.tcp_fwmark_accept = 1, .fwmark_reflect_v4 = 1, .fwmark_reflect_v6 = 1, .pad = 0};

Result<culvert_sysctls> read_sysctls();
Status write_sysctls(const culvert_sysctls& values);

}  // namespace culvert::redirect
