#include "cni/redirect/address_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "cni/redirect/netns.h"

namespace culvert::redirect {

Result<AddressWatch> AddressWatch::open(int netns) {
  Fd socket;
  const auto opened = in_netns(netns, [&]() -> Status {
    socket.reset(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    sockaddr_nl groups{};
    groups.nl_family = AF_NETLINK;
    groups.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK;  // an interface that comes up needs its route
    if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&groups), sizeof(groups)) != 0)
      return failure_errno("watching the pod's addresses");
    return {};
  });
  if (!opened) return std::unexpected(opened.error());
  return AddressWatch(std::move(socket));
}

Result<bool> AddressWatch::changed() {
  bool any = false;
  for (std::array<char, 8192> buffer;;) {
    if (::recv(socket_.get(), buffer.data(), buffer.size(), 0) >= 0 || errno == ENOBUFS) {
      any = true;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return any;
    return failure_errno("watching the pod's addresses");
  }
}

}  // namespace culvert::redirect
