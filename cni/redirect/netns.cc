#include "cni/redirect/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <thread>

#include "common/base/format.h"

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

Result<bool> is_of_our_users(int netns) {
  const Fd users(::ioctl(netns, NS_GET_USERNS));
  // EPERM: one that is not below ours.
  if (!users && errno == EPERM) return false;
  struct stat theirs{}, ours{};
  if (!users || ::fstat(users.get(), &theirs) != 0 || ::stat("/proc/self/ns/user", &ours) != 0)
    return failure_errno("asking whose a network namespace is");
  return theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

std::map<std::uint64_t, Fd> find_netns(const std::set<std::uint64_t>& inodes) {
  std::map<std::uint64_t, Fd> found;
  const auto look_at = [&](const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0 || !inodes.contains(status.st_ino) || found.contains(status.st_ino)) return;
    if (auto netns = open_netns(path.c_str()); netns) found.emplace(status.st_ino, *std::move(netns));
  };
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", ignored)) look_at(entry.path());
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) look_at(entry.path() / "ns" / "net");
  return found;
}

Result<Fd> open_netns(const char* path) {
  Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return failure_errno(culvert::format("opening network namespace {}", path));
  return fd;
}

}  // namespace culvert::redirect
