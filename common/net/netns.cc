#include "common/net/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include "common/base/check.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace culvert::net {

Status in_netns(int fd, const std::function<Status()>& function) {
  if (fd < 0) return function();
  thread_local const Result<Fd> home = current_netns();  // no thread of ours changes its namespace otherwise
  if (!home) return std::unexpected(home.error());
  if (::setns(fd, CLONE_NEWNET) != 0) return failure_errno("entering a network namespace (CAP_SYS_ADMIN is needed)");
  auto result = function();
  CULVERT_CHECK(::setns(home->get(), CLONE_NEWNET) == 0);
  return result;
}

Result<std::uint64_t> netns_cookie(int fd) {
  std::uint64_t cookie = 0;
  auto read = in_netns(fd, [&]() -> Status {
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t size = sizeof cookie;
    if (!socket || ::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
      return failure_errno("reading a network namespace's cookie");
    return {};
  });
  if (!read) return std::unexpected(std::move(read.error()));
  return cookie;
}

Result<Fd> open_netns(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return failure_errno("opening network namespace " + path);
  return fd;
}

Result<Fd> current_netns() { return open_netns("/proc/thread-self/ns/net"); }

}  // namespace culvert::net
