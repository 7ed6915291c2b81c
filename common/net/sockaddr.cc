#include "common/net/sockaddr.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cstring>
#include <functional>

#include "common/base/format.h"
#include "common/net/netns.h"

namespace culvert::net {

int family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

SockAddress to_sockaddr(const Endpoint& endpoint, int family) {
  SockAddress result;
  const auto bytes = endpoint.address.bytes();
  if (family == AF_INET) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint.port);
    if (endpoint.address.is_v4()) std::memcpy(&v4->sin_addr, bytes.data(), 4);
    result.size = sizeof *v4;
    return result;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(endpoint.port);
  v6->sin6_scope_id = endpoint.scope;
  if (endpoint.address.is_v6()) {
    std::memcpy(&v6->sin6_addr, bytes.data(), 16);
  } else if (endpoint.address.is_v4()) {
    v6->sin6_addr.s6_addr[10] = v6->sin6_addr.s6_addr[11] = 0xff;
    std::memcpy(&v6->sin6_addr.s6_addr[12], bytes.data(), 4);
  }
  result.size = sizeof *v6;
  return result;
}

Endpoint from_sockaddr(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return {.address = IpAddress::v4(ntohl(v4->sin_addr.s_addr)), .port = ntohs(v4->sin_port)};
  }
  if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    const auto ip = IpAddress::v6(std::span<const std::uint8_t, 16>(v6->sin6_addr.s6_addr));
    return {.address = ip, .port = ntohs(v6->sin6_port), .scope = ip.is_v6() && ip.is_link_local() ? v6->sin6_scope_id : 0};
  }
  return {};
}

Endpoint from_sockaddr(const SockAddress& address) { return from_sockaddr(address.get()); }

Result<Fd> make_socket(int family, int type, int netns) {
  Fd socket;
  const auto make = [&]() -> Status {
    socket = Fd(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) return failure_errno("making a socket");
    return {};
  };
  auto made = in_netns(netns, std::ref(make));  // by reference: no allocation
  if (!made) return std::unexpected(std::move(made.error()));
  return socket;
}

Result<std::pair<Fd, Fd>> make_socket_pair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) return failure_errno("making a socket pair");
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

Status set_option(int fd, int level, int option, int value, const char* name) {
  if (::setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
  return failure_errno(culvert::format("setting {}", name));
}

Status set_reset_on_close(int fd) {
  const linger at_once = {.l_onoff = 1, .l_linger = 0};
  if (::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0) return {};
  return failure_errno("setting SO_LINGER");
}

Status set_transparent(int fd, int family) {
  if (family == AF_INET) return set_option(fd, SOL_IP, IP_TRANSPARENT, 1, "IP_TRANSPARENT (CAP_NET_ADMIN is needed)");
  return set_option(fd, SOL_IPV6, IPV6_TRANSPARENT, 1, "IPV6_TRANSPARENT (CAP_NET_ADMIN is needed)");
}

Status set_mark_and_device(int fd, std::uint32_t mark, const std::string& device) {
  if (mark != 0)
    if (auto set = set_option(fd, SOL_SOCKET, SO_MARK, static_cast<int>(mark), "SO_MARK (CAP_NET_ADMIN is needed)"); !set)
      return set;
  if (!device.empty() && ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device.data(), static_cast<socklen_t>(device.size())) != 0)
    return failure_errno("binding to device " + device);
  return {};
}

Status apply_keepalive(int fd, const Keepalive& keepalive) {
  const struct {
    int level, option, value;
    const char* name;
  } options[] = {
      {SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE"},
      {SOL_TCP, TCP_KEEPIDLE, static_cast<int>(keepalive.idle.count()), "TCP_KEEPIDLE"},
      {SOL_TCP, TCP_KEEPINTVL, static_cast<int>(keepalive.interval.count()), "TCP_KEEPINTVL"},
      {SOL_TCP, TCP_KEEPCNT, keepalive.probes, "TCP_KEEPCNT"},
  };
  for (const auto& [level, option, value, name] : options)
    if (auto set = set_option(fd, level, option, value, name); !set) return set;
  return {};
}

}  // namespace culvert::net
