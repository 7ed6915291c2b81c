// What runs in the lab's processes: dialling, serving, a toy ztunnel. Plain blocking sockets.

#include "tests/bpf/sockets.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <expected>
#include <stdexcept>

#include "common/base/format.h"

namespace culvert::bpf_test {
namespace {

constexpr int kIpv6Transparent = 75, kIpv6OrigDstAddr = 74;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

// "10.0.0.1:80" or "[fe80::1%eth0]:80", numeric, as written: a mapped address stays IPv6.
SocketAddress parse(const std::string& text) {
  const auto colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  addrinfo hints{}, *found = nullptr;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(host.c_str(), text.c_str() + colon + 1, &hints, &found) != 0) throw std::runtime_error("bad address " + text);
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  ::freeaddrinfo(found);
  return address;
}

std::string text_of(const SocketAddress& address) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(address.get(), address.size, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "?";
  return address.family() == AF_INET6 ? culvert::format("[{}]:{}", host, port) : culvert::format("{}:{}", host, port);
}

std::string outcome(int error) {
  if (error == ECONNREFUSED) return "refused";
  if (error == ETIMEDOUT || error == EINPROGRESS || error == EAGAIN) return "timeout";
  return "error " + errno_text(error);
}

template <class T>
void option(int fd, int level, int name, const T& value) {
  if (::setsockopt(fd, level, name, &value, sizeof(value)) != 0)
    throw std::runtime_error(culvert::format("setsockopt {}: {}", name, errno_text(errno)));
}

void make_transparent(int fd, int family) {
  if (family == AF_INET) option(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
  if (family == AF_INET6) option(fd, IPPROTO_IPV6, kIpv6Transparent, 1);
}

std::string read_line(int fd) {
  std::string line;
  char buffer[256];
  for (;;) {
    const auto size = ::recv(fd, buffer, sizeof(buffer), 0);
    if (size < 0) return "read " + outcome(errno);
    if (size == 0) return line;
    line.append(buffer, static_cast<std::size_t>(size));
  }
}

Fd make_socket(int family, int type) {
  Fd socket(::socket(family, type | SOCK_CLOEXEC, 0));
  if (!socket) throw std::runtime_error("making a socket: " + errno_text(errno));
  return socket;
}

Fd listener(int family, int type, std::uint16_t port, bool ztunnel) {
  Fd socket = make_socket(family, type);
  option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (family == AF_INET6) option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (ztunnel) {
    option(socket.get(), SOL_SOCKET, SO_REUSEPORT, 1);
    option(socket.get(), SOL_SOCKET, SO_MARK, 0x715);
    make_transparent(socket.get(), family);
    if (type == SOCK_DGRAM && family == AF_INET) option(socket.get(), IPPROTO_IP, IP_RECVORIGDSTADDR, 1);
    if (type == SOCK_DGRAM && family == AF_INET6) option(socket.get(), IPPROTO_IPV6, kIpv6OrigDstAddr, 1);
  }
  auto any = parse(culvert::format("{}:{}", family == AF_INET ? "0.0.0.0" : "[::]", port));
  if (::bind(socket.get(), any.get(), any.size) != 0 || (type == SOCK_STREAM && ::listen(socket.get(), 128) != 0))
    throw std::runtime_error(culvert::format("listening at {}: {}", port, errno_text(errno)));
  return socket;
}

struct Listening {
  Fd fd;
  std::string role;
  bool udp = false;
};

void answer_connection(const Listening& listening) {
  SocketAddress local, peer;
  const Fd accepted(::accept4(listening.fd.get(), peer.get(), &peer.size, SOCK_CLOEXEC));
  if (!accepted || ::getsockname(accepted.get(), local.get(), &local.size) != 0) return;
  const auto line = culvert::format("{} {} from {}", listening.role, text_of(local), text_of(peer));
  char early[16];  // closing with unread data would reset the connection
  (void)!::recv(accepted.get(), early, sizeof(early), MSG_DONTWAIT);
  (void)!::send(accepted.get(), line.data(), line.size(), MSG_NOSIGNAL);
}

// Answers from where the query was sent to, as ztunnel does: from a transparent socket.
void answer_datagram(const Listening& listening) {
  SocketAddress peer, asked;
  char payload[512], control[256];
  iovec data{payload, sizeof(payload)};
  msghdr message{};
  message.msg_name = peer.get();
  message.msg_namelen = peer.size;
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  if (::recvmsg(listening.fd.get(), &message, 0) < 0) return;
  peer.size = message.msg_namelen;
  for (auto* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_ORIGDSTADDR;
    const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == kIpv6OrigDstAddr;
    if (!v4 && !v6) continue;
    asked.size = v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::memcpy(&asked.storage, CMSG_DATA(part), asked.size);
  }
  const Fd reply = make_socket(asked.family(), SOCK_DGRAM);
  option(reply.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  make_transparent(reply.get(), asked.family());
  if (::bind(reply.get(), asked.get(), asked.size) != 0) return;
  const auto line = culvert::format("{} {} from {}", listening.role, text_of(asked), text_of(peer));
  (void)!::sendto(reply.get(), line.data(), line.size(), 0, peer.get(), peer.size);
}

[[noreturn]] void answer_for_ever(const std::vector<Listening>& all, int report) {
  std::vector<pollfd> polls;
  polls.reserve(all.size());
  for (const auto& one : all) polls.push_back({.fd = one.fd.get(), .events = POLLIN, .revents = 0});
  (void)!::write(report, "r", 1);
  for (;;) {
    if (::poll(polls.data(), polls.size(), -1) < 0) continue;
    for (std::size_t i = 0; i < polls.size(); i++) {
      if ((polls[i].revents & POLLIN) == 0) continue;
      if (all[i].udp) answer_datagram(all[i]);
      else answer_connection(all[i]);
    }
  }
}

void keep_on(const std::function<std::string()>& once, const std::vector<std::string>& roles, int report) {
  std::string first;
  int done = 0, failed = 0;
  (void)!::nice(10);  // on one emulated processor the agent has to come forward as well
  (void)!::write(report, "r", 1);
  for (pollfd stop{.fd = stop_fd(), .events = POLLIN, .revents = 0}; ::poll(&stop, 1, 2) == 0; done++) {
    const auto answer = once();
    if (std::ranges::any_of(roles, [&](const auto& role) { return answer.starts_with(role); })) continue;
    if (failed++ == 0) first = answer;
  }
  const auto verdict = done == 0    ? std::string("nothing was dialled")
                       : failed > 0 ? culvert::format("{} of {} failed, the first with \"{}\"", failed, done, first)
                                    : "";
  (void)!::write(report, verdict.data(), verdict.size());
}

// A connection, or why there is none.
std::expected<Fd, std::string> connection(const DialOptions& options) {
  auto to = parse(options.to);
  constexpr int kMptcp = 262;
  Fd socket(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, options.mptcp ? kMptcp : 0));
  if (!socket) return std::unexpected("error socket: " + errno_text(errno));
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  option(socket.get(), SOL_SOCKET, SO_RCVTIMEO, patience);
  option(socket.get(), SOL_SOCKET, SO_SNDTIMEO, patience);  // bounds connect() as well
  if (options.mark != 0) option(socket.get(), SOL_SOCKET, SO_MARK, options.mark);
  if (!options.device.empty() && ::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, options.device.c_str(),
                                              static_cast<socklen_t>(options.device.size())) != 0)
    return std::unexpected("error device: " + errno_text(errno));
  if (!options.bind.empty()) {
    auto local = parse(options.bind);
    make_transparent(socket.get(), local.family());
    if (::bind(socket.get(), local.get(), local.size) != 0) return std::unexpected("error bind: " + errno_text(errno));
  }
  if (options.fast_open) {
    if (::sendto(socket.get(), "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, to.get(), to.size) < 0)
      return std::unexpected(outcome(errno));
  } else if (::connect(socket.get(), to.get(), to.size) != 0) {
    return std::unexpected(outcome(errno));
  }
  return socket;
}

}  // namespace

std::string dial_here(const DialOptions& options) {
  const auto socket = connection(options);
  return socket ? read_line(socket->get()) : socket.error();
}

void dial_and_stay(const DialOptions& options, int report) {
  const auto socket = connection(options);
  const auto line = "r" + (socket ? read_line(socket->get()) : socket.error());
  (void)!::write(report, line.data(), line.size());
  pollfd stop{.fd = stop_fd(), .events = POLLIN, .revents = 0};
  ::poll(&stop, 1, -1);
}

std::string query_here(const std::string& text) {
  auto to = parse(text);
  const Fd socket = make_socket(to.family(), SOCK_DGRAM);
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  option(socket.get(), SOL_SOCKET, SO_RCVTIMEO, patience);
  if (::connect(socket.get(), to.get(), to.size) != 0 || ::send(socket.get(), "?", 1, 0) < 0) return outcome(errno);
  char answer[512];
  const auto size = ::recv(socket.get(), answer, sizeof(answer), 0);
  return size < 0 ? outcome(errno) : std::string(answer, static_cast<std::size_t>(size));
}

void keep_dialling(const std::string& to, const std::vector<std::string>& roles, int report) {
  keep_on([&] { return dial_here({.to = to}); }, roles, report);
}

void keep_asking(const std::string& to, const std::vector<std::string>& roles, int report) {
  keep_on([&] { return query_here(to); }, roles, report);
}

void hold_connection(std::uint32_t mark, int report) {
  const auto server = listener(AF_INET, SOCK_STREAM, 0, false);
  SocketAddress to;
  ::getsockname(server.get(), to.get(), &to.size);
  const Fd socket = make_socket(AF_INET, SOCK_STREAM);
  option(socket.get(), SOL_SOCKET, SO_MARK, mark);
  if (::connect(socket.get(), to.get(), to.size) != 0) throw std::runtime_error("connecting: " + errno_text(errno));
  (void)!::write(report, "r", 1);
  ::pause();
}

void serve_app(std::uint16_t port, int report) {
  std::vector<Listening> all;
  for (const int family : {AF_INET, AF_INET6}) all.push_back({listener(family, SOCK_STREAM, port, false), "app"});
  answer_for_ever(all, report);
}

void serve_ztunnel(int workers, int report) {
  std::vector<Listening> all;
  for (int worker = 0; worker < workers; worker++) {
    for (const int family : {AF_INET, AF_INET6}) {
      all.push_back({listener(family, SOCK_STREAM, 15001, true), "outbound"});
      all.push_back({listener(family, SOCK_STREAM, 15006, true), "inbound"});
      all.push_back({listener(family, SOCK_STREAM, 15008, true), "hbone"});
      all.push_back({listener(family, SOCK_STREAM, 15053, true), "dns"});
      all.push_back({listener(family, SOCK_DGRAM, 15053, true), "dns", true});
    }
  }
  answer_for_ever(all, report);
}

}  // namespace culvert::bpf_test
