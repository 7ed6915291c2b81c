#include "cni/plugin/agent.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "common/base/format.h"

namespace culvert::plugin {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kBetweenTries = 50ms;

Result<Fd> connect_once(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path)
    return failure(culvert::format("the path of the agent's socket is too long: {}", path));
  path.copy(address.sun_path, path.size());
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return failure_errno("making a socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failure_errno("connecting to " + path);
  return socket;
}

Result<Fd> connect(const std::string& path, std::chrono::milliseconds patience) {
  const auto end = Clock::now() + patience;
  while (true) {
    auto socket = connect_once(path);
    if (socket || Clock::now() >= end) return socket;
    std::this_thread::sleep_for(kBetweenTries);
  }
}

// Until the socket can be read or written.
Status wait_for(int socket, short what, Clock::time_point end, std::string_view doing) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    pollfd wanted{.fd = socket, .events = what, .revents = 0};
    const int ready = ::poll(&wanted, 1, left > 0ms ? static_cast<int>(left.count()) : 0);
    if (ready > 0) return {};
    if (ready == 0) return failure(culvert::format("{}: nothing came in time", doing));
    if (errno != EINTR) return failure_errno(doing);
  }
}

Status send(int socket, std::string_view packet, const Fd& netns) {
  iovec bytes{.iov_base = const_cast<char*>(packet.data()), .iov_len = packet.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (netns) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = netns.get();
    std::memcpy(CMSG_DATA(header), &number, sizeof number);
  }
  if (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) return failure_errno("asking the node agent");
  return {};
}

Result<std::string> receive(int socket) {
  std::string packet(ask::kMaxPacket + 1, '\0');
  const auto size = ::recv(socket, packet.data(), packet.size(), 0);
  if (size < 0) return failure_errno("waiting for the node agent's answer");
  if (size == 0) return failure("waiting for the node agent's answer: it closed the connection (its log says why)");
  packet.resize(static_cast<std::size_t>(size));
  return packet;
}

}  // namespace

Result<ask::Answer> ask_agent(const std::string& path, const ask::Question& question, const Fd& netns, Patience patience) {
  const auto packet = ask::encode(question);
  if (!packet) return std::unexpected(packet.error());
  auto socket = connect(path, patience.connect);
  if (!socket) return std::unexpected(socket.error());
  const auto end = Clock::now() + patience.answer;
  if (auto done = wait_for(socket->get(), POLLOUT, end, "asking the node agent at " + path); !done)
    return std::unexpected(done.error());
  if (auto sent = send(socket->get(), *packet, netns); !sent) return std::unexpected(sent.error());
  if (auto done = wait_for(socket->get(), POLLIN, end, "waiting for the node agent's answer at " + path); !done)
    return std::unexpected(done.error());
  const auto answer = receive(socket->get());
  if (!answer) return std::unexpected(answer.error());
  return ask::decode_answer(*answer);
}

}  // namespace culvert::plugin
