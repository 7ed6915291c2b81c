#pragma once
// Endpoints as the kernel wants them. Of this folder.

#include <sys/socket.h>

#include <utility>

#include "common/base/address.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/net/stream.h"

namespace culvert::net {

struct SockAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// AF_INET or AF_INET6; a none address counts as IPv6.
int family_of(const IpAddress& address);
// For a socket of `family`: an IPv4 address becomes a mapped one on AF_INET6.
SockAddress to_sockaddr(const Endpoint& endpoint, int family);
// None for other families.
Endpoint from_sockaddr(const SockAddress& address);
Endpoint from_sockaddr(const sockaddr* address);

// Non-blocking, close-on-exec, made in `netns` (-1: here).
Result<Fd> make_socket(int family, int type, int netns);

// Two connected unix sockets.
Result<std::pair<Fd, Fd>> make_socket_pair(int type);
template <class T>
Result<std::pair<T, T>> make_pair_of(Loop& loop, int type) {
  auto sockets = make_socket_pair(type);
  if (!sockets) return std::unexpected(std::move(sockets).error());
  auto first = T::adopt(loop, std::move(sockets->first));
  if (!first) return std::unexpected(std::move(first).error());
  auto second = T::adopt(loop, std::move(sockets->second));
  if (!second) return std::unexpected(std::move(second).error());
  return std::pair(std::move(*first), std::move(*second));
}

// setsockopt of an int; the error names the option.
Status set_option(int fd, int level, int option, int value, const char* name);
// Closing it, however that comes about, is a reset.
Status set_reset_on_close(int fd);
Status set_transparent(int fd, int family);
Status set_mark_and_device(int fd, std::uint32_t mark, const std::string& device);
Status apply_keepalive(int fd, const Keepalive& keepalive);

}  // namespace culvert::net
