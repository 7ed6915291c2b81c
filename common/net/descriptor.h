#pragma once
// A file descriptor that coroutines of one Loop wait on: what Stream, Listener and the others are made of, and for any other
// descriptor that epoll takes (a BPF ring buffer, a pidfd).
//
// Waits are level-triggered: what is ready when the wait begins ends it. At most one coroutine waits for each direction.

#include <array>
#include <coroutine>
#include <cstdint>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/net/loop.h"

namespace culvert::net {

class Descriptor {
 public:
  Descriptor() = default;  // none
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;

  // Makes `fd` non-blocking, unless it is known to be so, and adds it to the loop.
  static Result<Descriptor> adopt(Loop& loop, Fd fd, bool non_blocking = false);

  explicit operator bool() const;  // neither none nor closed
  int fd() const;                  // -1 when closed
  Loop& loop() const;

  enum class Direction : std::uint8_t { kRead, kWrite, kBroken };
  struct State;

  class [[nodiscard]] Wait {
   public:
    Wait(State* state, Direction direction, bool ready);
    Wait(const Wait&) = delete;
    ~Wait();
    bool await_ready() const noexcept;
    void await_suspend(std::coroutine_handle<> handle);
    Status await_resume();  // fails only when the descriptor was closed by us

   private:
    State* state_;
    Direction direction_;
    bool ready_;
    bool suspended_ = false;
  };
  // `ready`: known to be so, do not wait at all.
  Wait readable(bool ready = false) const { return {state_, Direction::kRead, ready}; }
  Wait writable() const { return {state_, Direction::kWrite, false}; }
  // An error, or the end of both directions of a socket.
  Wait broken() const { return {state_, Direction::kBroken, false}; }

  void close();  // wakes waiters with an error, in a later turn of the loop
  Fd release();  // leaves the loop without closing; wakes waiters like close()

 private:
  State* state_ = nullptr;
};

}  // namespace culvert::net
