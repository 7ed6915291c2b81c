#pragma once
// A Session on a net::Stream as coroutines: for admin clients, tests and whatever is not the data path (which drives the Session itself).

#include <chrono>

#include "common/net/stream.h"
#include "common/tls/session.h"

namespace culvert::tls {

class Stream {
 public:
  // Shakes hands. The error text names the peer's address.
  static net::Task<Result<Stream>> open(net::Stream socket, Session session,
                                        std::chrono::milliseconds timeout = std::chrono::seconds(10));

  // At least one byte, or how it ended. kEof only after close_notify; a connection that was cut is kReset.
  net::Task<net::Io> read(std::span<std::byte> into);
  net::Task<net::Io> write_all(std::span<const std::byte> from);
  // close_notify and FIN.
  net::Task<> shutdown();

  Session& session() { return session_; }
  net::Stream& socket() { return socket_; }

 private:
  Stream(net::Stream socket, Session session) : socket_(std::move(socket)), session_(std::move(session)) {}
  net::Task<net::Io> flush();

  net::Stream socket_;
  Session session_;
};

}  // namespace culvert::tls
