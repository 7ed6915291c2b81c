#include "common/net/stream.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "common/net/sockaddr.h"
#include "common/net/timer.h"

namespace culvert::net {
namespace {

bool is_reset(int number) { return number == ECONNRESET || number == EPIPE || number == ECONNABORTED; }

int int_option(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

Result<Stream> Stream::adopt(Loop& loop, Fd socket) {
  const int family = int_option(socket.get(), SO_DOMAIN);
  if (family == AF_INET || family == AF_INET6)
    if (auto set = set_option(socket.get(), SOL_TCP, TCP_NODELAY, 1, "TCP_NODELAY"); !set) return std::unexpected(set.error());
  SockAddress peer;
  if (::getpeername(socket.get(), peer.get(), &peer.size) != 0) peer = {};
  auto descriptor = Descriptor::adopt(loop, std::move(socket));
  if (!descriptor) return std::unexpected(descriptor.error());
  return Stream(std::move(*descriptor), from_sockaddr(peer));
}

Result<std::pair<Stream, Stream>> Stream::pair(Loop& loop) { return make_pair_of<Stream>(loop, SOCK_STREAM); }

// A reset or an error is remembered: the kernel reports it once, to whichever call comes first, and says EOF afterwards.
Io Stream::ended(int number) {
  end_ = {.state = is_reset(number) ? Io::kReset : Io::kError, .error = number};
  return end_;
}

Io Stream::try_read(std::span<std::byte> into) {
  if (!*this) return {.state = Io::kError, .error = ECANCELED};
  for (;;) {
    const ssize_t n = ::recv(fd(), into.data(), into.size(), 0);
    if (n > 0) {
      more_ = static_cast<std::size_t>(n) == into.size();
      return {.bytes = static_cast<std::size_t>(n)};
    }
    more_ = false;
    if (n == 0) {
      if (into.empty()) return {};
      return end_.ok() ? Io{.state = Io::kEof} : end_;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return {.state = Io::kWouldBlock};
    return ended(errno);
  }
}

Io Stream::try_write(std::span<const std::byte> from) {
  const iovec part = {.iov_base = const_cast<std::byte*>(from.data()), .iov_len = from.size()};
  return try_writev({&part, 1});
}

Io Stream::try_writev(std::span<const iovec> parts) {
  if (!*this) return {.state = Io::kError, .error = ECANCELED};
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = std::min<std::size_t>(parts.size(), IOV_MAX);
  for (;;) {
    const ssize_t n = ::sendmsg(fd(), &message, MSG_NOSIGNAL);
    if (n >= 0) return {.bytes = static_cast<std::size_t>(n)};
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return {.state = Io::kWouldBlock};
    if (errno == EPIPE && wrote_fin_) return {.state = Io::kError, .error = EPIPE};  // our own doing
    // Bytes that came before the reset may still be there to read, so only the end is noted.
    return ended(errno);
  }
}

Stream::Wait Stream::readable() { return descriptor_.readable(more_ || !end_.ok()); }
Stream::Wait Stream::writable() { return descriptor_.writable(); }
Stream::Wait Stream::broken() { return descriptor_.broken(); }

Io Stream::check() {
  if (!*this) return {.state = Io::kError, .error = ECANCELED};
  if (const int number = int_option(fd(), SO_ERROR); end_.ok() && number > 0) return ended(number);
  return end_;
}

Task<Io> Stream::read(std::span<std::byte> into) {
  for (;;) {
    const Io io = try_read(into);
    if (io.state != Io::kWouldBlock) co_return io;
    std::ignore = co_await readable();  // when closed, the next try says so
  }
}

Task<Io> Stream::write_all(std::span<const std::byte> from) {
  std::size_t written = 0;
  while (written < from.size()) {
    Io io = try_write(from.subspan(written));
    if (io.ok()) {
      written += io.bytes;
    } else if (io.state == Io::kWouldBlock) {
      std::ignore = co_await writable();
    } else {
      io.bytes = written;
      co_return io;
    }
  }
  co_return Io{.bytes = written};
}

void Stream::shutdown_write() {
  if (!*this || std::exchange(wrote_fin_, true)) return;
  if (std::exchange(reset_if_torn_, false)) {
    const linger none = {.l_onoff = 0, .l_linger = 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  }
  ::shutdown(fd(), SHUT_WR);
}

void Stream::reset() {
  if (!*this) return;
  std::ignore = set_reset_on_close(fd());
  close();
}

Task<> Stream::reset_after_sending(Clock::duration patience) {
  const auto deadline = Clock::now() + patience;
  for (auto pause = std::chrono::milliseconds(1); *this; pause = std::min(pause * 2, std::chrono::milliseconds(50))) {
    int unsent = 0;
    if (::ioctl(fd(), SIOCOUTQ, &unsent) != 0 || unsent == 0 || Clock::now() >= deadline) break;
    co_await sleep_for(loop(), pause);
  }
  reset();
}

void Stream::close() { descriptor_.close(); }

Fd Stream::release() { return descriptor_.release(); }

Endpoint Stream::local() const {
  SockAddress address;
  if (!*this || ::getsockname(fd(), address.get(), &address.size) != 0) return {};
  return from_sockaddr(address);
}

Status Stream::set_keepalive(const Keepalive& keepalive) { return apply_keepalive(fd(), keepalive); }

Status Stream::set_user_timeout(std::chrono::milliseconds timeout) {
  return set_option(fd(), SOL_TCP, TCP_USER_TIMEOUT, static_cast<int>(timeout.count()), "TCP_USER_TIMEOUT");
}

void Stream::set_unsent_low_water(std::size_t bytes) {
  std::ignore = set_option(fd(), SOL_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(bytes), "TCP_NOTSENT_LOWAT");
}

}  // namespace culvert::net
