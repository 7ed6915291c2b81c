#include "cni/redirect/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <format>

#include "common/base/fd.h"

namespace culvert::redirect {

Status set_mark_sysctls(bool on) {
  // The first covers both families; the third is absent on a kernel without IPv6.
  for (const char* path :
       {"/proc/sys/net/ipv4/tcp_fwmark_accept", "/proc/sys/net/ipv4/fwmark_reflect", "/proc/sys/net/ipv6/fwmark_reflect"}) {
    const Fd file(::open(path, O_WRONLY | O_CLOEXEC));
    if (!file && errno == ENOENT && std::string_view(path).contains("ipv6")) continue;
    if (!file || ::write(file.get(), on ? "1" : "0", 1) != 1) {
      const char* hint = errno == EROFS ? " (the agent needs a writable /proc/sys: run it privileged)" : "";
      return failure(std::format("setting {} of the pod: {}{}", path, errno_text(errno), hint));
    }
  }
  return {};
}

}  // namespace culvert::redirect
