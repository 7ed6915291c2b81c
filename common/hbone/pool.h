#pragma once
// The tunnels that one worker keeps open, by who we are, whom we expect, where they are and from which pod we dial.
// Per key: streams go to the fullest tunnel with room (so that surplus ones run empty and close); another tunnel when all are full; one
// connect at a time, those who come meanwhile wait for it or for room elsewhere, whichever is first; an idle tunnel closes after
// `idle_close`; a dead one is dropped at once.
// One thread: the worker's.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/base/address.h"
#include "common/base/identity.h"
#include "common/hbone/tunnel.h"
#include "common/net/dial.h"
#include "common/tls/session.h"

namespace culvert::hbone {

struct PoolKey {
  Identity source;
  std::vector<Identity> expect;  // sorted; the peer must prove one of them
  Endpoint to;                   // the tunnel's TCP destination, ip:15008
  IpAddress from;                // the pod's address
  std::uint64_t netns = 0;       // cookie of the namespace that we dial in: two pods may share an address over time

  friend bool operator==(const PoolKey&, const PoolKey&) = default;
};

// How to reach a key's peer; asked anew for every dial, so that a renewed certificate is used.
struct DialPlan {
  net::DialOptions dial;
  tls::Context tls;  // this worker's, with the source's certificate
};
using Dialler = std::function<Result<DialPlan>(const PoolKey&)>;  // fails with kIdentityError when there is no certificate

struct PoolOptions {
  TunnelOptions tunnel;
  std::chrono::milliseconds connect_timeout{10'000};  // TCP; replaces DialOptions::timeout
  std::chrono::milliseconds answer_timeout{30'000};   // for the answer to a CONNECT
  std::chrono::milliseconds idle_close{300'000};
};

struct PoolCounts {
  std::uint64_t tunnels = 0;
  std::uint64_t streams = 0;
  std::uint64_t connects = 0;  // ever tried
  std::uint64_t failed = 0;    // of those
  std::uint64_t retries = 0;   // requests sent again on a fresh tunnel
};

class Pool {
 public:
  Pool(net::Loop& loop, PoolOptions options, Dialler dialler);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // A stream to `request.authority` over a tunnel of `key`, answered with 200. Fails with the dial's or the handshake's reason
  // (kNetworkPolicy when the connect timed out), kHttpStatus for another answer, kTunnelLost.
  // Sent again once, on a fresh tunnel, when the peer provably did not look at it (GOAWAY below it, REFUSED_STREAM).
  net::Task<Result<TunnelStream>> open(PoolKey key, ConnectRequest request);

  // Ends all tunnels that match, at once (pod removed, certificate revoked). Their streams end with `reason`.
  void close_if(const std::function<bool(const PoolKey&)>& matches, Reason reason);
  // No tunnel of today takes another stream; they close when their streams end (a new certificate, shutdown).
  void retire_if(const std::function<bool(const PoolKey&)>& matches);

  PoolCounts counts() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace culvert::hbone
