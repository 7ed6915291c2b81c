#pragma once
// The server end of HBONE: one accepted connection on port 15008, its TLS handshake, and each CONNECT on it as a call.

#include <functional>
#include <memory>
#include <optional>

#include "common/base/address.h"
#include "common/base/identity.h"
#include "common/hbone/tunnel.h"
#include "common/tls/session.h"

namespace culvert::hbone {

// One CONNECT that waits for its answer. Bytes that the peer sends early wait in the stream, bounded by its window.
// Destroying it unanswered answers 503.
class Incoming {
 public:
  Incoming(Incoming&&) noexcept;
  Incoming& operator=(Incoming&&) = delete;
  ~Incoming();

  const ConnectRequest& request() const;  // empty once it is answered
  const Identity& peer_identity() const;  // proven by the client's certificate
  Endpoint peer() const;                  // TCP peer of the tunnel: the client pod, or a waypoint
  Endpoint local() const;                 // which address of ours was dialled
  bool gone() const;                      // the peer gave up meanwhile
  Stopper stopper() const;

  TunnelStream accept(std::string baggage = {});  // 200
  void refuse(int status);                        // 400, 401, 503: headers only

 private:
  friend struct ServerEnd;
  Incoming(std::shared_ptr<StreamState> state, ConnectRequest request, Charge charge);
  std::shared_ptr<StreamState> answered();
  std::shared_ptr<StreamState> state_;
  ConnectRequest request_;
  Charge charge_;  // for the request
};

using Handler = std::function<net::Task<void>(Incoming)>;

// A way to tell a running serve() from outside, on the same thread.
class ServerControl {
 public:
  void drain();               // GOAWAY: live streams go on, serve() returns when they have ended
  void close(Reason reason);  // at once; the streams end with `reason`
  const std::optional<Reason>& closed() const { return closed_; }
  bool idle() const;  // no stream is open, and it was not told to drain
  // What close() does while serve() has not begun.
  void on_early_close(std::function<void()> function) { early_ = std::move(function); }

 private:
  friend struct ServerEnd;
  std::weak_ptr<Tunnel> tunnel_;
  bool draining_ = false;
  std::optional<Reason> closed_;
  std::function<void()> early_;
};

struct ServeOptions {
  TunnelOptions tunnel;
  std::shared_ptr<ServerControl> control = {};
  // The peer has proven who it is, and costs more than a socket and a handshake from here on. False: there is no room for it.
  std::function<bool(const Identity&)> established = {};
};

// Serves one accepted connection until it is over: handshake within its timeout, then every CONNECT is handed to `handler`, which
// runs as a coroutine of its own. Requests that are no CONNECT or cannot be read are answered 400 here.
// Returns when the tunnel is gone and every handler has returned; after a failed handshake, when its socket is closed, too: the peer has a
// second to read why. Fails with kTlsFailure when the handshake did, with
// kHttp2Failure when the peer broke the protocol, with kTunnelLost when the connection was cut under live streams, with kInternal when
// there was no room for it.
net::Task<Status> serve(net::Loop& loop, net::Stream socket, tls::Context tls, ServeOptions options, Handler handler);

}  // namespace culvert::hbone
