#pragma once
// What a program of ours asks of the kernel for itself, whoever has got hold of it: a seccomp filter that the program puts on itself at its start, for good,
// on top of that of the container runtime (docs/adr/0025-a-filter-of-our-own.md).
//
//   a call that no program of ours makes, and that gives power    EPERM: mounts, other namespaces, keys, modules, other processes' memory, clocks, ...
//   a call that is newer than this list, clone3                   ENOSYS, so that libraries fall back to an older one
//   sockets other than of files, IP and netlink                   EAFNOSUPPORT
//   calls of another architecture                                 the end of the process
//   everything else                                               allowed

#include <linux/filter.h>

#include <vector>

#include "common/base/result.h"

namespace culvert::sandbox {

// What one program needs of that which the others must not have.
struct Needs {
  bool network_namespaces = false;  // entering them by setns(2); no other kind, and making none
  bool kernel_programs = false;     // bpf(2)
  bool other_programs = false;      // starting them: the credential plugin of a kubeconfig, for which the filter holds as well
};

inline constexpr Needs kZtunnel{.network_namespaces = true};
inline constexpr Needs kCulvertd{};
inline constexpr Needs kNode{.network_namespaces = true, .kernel_programs = true};

// For all threads of the process, and what it starts. Takes no_new_privs as well. Fails when the kernel has no filters; then nothing has changed but that.
// Does nothing where a sanitizer watches over memory: it stops threads by ptrace(2) when the process ends.
Status confine(const Needs& needs);

// What confine() does, sanitizer or not; and what it hands the kernel.
Status enforce(std::vector<sock_filter> filter);
std::vector<sock_filter> filter_of(const Needs& needs);

}  // namespace culvert::sandbox
