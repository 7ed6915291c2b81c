#include "common/net/seq_packet.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/net/descriptor.h"
#include "common/net/sockaddr.h"

namespace culvert::net {
namespace {

constexpr std::size_t kMaxFds = 16;

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return failure("the path is longer than 107 bytes");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<Fd> make_unix() {
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return failure_errno("making a Unix socket");
  return socket;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

Result<Fd> connected(const std::string& path) {
  auto address = unix_address(path);
  if (!address) return std::unexpected(address.error());
  auto socket = make_unix();
  if (!socket) return socket;
  if (::connect(socket->get(), generic(*address), sizeof *address) != 0)
    return std::unexpected(Error{errno_text(errno), Reason::kConnectFailed});
  return socket;
}

std::vector<Fd> take_fds(msghdr& message) {
  std::vector<Fd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

SeqPacket::Received receive_now(int socket, std::span<std::byte> into) {
  iovec part = {.iov_base = into.data(), .iov_len = into.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) return {.io = {.state = Io::kWouldBlock}, .packet = {}};
    return {.io = {.state = errno == ECONNRESET ? Io::kReset : Io::kError, .error = errno}, .packet = {}};
  }
  SeqPacket::Received received;
  received.packet.fds = take_fds(message);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return {.io = {.state = Io::kError, .error = EMSGSIZE}, .packet = {}};
  if (n == 0) return {.io = {.state = Io::kEof}, .packet = {}};
  received.io.bytes = static_cast<std::size_t>(n);
  received.packet.bytes.assign(into.begin(), into.begin() + n);
  return received;
}

ssize_t send_now(int socket, std::span<const std::byte> bytes, std::span<const int> fds) {
  iovec part = {.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

}  // namespace

struct SeqPacket::State {
  Descriptor descriptor;
};

SeqPacket::SeqPacket() = default;
SeqPacket::~SeqPacket() { close(); }
SeqPacket::SeqPacket(SeqPacket&&) noexcept = default;
SeqPacket& SeqPacket::operator=(SeqPacket&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::move(other.state_);
  }
  return *this;
}

SeqPacket::operator bool() const { return state_ && state_->descriptor; }
void SeqPacket::close() {
  if (state_) state_->descriptor.close();
}

Result<SeqPacket> SeqPacket::connect(Loop& loop, const std::string& path) {
  auto socket = connected(path);
  if (!socket) return std::unexpected(std::move(socket.error()).during("connecting to " + path));
  return adopt(loop, std::move(*socket));
}

Result<SeqPacket> SeqPacket::adopt(Loop& loop, Fd socket) {
  auto descriptor = Descriptor::adopt(loop, std::move(socket));
  if (!descriptor) return std::unexpected(descriptor.error());
  SeqPacket packet;
  packet.state_ = std::make_shared<State>(std::move(*descriptor));
  return packet;
}

Result<std::pair<SeqPacket, SeqPacket>> SeqPacket::pair(Loop& loop) { return make_pair_of<SeqPacket>(loop, SOCK_SEQPACKET); }

Task<SeqPacket::Received> SeqPacket::receive(std::size_t limit) {
  const auto state = state_;
  while (state && state->descriptor) {
    const auto buffer = state->descriptor.loop().scratch();
    auto received = receive_now(state->descriptor.fd(), buffer.first(std::min(limit, buffer.size())));
    if (received.io.state != Io::kWouldBlock) co_return received;
    std::ignore = co_await state->descriptor.readable();
  }
  co_return Received{.io = {.state = Io::kError, .error = ECANCELED}, .packet = {}};
}

Task<Status> SeqPacket::send(std::span<const std::byte> bytes, std::span<const int> fds) {
  if (fds.size() > kMaxFds) co_return failure("sending a message: more than 16 descriptors");
  const auto state = state_;
  while (state && state->descriptor) {
    if (send_now(state->descriptor.fd(), bytes, fds) >= 0) co_return Status();
    if (errno != EAGAIN && errno != EINTR) co_return failure_errno("sending a message");
    std::ignore = co_await state->descriptor.writable();
  }
  co_return failure("sending a message: the socket was closed on our side");
}

Result<PeerCredentials> SeqPacket::peer_credentials() const {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (!*this || ::getsockopt(state_->descriptor.fd(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return failure_errno("reading the peer's credentials");
  return PeerCredentials{.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

struct SeqPacketListener::State {
  Descriptor descriptor;
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
};

namespace {

// A file that nobody listens on is left over from a process that died.
void remove_stale(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  if (auto somebody = connected(path); !somebody && errno == ECONNREFUSED) ::unlink(path.c_str());
}

Result<Fd> listen_at(const std::string& path, mode_t mode) {
  auto address = unix_address(path);
  if (!address) return std::unexpected(address.error());
  auto socket = make_unix();
  if (!socket) return socket;
  remove_stale(path);
  if (::bind(socket->get(), generic(*address), sizeof *address) != 0) return std::unexpected(Error{errno_text(errno)});
  // Nobody can connect before listen(), so the permissions are in force for the first one too.
  if (::chmod(path.c_str(), mode) != 0 || ::listen(socket->get(), 128) != 0) return std::unexpected(Error{errno_text(errno)});
  return socket;
}

}  // namespace

SeqPacketListener::SeqPacketListener() = default;
SeqPacketListener::~SeqPacketListener() { close(); }
SeqPacketListener::SeqPacketListener(SeqPacketListener&&) noexcept = default;
SeqPacketListener& SeqPacketListener::operator=(SeqPacketListener&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::move(other.state_);
  }
  return *this;
}

Result<SeqPacketListener> SeqPacketListener::open(Loop& loop, const std::string& path, mode_t mode) {
  auto socket = listen_at(path, mode);
  if (!socket) return std::unexpected(std::move(socket.error()).during("listening on " + path));
  struct stat status{};
  ::lstat(path.c_str(), &status);
  auto descriptor = Descriptor::adopt(loop, std::move(*socket));
  if (!descriptor) return std::unexpected(descriptor.error());
  SeqPacketListener listener;
  listener.state_ = std::make_shared<State>(std::move(*descriptor), path, status.st_dev, status.st_ino);
  return listener;
}

Task<Result<SeqPacket>> SeqPacketListener::accept() {
  const auto state = state_;
  while (state && state->descriptor) {
    Fd socket(::accept4(state->descriptor.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) co_return SeqPacket::adopt(state->descriptor.loop(), std::move(socket));
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) co_return failure_errno("accepting on " + state->path);
    std::ignore = co_await state->descriptor.readable();
  }
  co_return failure("the listener was closed");
}

void SeqPacketListener::close() {
  if (!state_ || !state_->descriptor) return;
  unlink();
  state_->descriptor.close();
}

void SeqPacketListener::unlink() const {
  struct stat status{};
  if (::lstat(state_->path.c_str(), &status) == 0 && status.st_dev == state_->device && status.st_ino == state_->inode)
    ::unlink(state_->path.c_str());
}

}  // namespace culvert::net
