#include <poll.h>

#include "tests/bench/sockets.h"

namespace culvert::bench {
namespace {

int listen_on(std::uint16_t port) {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // accepted sockets inherit it
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_port = htons(port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) < 0 || listen(fd, 16) < 0) die("listen");
  return fd;
}

// False when the connection has ended.
bool pass(int from, int to) {
  static char buffer[kChunk];
  const ssize_t got = recv(from, buffer, sizeof buffer, 0);
  return got > 0 && send(to, buffer, static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
}

}  // namespace

void relay(std::uint16_t port, const Target& target) {
  const int listener = listen_on(port);
  for (;;) {
    const int near = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (near < 0) die("accept");
    const int far = connect_blocking(target), one = 1;
    setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    pollfd both[] = {{.fd = near, .events = POLLIN, .revents = 0}, {.fd = far, .events = POLLIN, .revents = 0}};
    for (bool open = true; open && poll(both, 2, -1) > 0;)
      open = (both[0].revents == 0 || pass(near, far)) && (both[1].revents == 0 || pass(far, near));
    close(near);
    close(far);
  }
}

}  // namespace culvert::bench
