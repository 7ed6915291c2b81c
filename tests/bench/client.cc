#include <endian.h>
#include <poll.h>

#include <iostream>

#include "tests/bench/sockets.h"

namespace culvert::bench {
namespace {

// Many connections that each do round trips. With `one_each`, a connection closes after its answer and another takes its place.
class RoundTrips {
 public:
  RoundTrips(Target target, int connections, bool one_each)
      : target_(std::move(target)), wanted_(connections), one_each_(one_each), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    request_[0] = 'R';
  }

  Seen run(double seconds) {
    const auto start = Clock::now();
    for (int i = 0; i < wanted_; ++i) open();
    epoll_event events[256];
    while (since(start) < seconds && open_ > 0) {
      const int ready = epoll_wait(epoll_, events, std::size(events), 100);
      for (int i = 0; i < ready; ++i) advance(events[i].data.fd);
      end_hung();
    }
    seen_.seconds = since(start);
    const auto counted = seen_.count;
    for (ending_ = true; open_ > 0; end_hung()) {
      const int ready = epoll_wait(epoll_, events, std::size(events), 100);
      for (int i = 0; i < ready; ++i) advance(events[i].data.fd);
    }
    seen_.count = counted;
    seen_.latencies.resize(counted);
    seen_.asked.resize(std::min(counted, seen_.asked.size()));
    return std::move(seen_);
  }

 private:
  struct Connection {
    Clock::time_point asked;
    std::size_t got = 0;
    bool opened = false;  // connected
    bool live = false;    // the descriptor is this connection's
  };

  void open() {
    const auto asked = Clock::now();
    const int fd = start_connect(target_);
    if (fd < 0) return failed("connect", errno);
    if (connections_.size() <= static_cast<std::size_t>(fd)) connections_.resize(static_cast<std::size_t>(fd) + 1);
    connections_[static_cast<std::size_t>(fd)] = {.asked = asked, .live = true};
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.fd = fd}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    ++open_;
  }

  void failed(const std::string& what, int number) { seen_.failed(what + ": " + std::strerror(number)); }

  void fail(int fd, const std::string& what, int number) {
    failed(what, number);
    end(fd);
  }

  void end(int fd) {
    connections_[static_cast<std::size_t>(fd)].live = false;
    close(fd);
    --open_;
    if (one_each_ && !ending_ && seen_.errors < 1000) open();
  }

  // Looked for ten times a second, not with every event.
  void end_hung() {
    if (since(looked_) < 0.1) return;
    looked_ = Clock::now();
    for (std::size_t fd = 0; fd < connections_.size(); ++fd) {
      const Connection& connection = connections_[fd];
      if (!connection.live || since(connection.asked) < kPatience) continue;
      seen_.failed(connection.opened ? "no answer" : "no connection");
      end(static_cast<int>(fd));
    }
  }

  // The first request carries the byte that says what the connection is for. False when the connection ended instead.
  bool ask(int fd, Connection& connection) {
    const bool first = !connection.opened;
    if (!first) connection.asked = Clock::now();
    connection.opened = true;
    connection.got = 0;
    const char* from = first ? request_ : request_ + 1;
    const std::size_t size = first ? kRequest + 1 : kRequest;
    if (send(fd, from, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size)) return true;
    fail(fd, "send", errno);
    return false;
  }

  void advance(int fd) {
    Connection& connection = connections_[static_cast<std::size_t>(fd)];
    if (!connection.opened) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) return fail(fd, "connect", error);
      return static_cast<void>(ask(fd, connection));
    }
    for (;;) {
      const ssize_t got = recv(fd, buffer_, sizeof buffer_, 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return fail(fd, connection.got > 0 ? "half an answer" : "answer", got < 0 ? errno : 0);
      connection.got += static_cast<std::size_t>(got);
      if (connection.got < kRequest) continue;
      ++seen_.count;
      seen_.latencies.push_back(static_cast<std::uint32_t>(since(connection.asked) * 1e9));
      if (one_each_) seen_.asked.push_back(std::chrono::duration<double>(connection.asked.time_since_epoch()).count());
      if (one_each_ || ending_) return end(fd);
      if (!ask(fd, connection)) return;
    }
  }

  Target target_;
  int wanted_;
  bool one_each_;
  int epoll_;
  int open_ = 0;
  bool ending_ = false;
  Clock::time_point looked_{};
  std::vector<Connection> connections_;
  Seen seen_;
  char request_[kRequest + 1] = {};
  char buffer_[4 * kRequest];
};

}  // namespace

Seen round_trips(const Target& target, int connections, double seconds) {
  return RoundTrips(target, connections, false).run(seconds);
}

Seen churn(const Target& target, int concurrency, double seconds) { return RoundTrips(target, concurrency, true).run(seconds); }

Seen upload(const Target& target, double seconds) {
  static const std::vector<char> chunk(kChunk);
  const int fd = connect_blocking(target);
  Seen seen;
  const auto start = Clock::now();
  send_all(fd, std::span("U", 1));
  for (; since(start) < seconds; seen.count += chunk.size()) send_all(fd, chunk);
  shutdown(fd, SHUT_WR);
  std::uint64_t total = 0;
  if (recv(fd, &total, sizeof total, MSG_WAITALL) != sizeof total) die("the server's count");
  seen.seconds = since(start);
  if (be64toh(total) != seen.count) seen.failed("the server read another number of bytes");
  close(fd);
  return seen;
}

Seen download(const Target& target, std::uint64_t bytes) {
  static std::vector<char> chunk(kChunk);
  const int fd = connect_blocking(target);
  Seen seen;
  const auto start = Clock::now();
  char header[9] = {'D'};
  const std::uint64_t wanted = htobe64(bytes);
  std::memcpy(header + 1, &wanted, sizeof wanted);
  send_all(fd, header);
  for (ssize_t got = 0; (got = recv(fd, chunk.data(), chunk.size(), 0)) != 0; seen.count += static_cast<std::uint64_t>(got))
    if (got < 0) die("recv");
  seen.seconds = since(start);
  if (seen.count != bytes) seen.failed("the server sent another number of bytes");
  close(fd);
  return seen;
}

namespace {

// One more round trip on each, all at once.
void ask_again(const std::vector<int>& fds, Seen& seen) {
  const std::vector<char> request(kRequest);
  std::vector<char> answer(kRequest);
  const timeval patience{.tv_sec = kPatience, .tv_usec = 0};
  for (const int fd : fds) (void)!send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  for (const int fd : fds) {
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const ssize_t got = recv(fd, answer.data(), answer.size(), MSG_WAITALL);
    if (got != static_cast<ssize_t>(answer.size())) seen.failed(std::string("held: ") + std::strerror(got < 0 ? errno : 0));
  }
}

}  // namespace

Seen hold(const Target& target, int connections, bool watch) {
  std::vector<int> fds;
  std::vector<char> request(kRequest + 1), answer(kRequest);
  request[0] = 'R';
  const auto start = Clock::now();
  Seen seen;
  for (int i = 0; i < connections; ++i) {
    const int fd = connect_blocking(target);
    send_all(fd, request);
    if (recv(fd, answer.data(), answer.size(), MSG_WAITALL) != static_cast<ssize_t>(answer.size())) die("first answer");
    fds.push_back(fd);
    ++seen.count;
  }
  seen.seconds = since(start);
  std::cout << "ready" << std::endl;
  if (watch) {
    pollfd ended{.fd = fds.front(), .events = POLLIN | POLLRDHUP, .revents = 0};
    std::cout << (poll(&ended, 1, 10'000) == 1 ? "cut" : "not cut") << std::endl;
  }
  for (std::string line; std::getline(std::cin, line);) {}
  if (!watch) ask_again(fds, seen);
  for (const int fd : fds) close(fd);
  return seen;
}

}  // namespace culvert::bench
