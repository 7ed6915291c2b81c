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
//
// At most one coroutine waits for readable(), one for writable() and one for broken().

#include <sys/uio.h>

#include <coroutine>
#include <memory>
#include <span>

#include "common/base/address.h"
#include "common/base/fd.h"
#include "common/base/result.h"
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
  Stream();  // none
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  // Takes over a connected socket. Makes it non-blocking, sets TCP_NODELAY when it is TCP.
  static Result<Stream> adopt(Loop& loop, Fd socket);
  // Two ends of a socketpair, for tests.
  static Result<std::pair<Stream, Stream>> pair(Loop& loop);

  explicit operator bool() const;  // neither none nor closed
  Loop& loop() const;

  Io try_read(std::span<std::byte> into);
  Io try_write(std::span<const std::byte> from);
  Io try_writev(std::span<const iovec> parts);

  enum class Direction : std::uint8_t { kRead, kWrite, kBroken };
  struct State;  // of stream.cc
  class [[nodiscard]] Wait {
   public:
    Wait(State* state, Direction direction);
    Wait(const Wait&) = delete;
    ~Wait();
    bool await_ready() noexcept;
    void await_suspend(std::coroutine_handle<> handle);
    Status await_resume();  // fails only when the stream was closed by us

   private:
    State* state_;
    Direction direction_;
    bool waiting_ = false;
  };
  // Ready when a read would not block: bytes, EOF, reset or an error.
  Wait readable();
  Wait writable();
  // Ready when the connection was reset, or both directions have ended: to notice a reset while nothing is read.
  Wait broken();

  // One read that waits. Never kWouldBlock.
  Task<Io> read(std::span<std::byte> into);
  // Writes everything, or fails. `bytes` is what was written.
  Task<Io> write_all(std::span<const std::byte> from);

  void shutdown_write();
  void reset();
  void close();  // wakes waiters with an error
  Fd release();  // leaves the loop, stays open: for handing it to another loop or process. Nobody may be waiting.

  Endpoint local() const;  // for a captured connection: the destination that the application asked for
  Endpoint peer() const;
  int fd() const;

  Status set_keepalive(const Keepalive& keepalive);
  Status set_user_timeout(std::chrono::milliseconds timeout);
  void set_unsent_low_water(std::size_t bytes);  // TCP_NOTSENT_LOWAT: writable() only when less than this is unsent

 private:
  State* state_ = nullptr;
};

}  // namespace culvert::net
