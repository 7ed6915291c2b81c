#pragma once
// The sysctls of a pod that capture needs. Internal to redirect; call inside the pod's namespace.

#include "common/base/result.h"

namespace culvert::redirect {

// on: answers of the application, and resets of closed ports, carry the mark of the packet they answer and so go back over lo.
Status set_mark_sysctls(bool on);

}  // namespace culvert::redirect
