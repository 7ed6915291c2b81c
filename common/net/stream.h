#pragma once
// A connected TCP or Unix stream socket on one Loop, non-blocking.
//
// Try first, wait only when there is nothing: a read that filled its buffer leaves readable() ready at once, so
//   for (;;) {
//     const Io io = stream.try_read(loop.scratch());
//     if (io.state == Io::kWouldBlock) { if (!co_await stream.readable()) break; continue; }
//     ...
//   }
// and the shorter `co_await stream.readable()` after a short read both cost one wait and no wasted system call.
//
// How a connection ends: shutdown_write() sends FIN once what was written has gone; reset() sends RST; close() and the
// destructor close the descriptor (the kernel sends FIN, or RST if unread bytes were left). A peer's RST is reported as
// kReset after the last readable byte, also when a write noticed it first; EOF and reset are never mixed up.
// One that is made with reset_if_torn ends for its peer in good order only by shutdown_write(): whatever else becomes of it, a kill of this
// process included, is a reset, so that nobody takes half of something for the whole.
//
// At most one coroutine waits for readable(), one for writable() and one for broken().

#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <span>
#include <utility>

#include "common/base/address.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/net/descriptor.h"
#include "common/net/io.h"
#include "common/net/loop.h"

namespace culvert::net {

// Keepalive of idle connections; Istio's defaults.
struct Keepalive {
  std::chrono::seconds idle{180};
  std::chrono::seconds interval{180};
  int probes = 9;
};

class Stream {
 public:
  Stream() = default;  // none

  // Takes over a connected socket. Makes it non-blocking, sets TCP_NODELAY when it is TCP.
  static Result<Stream> adopt(Loop& loop, Fd socket);
  // Two ends of a socketpair, for tests.
  static Result<std::pair<Stream, Stream>> pair(Loop& loop);

  explicit operator bool() const { return static_cast<bool>(descriptor_); }  // neither none nor closed
  Loop& loop() const { return descriptor_.loop(); }

  Io try_read(std::span<std::byte> into);
  Io try_write(std::span<const std::byte> from);
  Io try_writev(std::span<const iovec> parts);

  using Wait = Descriptor::Wait;  // co_await it: a Status that fails only when the stream was closed by us
  // Ready when a read would not block: bytes, EOF, reset or an error.
  Wait readable();
  Wait writable();
  // Ready when the connection was reset, or both directions have ended: to notice a reset while nothing is read.
  // check() says which it was.
  Wait broken();
  // kOk, or kReset or kError when the connection has broken, without reading: after EOF a read no longer tells.
  Io check();

  // One read that waits. Never kWouldBlock.
  Task<Io> read(std::span<std::byte> into);
  // Writes everything, or fails. `bytes` is what was written.
  Task<Io> write_all(std::span<const std::byte> from);

  void shutdown_write();
  void reset();
  // reset() that first gives the peer's kernel up to `patience` to take what was written, so that a reset which is passed on
  // overtakes no bytes.
  Task<> reset_after_sending(Clock::duration patience);
  void close();  // wakes waiters with an error
  Fd release();  // leaves the loop, stays open: for handing it to another loop or process. Nobody may be waiting.

  Endpoint local() const;  // for a captured connection: the destination that the application asked for
  const Endpoint& peer() const { return peer_; }
  int fd() const { return descriptor_.fd(); }

  Status set_keepalive(const Keepalive& keepalive);
  Status set_user_timeout(std::chrono::milliseconds timeout);
  void set_unsent_low_water(std::size_t bytes);  // TCP_NOTSENT_LOWAT: writable() only when less than this is unsent

 private:
  friend class Listener;
  friend class Dialler;
  Stream(Descriptor descriptor, Endpoint peer) : descriptor_(std::move(descriptor)), peer_(peer) {}
  Io ended(int number);

  Descriptor descriptor_;
  Endpoint peer_;
  Io end_;             // how reading ended for good, once it has
  bool more_ = false;  // the last read filled its buffer
  bool wrote_fin_ = false;
  bool reset_if_torn_ = false;
};

}  // namespace culvert::net
