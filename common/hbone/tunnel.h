#pragma once
// A tunnel: one TCP connection, TLS 1.3 on it, HTTP/2 in that, CONNECT streams in that. Both ends of HBONE use it.
//
//   app socket <-> relay <-> TunnelStream <-> Tunnel { Engine | tls::Session | net::Stream } <-> the other node
//
// Owner and thread: a tunnel belongs to one net::Loop and is touched on its thread alone. It lives while its socket does; streams
// hold it, and a TunnelStream outlives a lost tunnel harmlessly.
// Ends: a lost TCP connection, a TLS truncation, a broken peer or a missed PING end every stream with kTunnelLost, and their
// application sockets are reset: a cut is never taken for a clean end.
// Memory: an idle stream holds no buffer. Bytes for an application that does not read wait in the stream, never more than its
// receive window (EngineOptions), and over all tunnels that share a Backlog never more than its limit. Bytes for the peer are read from
// applications only while the tunnel's output is below a mark.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "common/base/address.h"
#include "common/base/identity.h"
#include "common/base/result.h"
#include "common/hbone/engine.h"
#include "common/hbone/request.h"
#include "common/net/io.h"
#include "common/net/stream.h"
#include "common/net/task.h"

namespace culvert::hbone {

// The memory that all tunnels of one worker hold: they themselves, what waits for applications that do not read, what waits for peers
// that do not read, and requests that are not answered yet. Past half of the limit the windows of streams shrink as their bytes are taken,
// and less is read from applications; past the limit, a stream or request that would have to wait as well is reset, and a tunnel is lost
// whose peer takes nothing and has more to be told.
struct Backlog {
  std::size_t limit = 0;
  std::size_t held = 0;

  bool tight() const { return held > limit / 2; }
  bool full() const { return held >= limit; }
  bool has_room(std::size_t more) const { return held + more <= limit; }
};

// One holder's part of a Backlog; of none, it counts nothing.
class Charge {
 public:
  explicit Charge(std::shared_ptr<Backlog> backlog) : backlog_(std::move(backlog)) {}
  Charge(Charge&& other) noexcept : backlog_(std::move(other.backlog_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&&) = delete;
  ~Charge() { set(0); }

  std::size_t bytes() const { return bytes_; }
  void set(std::size_t bytes) {
    if (backlog_ != nullptr) backlog_->held += bytes - bytes_;
    bytes_ = bytes;
  }

 private:
  std::shared_ptr<Backlog> backlog_;
  std::size_t bytes_ = 0;
};

struct TunnelOptions {
  EngineOptions engine = {};
  std::chrono::milliseconds handshake_timeout{10'000};  // TLS and the peer's first SETTINGS
  std::chrono::milliseconds ping_after{10'000};         // of silence from the peer
  std::chrono::milliseconds ping_timeout{20'000};       // then the tunnel is lost
  std::chrono::milliseconds idle_close{900'000};        // a server's tunnel without streams is drained; clients go earlier (Pool)
  std::size_t output_mark = 192 * 1024;                 // applications are read while less than this waits for the socket
  std::shared_ptr<Backlog> backlog = {};                // none: no limit
};

class Tunnel;
struct Relayed;
struct StreamState;  // of tunnel_life.h

// Ends a live stream from outside, from any holder on the same thread; harmless once the stream is over.
class Stopper {
 public:
  Stopper() = default;
  void stop(Reason reason) const;  // relay() returns with this reason, both sides see a reset

 private:
  friend class TunnelStream;
  friend class Incoming;
  std::weak_ptr<StreamState> state_;
};

// One CONNECT stream. Move-only handle; destroying one that is not finished both ways resets it.
class TunnelStream {
 public:
  TunnelStream() = default;
  TunnelStream(TunnelStream&&) noexcept;
  TunnelStream& operator=(TunnelStream&& other) noexcept;
  ~TunnelStream();

  explicit operator bool() const { return state_ != nullptr; }
  const ConnectResponse& response() const;  // client: what the far end answered
  const Identity& peer_identity() const;    // the tunnel's
  Endpoint peer() const;                    // TCP peer of the tunnel
  Endpoint local() const;
  Stopper stopper() const;

  // Waits for bytes and copies them out; kEof after END_STREAM, kReset after a reset, a stop or a lost tunnel.
  net::Task<net::Io> read(std::span<std::byte> into);
  // Waits for room and sends; returns when everything is queued.
  net::Task<net::Io> write_all(std::span<const std::byte> bytes);
  void shutdown_write();  // END_STREAM
  void reset(Reason reason = Reason::kPeerReset);
  Reason ended() const;  // kNone while it lives or when it ended cleanly

 private:
  friend class Tunnel;
  friend class Incoming;
  friend class Pool;
  friend net::Task<> relay(net::Stream& app, TunnelStream& stream, Relayed& out);
  friend class Carrier;
  explicit TunnelStream(std::shared_ptr<StreamState> state);
  std::shared_ptr<StreamState> state_;
};

// What a relay carried and why it ended. Directions are the application's: `sent` went from it into the tunnel.
struct Relayed {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;     // delivered to the application's kernel
  Reason reason = Reason::kNone;  // kNone: both directions ended by FIN and END_STREAM
  std::string text;               // what happened, when it was not a clean end
};

// Carries bytes between an application's socket and a stream of the same loop until both directions have ended or either side is
// reset. Each direction closes on its own: FIN <-> END_STREAM. A reset of one side becomes a reset of the other, after the bytes
// that came before it. On return the stream is over and the socket is shut down both ways or reset; both may be destroyed.
// Closing `app` or stopping the stream (Stopper) from elsewhere ends the relay; so does destroying the task.
// `out` is kept up to date while it runs, so that long connections can be counted and a cut one is logged right.
net::Task<> relay(net::Stream& app, TunnelStream& stream, Relayed& out);

}  // namespace culvert::hbone
