#include "cli/local/control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace culvert::local {
namespace {

constexpr std::size_t kMaxFds = 16;

socklen_t name_of(const std::string& world, sockaddr_un& name) {
  name = {};
  name.sun_family = AF_UNIX;
  const std::string text = "culvert.local." + world;  // the first byte of sun_path stays zero: no file
  const auto length = std::min(text.size(), sizeof name.sun_path - 1);
  std::memcpy(name.sun_path + 1, text.data(), length);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
}

Fd open_socket() { return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

Result<ucred> peer_of(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return failure_errno("asking who is there");
  return peer;
}

}  // namespace

Result<Fd> listen_for_control(const std::string& world) {
  sockaddr_un name;
  const auto size = name_of(world, name);
  Fd fd = open_socket();
  if (!fd) return failure_errno("opening a socket");
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) {
    if (errno == EADDRINUSE)
      return failure("a world called " + world +
                     " is up already (take it down first: culvert local down, or use another --name)");
    return failure_errno("binding the control socket");
  }
  return fd;
}

Result<std::string> read_request(int client) {
  const auto peer = peer_of(client);
  if (!peer) return std::unexpected(peer.error());
  if (peer->uid != 0) return failure("a request that is not root's");
  std::string text;
  std::array<char, 4096> buffer;
  pollfd waiting{.fd = client, .events = POLLIN, .revents = 0};
  while (!text.ends_with('\n')) {
    if (poll(&waiting, 1, 1000) != 1) return failure("a request that does not come");
    const auto count = recv(client, buffer.data(), buffer.size(), 0);
    if (count <= 0 && text.empty()) return text;  // somebody who only looked whether we are there
    if (count <= 0 || text.size() > 65536) return failure("half a request");
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return text;
}

void send_answer(int client, const std::string& text, const std::vector<int>& fds) {
  const std::string line = text + "\n";
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
  iovec data{const_cast<char*>(line.data()), line.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    auto* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(head), fds.data(), sizeof(int) * fds.size());
  }
  const timeval patience{.tv_sec = 2, .tv_usec = 0};
  setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  auto sent = sendmsg(client, &message, MSG_NOSIGNAL);
  for (std::size_t at = 0; sent > 0 && (at += static_cast<std::size_t>(sent)) < line.size();) {
    sent = send(client, line.data() + at, line.size() - at, MSG_NOSIGNAL);
  }
}

Result<Client> Client::open(const std::string& world) {
  sockaddr_un name;
  const auto size = name_of(world, name);
  Fd fd = open_socket();
  if (!fd) return failure_errno("opening a socket");
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), size) != 0) {
    if (errno == ECONNREFUSED) return failure("no world called " + world + " is up (culvert local up DIR)");
    return failure_errno("reaching the world " + world);
  }
  const auto peer = peer_of(fd.get());
  if (!peer) return std::unexpected(peer.error());
  if (peer->uid != 0) return failure("the world " + world + " is not root's: somebody else took its name");
  return Client(std::move(fd));
}

Result<pid_t> Client::first_process() const {
  auto peer = peer_of(fd_.get());
  if (!peer) return std::unexpected(peer.error());
  if (peer->pid <= 0) return failure("the world runs in another process namespace");
  return peer->pid;
}

Result<Message> Client::ask(const std::string& request) {
  const std::string line = request + "\n";
  if (send(fd_.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return failure_errno("asking the world");
  Message answer;
  std::array<char, 65536> buffer;
  while (!answer.text.ends_with('\n')) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
    iovec data{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto count = recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return failure("the world ended before it answered");
    answer.text.append(buffer.data(), static_cast<std::size_t>(count));
    for (auto* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
      std::vector<int> fds((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      std::memcpy(fds.data(), CMSG_DATA(head), fds.size() * sizeof(int));
      for (const int fd : fds) answer.fds.emplace_back(fd);
    }
  }
  answer.text.pop_back();
  return answer;
}

}  // namespace culvert::local
