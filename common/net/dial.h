#pragma once
// Connecting out.

#include <optional>
#include <string>

#include "common/net/stream.h"

namespace culvert::net {

// Source ports that we choose ourselves instead of the kernel's ephemeral range: first..last, both included. Each Loop walks
// its range in its own order; give each worker a part of its own.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
};

struct DialOptions {
  Endpoint to;  // a link-local address needs its scope
  // Source. Port 0 lets the kernel choose late (IP_BIND_ADDRESS_NO_PORT), so nothing is scanned.
  std::optional<Endpoint> from = {};
  // With `from`: we choose the port; one that is taken, or gets no answer within `port_patience`, is replaced.
  std::optional<PortRange> ports = {};
  std::optional<PortRange> more_ports = {};  // where to go on once some of `ports` were taken; may be shared
  std::chrono::milliseconds port_patience{1000};
  std::uint32_t mark = 0;    // SO_MARK
  std::string device = {};   // SO_BINDTODEVICE
  bool transparent = false;  // IP_TRANSPARENT: `from` need not be ours
  int netns = -1;            // a network namespace descriptor, not owned; -1: the thread's own
  std::chrono::milliseconds timeout{10'000};
  std::optional<Keepalive> keepalive = {};
  bool reset_if_torn = false;  // see Stream
};

// Errors carry kConnectRefused, kConnectTimeout or kConnectFailed and read "dialling 10.0.0.1:80: ...".
// The caller that gives up destroys the Task; nothing is left behind.
Task<Result<Stream>> dial(Loop& loop, DialOptions options);

}  // namespace culvert::net
