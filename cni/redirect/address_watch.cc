#include "cni/redirect/address_watch.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "cni/redirect/netns.h"

namespace culvert::redirect {

namespace {

bool concerns_us(const char* bytes, int size) {
  for (auto* header = reinterpret_cast<const nlmsghdr*>(bytes); mnl_nlmsg_ok(header, size);
       header = mnl_nlmsg_next(header, &size)) {
    if (header->nlmsg_type != RTM_NEWRULE && header->nlmsg_type != RTM_NEWROUTE) return true;
  }
  return false;
}

}  // namespace

Result<AddressWatch> AddressWatch::open(int netns) {
  Fd socket;
  const auto opened = in_netns(netns, [&]() -> Status {
    socket.reset(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
    sockaddr_nl groups{};
    groups.nl_family = AF_NETLINK;
    // An interface that comes up needs its route, and what others flush is to be put back. The last group has no mask of its own.
    groups.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK | RTMGRP_IPV4_RULE | RTMGRP_IPV4_ROUTE |
                       RTMGRP_IPV6_ROUTE | (1U << (RTNLGRP_IPV6_RULE - 1));
    if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&groups), sizeof(groups)) != 0)
      return failure_errno("watching the pod's addresses");
    return {};
  });
  if (!opened) return std::unexpected(opened.error());
  return AddressWatch(std::move(socket));
}

Result<bool> AddressWatch::changed() {
  bool any = false;
  for (alignas(nlmsghdr) std::array<char, 8192> buffer;;) {
    const auto size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size >= 0) {
      any = concerns_us(buffer.data(), static_cast<int>(size)) || any;
      continue;
    }
    if (errno == ENOBUFS) any = true;
    if (errno == EINTR || errno == ENOBUFS) continue;
    if (errno == EAGAIN) return any;
    return failure_errno("watching the pod's addresses");
  }
}

}  // namespace culvert::redirect
