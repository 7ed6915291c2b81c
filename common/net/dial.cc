#include "common/net/dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <expected>

#include "common/base/format.h"
#include "common/net/sockaddr.h"
#include "common/net/timer.h"

namespace culvert::net {

// Makes a Stream of a socket whose handshake is under way.
class Dialler {
 public:
  struct Failed {
    int number = 0;           // errno; ETIMEDOUT also when our own time is over
    bool port_taken = false;  // another source port may do
    std::string text = {};
  };
  using Attempted = std::expected<Stream, Failed>;

  static Task<Attempted> attempt(Loop& loop, const DialOptions& options, std::uint16_t port, Clock::duration limit);

 private:
  static std::expected<Fd, Failed> prepare(const DialOptions& options, std::uint16_t port);
  static Task<int> finish(Descriptor& descriptor, Clock::duration limit);
};

namespace {

constexpr int kMaxTakenPorts = 64;
constexpr int kMostOfOwnPorts = 8;  // taken ones, before `more_ports` are tried
// A taken port's neighbours are taken as well when they belong to connections that were opened one after the other and live on. So each further
// try goes twice as far, up to a prime that leads 64 tries once around a worker's range.
constexpr std::uint32_t kLongestStep = 251;

Dialler::Failed failed(std::string text, int number) { return {.number = number, .text = std::move(text)}; }

// Walks the range from a place of the thread's own, so that a port comes back as late as possible. `taken`: how many were in this dial's way.
std::uint16_t next_port(const PortRange& range, int taken) {
  thread_local std::uint32_t cursor = [] {
    std::uint32_t random = 0;
    return ::getrandom(&random, sizeof random, 0) == sizeof random ? random : 0;
  }();
  const std::uint32_t count = std::uint32_t{range.last} - range.first + 1;
  cursor += std::min((2U << std::min(taken, 30)) - 1, kLongestStep);
  return static_cast<std::uint16_t>(range.first + cursor % count);
}

Status set_options(int fd, int family, const DialOptions& options, std::uint16_t port) {
  if (auto set = set_option(fd, SOL_TCP, TCP_NODELAY, 1, "TCP_NODELAY"); !set) return set;
  if (auto set = set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE"); !set) return set;
  if (options.keepalive)
    if (auto set = apply_keepalive(fd, *options.keepalive); !set) return set;
  if (options.reset_if_torn)
    if (auto set = set_reset_on_close(fd); !set) return set;
  if (options.transparent)
    if (auto set = set_transparent(fd, family); !set) return set;
  if (auto set = set_mark_and_device(fd, options.mark, options.device); !set) return set;
  if (!options.from) return {};
  // Without a port the kernel chooses at connect, when the whole 4-tuple is known. With one, sockets to other destinations and
  // those in TIME_WAIT may have the same: only the 4-tuple has to be free.
  if (port == 0) return set_option(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT");
  return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
}

std::string seconds_text(Clock::duration duration) {
  return culvert::format("{}s", std::chrono::duration_cast<std::chrono::milliseconds>(duration).count() / 1000.0);
}

// What this process or this node has run out of: nobody at the other end is to blame.
bool is_our_limit(int number) {
  switch (number) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EADDRINUSE:
    case EADDRNOTAVAIL: return true;
    default: return false;
  }
}

Error final_error(const DialOptions& options, Dialler::Failed failed) {
  Reason reason = Reason::kConnectFailed;
  if (failed.number == ECONNREFUSED) reason = Reason::kConnectRefused;
  if (failed.number == ETIMEDOUT) reason = Reason::kConnectTimeout;
  if (is_our_limit(failed.number)) reason = Reason::kInternal;
  return Error{std::move(failed.text), reason}.during("dialling " + options.to.text());
}

}  // namespace

std::expected<Fd, Dialler::Failed> Dialler::prepare(const DialOptions& options, std::uint16_t port) {
  const int family = family_of(options.to.address);
  auto socket = make_socket(family, SOCK_STREAM, options.netns);
  if (!socket) return std::unexpected(failed(std::move(socket.error().text), errno));
  if (auto set = set_options(socket->get(), family, options, port); !set)
    return std::unexpected(failed(std::move(set.error().text), errno));
  if (!options.from) return std::move(*socket);

  Endpoint from = *options.from;
  from.port = port;
  const SockAddress source = to_sockaddr(from, family);
  if (::bind(socket->get(), source.get(), source.size) == 0) return std::move(*socket);
  const int number = errno;
  return std::unexpected(Failed{.number = number,
                                .port_taken = number == EADDRINUSE,
                                .text = culvert::format("binding to {}: {}", from.text(), errno_text(number))});
}

// Waits for the handshake's end; 0, or how it failed.
Task<int> Dialler::finish(Descriptor& descriptor, Clock::duration limit) {
  bool late = false;
  Timer timer(descriptor.loop());
  timer.arm(limit, [&] {
    late = true;
    descriptor.close();
  });
  std::ignore = co_await descriptor.writable();
  if (late) co_return ETIMEDOUT;
  int number = 0;
  socklen_t size = sizeof number;
  if (::getsockopt(descriptor.fd(), SOL_SOCKET, SO_ERROR, &number, &size) != 0) number = errno;
  co_return number;
}

Task<Dialler::Attempted> Dialler::attempt(Loop& loop, const DialOptions& options, std::uint16_t port, Clock::duration limit) {
  auto socket = prepare(options, port);
  if (!socket) co_return std::unexpected(std::move(socket.error()));
  const SockAddress to = to_sockaddr(options.to, family_of(options.to.address));
  // On the same machine the handshake is over by the time that connect() is back; asked once more, it says so.
  int number = ::connect(socket->get(), to.get(), to.size) == 0 ? 0 : errno;
  if (number == EINPROGRESS) number = ::connect(socket->get(), to.get(), to.size) == 0 ? 0 : errno;
  if (number != 0 && number != EALREADY)
    co_return std::unexpected(
        Failed{.number = number, .port_taken = number == EADDRNOTAVAIL || number == EADDRINUSE, .text = errno_text(number)});

  auto descriptor = Descriptor::adopt(loop, std::move(*socket), /*non_blocking=*/true);
  if (!descriptor) co_return std::unexpected(failed(std::move(descriptor.error().text), EMFILE));
  if (number == EALREADY) number = co_await finish(*descriptor, limit);
  if (number == ETIMEDOUT) co_return std::unexpected(failed("timed out after " + seconds_text(limit), number));
  if (number != 0) co_return std::unexpected(failed(errno_text(number), number));
  Stream stream(std::move(*descriptor), options.to);
  stream.reset_if_torn_ = options.reset_if_torn;
  co_return stream;
}

Task<Result<Stream>> dial(Loop& loop, DialOptions options) {
  const auto start = Clock::now();
  for (int taken = 0;;) {
    const auto left = options.timeout - (Clock::now() - start);
    const bool ours = options.from && options.ports;
    std::uint16_t port = options.from ? options.from->port : 0;
    Clock::duration limit = left;
    if (ours) {
      port = next_port(taken < kMostOfOwnPorts || !options.more_ports ? *options.ports : *options.more_ports, taken);
      limit = std::min<Clock::duration>(left, options.port_patience);
    }
    auto attempted = co_await Dialler::attempt(loop, options, port, limit);
    if (attempted) co_return std::move(*attempted);

    Dialler::Failed& failed = attempted.error();
    if (ours && failed.port_taken && ++taken < kMaxTakenPorts) continue;
    if (ours && failed.number == ETIMEDOUT && Clock::now() - start < options.timeout) continue;
    if (failed.number == ETIMEDOUT)
      failed.text = "timed out after " + seconds_text(std::min<Clock::duration>(Clock::now() - start, options.timeout));
    co_return std::unexpected(final_error(options, std::move(failed)));
  }
}

}  // namespace culvert::net
