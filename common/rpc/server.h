#pragma once
// A gRPC server over TLS 1.3, on nghttp2 and threads of its own (docs/adr/0024): messages are bytes, and every event arrives on a net::Loop.
//
//   auto server = CallServer::start(loop, {.address = "[::]:15012", .certificate_file = ..., .key_file = ...}, [](CallRef call) {
//     if (call->path() != "/my.Service/Method") return call->finish({12, "unknown method"});
//     call->accept({.on_message = [...](std::string message) { ... }, .on_sent = {}, .on_end = [...] { ... }});
//   });
//
// A plaintext port there is only if asked for. What a caller can cost is bounded: connections and what they may do before somebody has said that they are proved (gate.h),
// message and metadata size, streams a connection, calls in all, memory, the time to a finished handshake. Nothing of a call that is one too many
// reaches the loop. Destroy the CallServer on its loop's thread, before the loop: live calls end with UNAVAILABLE.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/http/http2.h"
#include "common/net/loop.h"
#include "common/rpc/client.h"
#include "common/rpc/door.h"

namespace culvert::rpc {

struct ServerOptions {
  std::string address;              // "[::]:15012", "127.0.0.1:0": an IP address and a port
  std::string plaintext_address{};  // the same without TLS; empty: none
  std::string certificate_file;     // PEM chain; this and the key are read again within seconds of their change
  std::string key_file;
  Gate::Limits connections{};
  std::size_t max_calls = 20'000;  // at one time, of all connections; further ones are refused with RESOURCE_EXHAUSTED
  std::size_t max_message_bytes = 16 << 20;
  std::size_t max_memory =
      128 << 20;  // of messages that are on their way in, beyond 64 KiB a call: who sends a larger one waits for his turn
  std::chrono::milliseconds handshake_timeout{10'000};
  std::chrono::milliseconds message_timeout{
      30'000};  // from the memory for a message, which others may wait for, to its last byte
  std::chrono::milliseconds max_connection_age{30 * 60 * 1000};  // then the client connects again, and is spread and proved anew
};

using Pieces = http::Http2::Pieces;

// One call from the server's side. Only on the loop. Kept alive by whoever holds it; may be held after its end.
class ServerCall {
 public:
  struct Events {
    std::function<void(std::string message)> on_message;  // the next is read when this has returned
    std::function<void()> on_sent;                        // everything given to send() is on its way; may be empty
    std::function<void()> on_end;  // the peer is gone or has finished: the last event. Not after finish() or answer()
    bool one_message = false;      // no second one is read: the peer may finish sending, and is answered when there is an answer
  };

  virtual ~ServerCall() = default;
  virtual const std::string& path() const = 0;  // "/package.Service/Method"
  virtual const Endpoint& peer() const = 0;
  // PEM of the chain that the caller has shown, leaf first; empty: none. He has the key of the leaf: nothing else of it has been looked at.
  virtual const std::string& certificate() const = 0;
  virtual std::string_view metadata(std::string_view name) const = 0;  // "" when not sent; name in lower case

  // Its caller has proved who it is: its connection may stay, and have more calls.
  virtual void proved(const std::string& caller) = 0;

  virtual void accept(Events events) = 0;        // begins to read
  virtual void send(std::string message) = 0;    // queued, in order
  virtual void send(Pieces message) = 0;         // the same, of a message in pieces
  virtual void answer(std::string message) = 0;  // the only message, and the end: OK
  virtual void finish(Ended status) = 0;         // the end; messages still queued are dropped
};
using CallRef = std::shared_ptr<ServerCall>;

class CallServer {
 public:
  using Handler = std::function<void(CallRef call)>;  // on the loop, for each call that begins

  // Fails when the address cannot be bound, or the certificate cannot be read.
  static Result<std::unique_ptr<CallServer>> start(net::Loop& loop, const ServerOptions& options, Handler handler);
  ~CallServer();
  CallServer(const CallServer&) = delete;
  CallServer& operator=(const CallServer&) = delete;

  std::uint16_t port() const;
  std::uint16_t plaintext_port() const;  // 0: none
  std::size_t calls() const;             // that live now
  Door::Figures figures() const;

 private:
  struct State;
  explicit CallServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace culvert::rpc
