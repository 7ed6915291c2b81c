#include <unordered_map>

#include "tests/bench/sockets.h"

namespace culvert::bench {
namespace {

struct Connection {
  char kind = 0;
  std::uint64_t count = 0;  // R: bytes owed in answers; U: bytes read; D: bytes still to send
  std::size_t header = 0;   // D: bytes of the wanted size that have been read
  std::size_t pending = 0;  // R: bytes of an unfinished request
};

class Server {
 public:
  explicit Server(std::uint16_t port)
      : epoll_(epoll_create1(EPOLL_CLOEXEC)), listener_(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    const int one = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&any), sizeof any) < 0 || listen(listener_, 4096) < 0) die("listen");
    watch(listener_, EPOLLIN);
  }

  [[noreturn]] void run() {
    epoll_event events[256];
    for (;;) {
      const int ready = epoll_wait(epoll_, events, std::size(events), -1);
      for (int i = 0; i < ready; ++i) {
        if (events[i].data.fd == listener_) accept_all();
        else advance(events[i].data.fd);
      }
    }
  }

 private:
  void watch(int fd, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
  }

  void accept_all() {
    for (int fd = 0; (fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      connections_[fd] = {};
      watch(fd, EPOLLIN | EPOLLOUT | EPOLLET);
    }
  }

  void end(int fd) {
    connections_.erase(fd);
    close(fd);
  }

  void advance(int fd) {
    const auto found = connections_.find(fd);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    for (;;) {
      if (connection.kind == 'D' && connection.header == 8) return download(fd, connection);
      const ssize_t got = recv(fd, buffer_, sizeof buffer_, 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got < 0) return end(fd);
      if (got == 0) return at_end(fd, connection);
      take(fd, connection, {buffer_, static_cast<std::size_t>(got)});
    }
  }

  void at_end(int fd, const Connection& connection) {
    if (connection.kind == 'U') {
      const std::uint64_t total = htobe64(connection.count);
      (void)!send(fd, &total, sizeof total, MSG_NOSIGNAL);
    }
    end(fd);
  }

  void take(int fd, Connection& connection, std::span<const char> bytes) {
    if (connection.kind == 0) {
      connection.kind = bytes[0];
      bytes = bytes.subspan(1);
    }
    if (connection.kind == 'U') connection.count += bytes.size();
    if (connection.kind == 'R') {
      connection.pending += bytes.size();
      // Answers are small and the client waits for them: they always fit the socket's buffer.
      for (; connection.pending >= kRequest; connection.pending -= kRequest) (void)!send(fd, answer_, kRequest, MSG_NOSIGNAL);
    }
    if (connection.kind == 'D') {
      for (; connection.header < 8 && !bytes.empty(); bytes = bytes.subspan(1), ++connection.header)
        connection.count = connection.count << 8 | static_cast<unsigned char>(bytes[0]);
    }
  }

  void download(int fd, Connection& connection) {
    while (connection.count > 0) {
      const ssize_t sent = send(fd, answer_, std::min<std::uint64_t>(connection.count, sizeof answer_), MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) return;
      if (sent < 0) return end(fd);
      connection.count -= static_cast<std::uint64_t>(sent);
    }
    end(fd);
  }

  int epoll_;
  int listener_;
  std::unordered_map<int, Connection> connections_;
  char buffer_[kChunk];
  char answer_[kChunk] = {};
};

}  // namespace

void serve(std::uint16_t port) {
  static Server server(port);
  server.run();
}

}  // namespace culvert::bench
