#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/local/dns.h"
#include "common/base/fd.h"

namespace culvert::local {
namespace {

constexpr std::size_t kUdpLimit = 1232;  // what fits into a packet everywhere
constexpr std::size_t kTcpLimit = 65535;

struct Socket {
  Fd fd;
  bool udp = false;
};

Result<Fd> open_socket(const IpAddress& address, int type) {
  const int family = address.is_v4() ? AF_INET : AF_INET6;
  Fd fd(::socket(family, type | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return failure_errno("opening a socket");
  sockaddr_storage name{};
  if (address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(name);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(53);
    std::memcpy(&v4.sin_addr, address.bytes().data(), 4);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(name);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(53);
    std::memcpy(&v6.sin6_addr, address.bytes().data(), 16);
  }
  const socklen_t size = address.is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0)
    return failure_errno("binding " + address.text() + " port 53");
  if (type == SOCK_STREAM && listen(fd.get(), 64) != 0) return failure_errno("listening");
  return fd;
}

void serve_udp(int fd, const Zone& zone, unsigned turn) {
  std::array<std::uint8_t, 4096> query;
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  const auto count = recvfrom(fd, query.data(), query.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
  if (count <= 0) return;
  const auto answer = answer_dns(zone, std::span(query).first(static_cast<std::size_t>(count)), kUdpLimit, turn);
  if (!answer.empty()) sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
}

bool receive_all(int fd, std::span<std::uint8_t> into) {
  while (!into.empty()) {
    const auto count = recv(fd, into.data(), into.size(), 0);
    if (count <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

// One query a connection, in its own process: a caller that stalls holds up nobody.
void serve_tcp(int listener, const Zone& zone, unsigned turn) {
  const Fd client(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!client || fork() != 0) return;
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::array<std::uint8_t, 2> length;
  while (receive_all(client.get(), length)) {
    std::vector<std::uint8_t> query(static_cast<std::size_t>(length[0] << 8 | length[1]));
    if (!receive_all(client.get(), query)) break;
    auto answer = answer_dns(zone, query, kTcpLimit, turn);
    if (answer.empty()) break;
    const std::uint8_t head[] = {static_cast<std::uint8_t>(answer.size() >> 8), static_cast<std::uint8_t>(answer.size())};
    answer.insert(answer.begin(), std::begin(head), std::end(head));
    if (send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(answer.size())) break;
  }
  _exit(0);
}

Zone read_zone(const std::string& file) {
  std::ifstream stream(file);
  return Zone::parse(std::string(std::istreambuf_iterator<char>(stream), {}));
}

}  // namespace

Status serve_dns(const std::string& file, const std::vector<IpAddress>& addresses) {
  ::signal(SIGCHLD, SIG_IGN);
  std::vector<Socket> sockets;
  for (const auto& address : addresses) {
    for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
      auto fd = open_socket(address, type);
      if (!fd) return std::unexpected(fd.error().during("cluster DNS"));
      sockets.push_back({*std::move(fd), type == SOCK_DGRAM});
    }
  }
  const Fd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const auto folder = std::filesystem::path(file).parent_path();
  if (!watch || inotify_add_watch(watch.get(), folder.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
    return failure_errno("watching " + folder.string());

  std::vector<pollfd> fds{{.fd = watch.get(), .events = POLLIN, .revents = 0}};
  for (const auto& socket : sockets) fds.push_back({.fd = socket.fd.get(), .events = POLLIN, .revents = 0});
  auto zone = read_zone(file);
  for (unsigned turn = 0;; ++turn) {
    if (poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[0].revents != 0) {
      std::array<char, 4096> events;
      while (read(watch.get(), events.data(), events.size()) > 0) {}
      zone = read_zone(file);
    }
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      if (fds[i + 1].revents == 0) continue;
      sockets[i].udp ? serve_udp(sockets[i].fd.get(), zone, turn) : serve_tcp(sockets[i].fd.get(), zone, turn);
    }
  }
}

}  // namespace culvert::local
