#include "cni/redirect/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include <exception>
#include <format>
#include <thread>

namespace culvert::redirect {

Status in_netns(int netns, const std::function<Status()>& work) {
  Status outcome;
  std::thread([&] {
    if (::setns(netns, CLONE_NEWNET) != 0) {
      outcome = failure_errno("entering the pod's network namespace");
      return;
    }
    outcome = work();
  }).join();
  return outcome;
}

Result<std::uint64_t> netns_cookie(int netns) {
  std::uint64_t cookie = 0;
  const auto read = in_netns(netns, [&]() -> Status {
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof(cookie);
    if (!socket || ::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
      return failure_errno("reading the cookie of the pod's network namespace");
    return {};
  });
  if (!read) return std::unexpected(read.error());
  return cookie;
}

Result<Fd> open_netns(const char* path) {
  Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return failure_errno(std::format("opening network namespace {}", path));
  return fd;
}

}  // namespace culvert::redirect
