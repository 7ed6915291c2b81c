#pragma once
// The DNS proxy of one pod on one worker: takes the queries that the kernel turned to us (UDP and TCP, whatever resolver they were
// addressed to), answers those for services of the mesh, and hands all others to the very resolver that the pod asked, byte for byte: over
// UDP from the pod's network namespace, over TCP by the way that any connection of the pod to that resolver takes. Answers carry the
// resolver's address as source: the application notices nothing. What was addressed to our own port has nobody to go on to, and
// did not come from the pod: it is not answered.
// One Loop; nothing here outlives `run`. Limits: queries under way, of this proxy and of all; message sizes; idle time of a TCP connection.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/model/mesh.h"
#include "common/net/datagram.h"
#include "common/net/listener.h"
#include "common/net/stream.h"
#include "ztunnel/dns/load.h"
#include "ztunnel/dns/message.h"

namespace culvert::ztunnel::dns {

inline constexpr std::uint16_t kPort = 53;

// One query that was dealt with.
struct Seen {
  enum class Outcome : std::uint8_t { kAnswered, kForwarded, kFailed };
  Outcome outcome = Outcome::kAnswered;
  bool tcp = false;
  std::uint16_t type = 0;  // 0: could not be read
  std::string name = {};
  std::chrono::steady_clock::duration took{};  // of the resolver, when forwarded or failed
  std::size_t addresses = 0;                   // in our own answer
};

struct ProxyOptions {
  net::Loop* loop = nullptr;
  std::shared_ptr<const Fd> netns;  // of the pod
  std::uint32_t mark = 0;           // keeps our own queries from being captured
  std::string cluster_domain;
  std::chrono::milliseconds resolver_timeout{5000};
  std::chrono::milliseconds tcp_idle{5000};
  std::size_t most_under_way = 512;  // queries over UDP, and connections; further ones are dropped, as a full socket would do
  std::shared_ptr<Load> all = {};    // of all proxies of the worker; none: no limit
  std::function<std::shared_ptr<const model::Mesh>()> mesh;
  // A connection for `client` to the resolver that it asked; ends at once when there is no way.
  std::function<Result<net::Stream>(const Endpoint& client, const Endpoint& resolver)> dial;
  std::function<net::Task<model::WorkloadRef>()> client;  // the pod's own workload; null when it does not appear in time
  std::function<void(const model::Workload* client, const Seen&)> seen;
  std::function<void(bool tcp)> dropped = {};  // a query or connection past a limit, or a query that is too long
};

class Proxy {
 public:
  // Both sockets listen at the DNS port of the pod and are transparent.
  Proxy(ProxyOptions options, net::Datagram udp, net::Listener tcp);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Starts serving on the loop.
  void start();
  // Closes the sockets; queries under way end on their own, within their limits. So does destroying it.
  void stop();
  std::size_t under_way() const;  // queries over UDP, and connections

  struct State;  // of proxy.cc

 private:
  std::shared_ptr<State> state_;
};

}  // namespace culvert::ztunnel::dns
