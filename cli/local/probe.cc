#include "cli/local/probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "common/base/format.h"

namespace culvert::local {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

bool wait_for(int fd, short events, Clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
  pollfd waiting{.fd = fd, .events = events, .revents = 0};
  return left > 0 && poll(&waiting, 1, static_cast<int>(left)) == 1;
}

Fd connect_to(const IpAddress& address, std::uint16_t port, Clock::time_point deadline) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(port);
  std::memcpy(&name.sin_addr, address.bytes().data(), 4);
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Fd();
  int error = 0;
  socklen_t size = sizeof error;
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0) return fd;
  if (errno != EINPROGRESS || !wait_for(fd.get(), POLLOUT, deadline)) return Fd();
  if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return Fd();
  return fd;
}

// Anything from 200 to 399 is a success.
bool probe_http(const config::Probe::HttpGet& get, const IpAddress& address, std::uint16_t port, Clock::time_point deadline) {
  const Fd fd = connect_to(address, port, deadline);
  if (!fd) return false;
  const auto host = get.host.empty() ? culvert::format("{}:{}", address.text(), port) : get.host;
  const auto request = culvert::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: culvert-local-probe\r\nConnection: close\r\n\r\n", get.path, host);
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) return false;
  std::string head;
  std::array<char, 512> buffer;
  while (head.size() < 12) {
    if (!wait_for(fd.get(), POLLIN, deadline)) return false;
    const auto count = recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (count <= 0) return false;
    head.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return head.starts_with("HTTP/1.") && (head[9] == '2' || head[9] == '3');
}

bool probe_exec(const Place& inside, const Command& command, Clock::time_point deadline) {
  const auto child = spawn(inside, command);
  if (!child) return false;
  for (;;) {
    int status = 0;
    if (waitpid(*child, &status, WNOHANG) == *child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (Clock::now() >= deadline) {
      kill(*child, SIGKILL);
      waitpid(*child, &status, 0);
      return false;
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
}

std::uint16_t resolve(const config::PortRef& port, const config::Container& container) {
  for (const auto& offered : container.ports) {
    if (port.number == 0 && offered.name == port.name) return offered.port;
  }
  return port.number;
}

}  // namespace

bool Verdict::count(bool success) {
  row_ = success == last_ ? row_ + 1 : 1;
  last_ = success;
  if (success == ready_ || row_ < (success ? successes_ : failures_)) return false;
  ready_ = success;
  return true;
}

void probe_forever(const config::Probe& probe, const PodPlan& pod, const config::Container& container, const Place& inside,
                   const std::map<std::string, std::string>& environment, int out) {
  Command command{
      .argv = probe.exec, .env = environment, .directory = container.working_dir.empty() ? "/" : container.working_dir};
  command.privilege = Privilege::kContainer;
  command.dies_with_us = true;
  const auto& address = pod.addresses.v4;
  const auto attempt = [&] {
    const auto deadline = Clock::now() + std::chrono::seconds(probe.timeout_seconds);
    if (probe.http_get) return probe_http(*probe.http_get, address, resolve(probe.http_get->port, container), deadline);
    if (probe.tcp_socket) return static_cast<bool>(connect_to(address, resolve(*probe.tcp_socket, container), deadline));
    return probe_exec(inside, command, deadline);
  };
  std::this_thread::sleep_for(std::chrono::seconds(probe.initial_delay_seconds));
  Verdict verdict(probe.success_threshold, probe.failure_threshold);
  for (;;) {
    if (verdict.count(attempt()) && write(out, verdict.ready() ? "1" : "0", 1) != 1) _exit(1);
    std::this_thread::sleep_for(verdict.ready() ? std::chrono::seconds(probe.period_seconds) : milliseconds(200));
  }
}

}  // namespace culvert::local
