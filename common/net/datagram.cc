#include "common/net/datagram.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "common/net/descriptor.h"
#include "common/net/sockaddr.h"

#ifndef IPV6_ORIGDSTADDR
#define IPV6_ORIGDSTADDR 74
#define IPV6_RECVORIGDSTADDR IPV6_ORIGDSTADDR
#endif

namespace culvert::net {
namespace {

Status prepare(int fd, int family, const DatagramOptions& options) {
  if (options.reuse_port)
    if (auto set = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"); !set) return set;
  // A dual-stack socket gets IPv4's control messages for IPv4 datagrams, so both are asked for.
  if (auto set = set_option(fd, SOL_IP, IP_RECVORIGDSTADDR, 1, "IP_RECVORIGDSTADDR"); !set) return set;
  if (family == AF_INET6) {
    if (auto set = set_option(fd, SOL_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0, "IPV6_V6ONLY"); !set) return set;
    if (auto set = set_option(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1, "IPV6_RECVORIGDSTADDR"); !set) return set;
  }
  if (options.transparent)
    if (auto set = set_transparent(fd, family); !set) return set;
  return set_mark_and_device(fd, options.mark, options.device);
}

Result<Fd> open_at(const DatagramOptions& options) {
  const int family = family_of(options.at.address);
  auto socket = make_socket(family, SOCK_DGRAM, options.netns);
  if (!socket) return socket;
  if (auto set = prepare(socket->get(), family, options); !set) return std::unexpected(set.error());
  const SockAddress address = to_sockaddr(options.at, family);
  if (::bind(socket->get(), address.get(), address.size) != 0) return failure_errno("binding");
  return socket;
}

Endpoint original_destination(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    const bool v4 = part->cmsg_level == SOL_IP && part->cmsg_type == IP_ORIGDSTADDR;
    const bool v6 = part->cmsg_level == SOL_IPV6 && part->cmsg_type == IPV6_ORIGDSTADDR;
    if (!v4 && !v6) continue;
    SockAddress address;
    std::memcpy(&address.storage, CMSG_DATA(part), v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    return from_sockaddr(address);
  }
  return {};
}

// Adds the control message that chooses the source address.
void choose_source(msghdr& message, std::span<char> control, const Endpoint& from) {
  if (from.address.is_none()) return;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* part = CMSG_FIRSTHDR(&message);
  if (from.address.is_v4()) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, from.address.bytes().data(), 4);
    part->cmsg_level = SOL_IP;
    part->cmsg_type = IP_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(part), &info, sizeof info);
    message.msg_controllen = CMSG_SPACE(sizeof info);
    return;
  }
  in6_pktinfo info{};
  std::memcpy(&info.ipi6_addr, from.address.bytes().data(), 16);
  info.ipi6_ifindex = from.scope;
  part->cmsg_level = SOL_IPV6;
  part->cmsg_type = IPV6_PKTINFO;
  part->cmsg_len = CMSG_LEN(sizeof info);
  std::memcpy(CMSG_DATA(part), &info, sizeof info);
  message.msg_controllen = CMSG_SPACE(sizeof info);
}

Datagram::Received receive_now(int fd, std::span<std::byte> into) {
  SockAddress from;
  iovec part = {.iov_base = into.data(), .iov_len = into.size()};
  alignas(cmsghdr) char control[256];
  msghdr message{};
  message.msg_name = from.get();
  message.msg_namelen = from.size;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  for (;;) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    message.msg_namelen = from.size;
    const ssize_t n = ::recvmsg(fd, &message, 0);
    if (n >= 0 && (message.msg_flags & MSG_TRUNC) != 0) continue;
    if (n >= 0)
      return {.io = {.bytes = static_cast<std::size_t>(n)}, .from = from_sockaddr(from), .to = original_destination(message)};
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return {.io = {.state = Io::kWouldBlock}, .from = {}, .to = {}};
    return {.io = {.state = Io::kError, .error = errno}, .from = {}, .to = {}};
  }
}

}  // namespace

struct Datagram::State {
  Descriptor descriptor;
  int family = AF_INET6;
};

Datagram::Datagram() = default;
Datagram::~Datagram() { close(); }
Datagram::Datagram(Datagram&&) noexcept = default;
Datagram& Datagram::operator=(Datagram&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::move(other.state_);
  }
  return *this;
}

Result<Datagram> Datagram::open(Loop& loop, const DatagramOptions& options) {
  auto socket = open_at(options);
  if (!socket) return std::unexpected(std::move(socket.error()).during("opening UDP " + options.at.text()));
  auto descriptor = Descriptor::adopt(loop, std::move(*socket));
  if (!descriptor) return std::unexpected(descriptor.error());
  Datagram datagram;
  datagram.state_ = std::make_shared<State>(std::move(*descriptor), family_of(options.at.address));
  return datagram;
}

Datagram::operator bool() const { return state_ && state_->descriptor; }
void Datagram::close() {
  if (state_) state_->descriptor.close();
}
int Datagram::fd() const { return state_ ? state_->descriptor.fd() : -1; }

Endpoint Datagram::local() const {
  SockAddress address;
  if (!*this || ::getsockname(fd(), address.get(), &address.size) != 0) return {};
  return from_sockaddr(address);
}

Datagram::Received Datagram::try_receive(std::span<std::byte> into) {
  if (!*this) return {.io = {.state = Io::kError, .error = ECANCELED}, .from = {}, .to = {}};
  return receive_now(fd(), into);
}

Task<Datagram::Received> Datagram::receive(std::span<std::byte> into) {
  const auto state = state_;
  while (state && state->descriptor) {
    auto received = receive_now(state->descriptor.fd(), into);
    if (received.io.state != Io::kWouldBlock) co_return received;
    std::ignore = co_await state->descriptor.readable();
  }
  co_return Received{.io = {.state = Io::kError, .error = ECANCELED}, .from = {}, .to = {}};
}

Io Datagram::try_send(std::span<const std::byte> bytes, const Endpoint& to, const Endpoint& from) {
  if (!*this) return {.state = Io::kError, .error = ECANCELED};
  SockAddress address = to_sockaddr(to, state_->family);
  iovec part = {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo))] = {};
  msghdr message{};
  message.msg_name = address.get();
  message.msg_namelen = address.size;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  choose_source(message, control, from);
  const ssize_t n = ::sendmsg(fd(), &message, MSG_NOSIGNAL);
  if (n >= 0) return {.bytes = static_cast<std::size_t>(n)};
  if (errno == EAGAIN) return {.state = Io::kWouldBlock};
  return {.state = Io::kError, .error = errno};
}

}  // namespace culvert::net
