#include "common/net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "common/net/sockaddr.h"
#include "common/net/timer.h"

namespace culvert::net {
namespace {

constexpr int kAcceptedATurn = 32;
constexpr auto kPauseWhenExhausted = std::chrono::milliseconds(20);

Status prepare(int fd, int family, const ListenOptions& options) {
  if (auto set = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"); !set) return set;
  if (options.reuse_port)
    if (auto set = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"); !set) return set;
  if (family == AF_INET6)
    if (auto set = set_option(fd, SOL_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0, "IPV6_V6ONLY"); !set) return set;
  if (options.transparent)
    if (auto set = set_transparent(fd, family); !set) return set;
  if (options.keepalive)
    if (auto set = apply_keepalive(fd, *options.keepalive); !set) return set;
  // Accepted sockets inherit both. Urgent data stays in its place: left out of band, it would be lost on the way.
  if (auto set = set_option(fd, SOL_TCP, TCP_NODELAY, 1, "TCP_NODELAY"); !set) return set;
  if (auto set = set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE"); !set) return set;
  if (options.reset_if_torn)
    if (auto set = set_reset_on_close(fd); !set) return set;  // inherited as well
  return set_mark_and_device(fd, options.mark, options.device);
}

Result<Fd> listen_at(const ListenOptions& options) {
  const int family = family_of(options.at.address);
  auto socket = make_socket(family, SOCK_STREAM, options.netns);
  if (!socket) return socket;
  if (auto set = prepare(socket->get(), family, options); !set) return std::unexpected(set.error());
  const SockAddress address = to_sockaddr(options.at, family);
  if (::bind(socket->get(), address.get(), address.size) != 0) return failure_errno("binding");
  if (::listen(socket->get(), options.backlog) != 0) return failure_errno("listening");
  return socket;
}

bool concerns_one_connection(int number) {
  switch (number) {  // accept(2): errors of the new connection, to be treated like EAGAIN
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH: return true;
    default: return false;
  }
}

}  // namespace

struct Listener::State {
  Descriptor descriptor;
  int at_once = 0;  // connections accepted since anybody else had a turn
  bool reset_if_torn = false;
};

Listener::Listener() = default;
Listener::~Listener() { close(); }
Listener::Listener(Listener&&) noexcept = default;
Listener& Listener::operator=(Listener&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::move(other.state_);
  }
  return *this;
}

Result<Listener> Listener::open(Loop& loop, const ListenOptions& options) {
  auto socket = listen_at(options);
  if (!socket) return std::unexpected(std::move(socket.error()).during("listening on " + options.at.text()));
  auto listener = adopt(loop, std::move(*socket));
  if (listener) listener->state_->reset_if_torn = options.reset_if_torn;
  return listener;
}

Result<Listener> Listener::adopt(Loop& loop, Fd socket) {
  auto descriptor = Descriptor::adopt(loop, std::move(socket));
  if (!descriptor) return std::unexpected(descriptor.error());
  Listener listener;
  listener.state_ = std::make_shared<State>(std::move(*descriptor), 0);
  return listener;
}

Listener::operator bool() const { return state_ && state_->descriptor; }
void Listener::close() {
  if (state_) state_->descriptor.close();
}
bool Listener::closed() const { return !*this; }
int Listener::fd() const { return state_ ? state_->descriptor.fd() : -1; }

Endpoint Listener::local() const {
  SockAddress address;
  if (!*this || ::getsockname(fd(), address.get(), &address.size) != 0) return {};
  return from_sockaddr(address);
}

Task<Result<Stream>> Listener::accept() {
  const auto state = state_;  // lives until the waiter has seen that it was closed
  while (state && state->descriptor) {
    SockAddress peer;
    Fd socket(::accept4(state->descriptor.fd(), peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      if (++state->at_once >= kAcceptedATurn) {
        state->at_once = 0;
        co_await state->descriptor.loop().yield();
      }
      auto descriptor = Descriptor::adopt(state->descriptor.loop(), std::move(socket), /*non_blocking=*/true);
      if (!descriptor) co_return std::unexpected(descriptor.error());
      Stream stream(std::move(*descriptor), from_sockaddr(peer));
      stream.reset_if_torn_ = state->reset_if_torn;
      co_return stream;
    }
    const int number = errno;
    if (number == EAGAIN) {
      state->at_once = 0;
      std::ignore = co_await state->descriptor.readable();
    } else if (!concerns_one_connection(number)) {
      co_await sleep_for(state->descriptor.loop(), kPauseWhenExhausted);
      co_return failure("accepting a connection: " + errno_text(number));
    }
  }
  co_return failure("the listener was closed");
}

}  // namespace culvert::net
