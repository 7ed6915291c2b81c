#pragma once
// Time on a Loop.

#include <coroutine>
#include <functional>
#include <memory>

#include "common/net/loop.h"

namespace culvert::net {

// Calls a function once, at a time. Moving the deadline later (an idle timer pushed on by traffic) costs nothing: the timer
// looks again when the old deadline passes.
class Timer {
 public:
  explicit Timer(Loop& loop);
  ~Timer();  // cancels
  Timer(Timer&&) noexcept;
  Timer& operator=(Timer&&) noexcept;

  // `function` may arm the timer again, or destroy it.
  void arm(Clock::duration after, std::move_only_function<void()> function);
  // Only moves the deadline of an armed timer.
  void push(Clock::duration after);
  void cancel();
  bool armed() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// co_await sleep_for(loop, 10ms);
class [[nodiscard]] Sleep {
 public:
  Sleep(Loop& loop, Clock::duration duration) : timer_(loop), duration_(duration) {}
  bool await_ready() const noexcept { return duration_ <= Clock::duration::zero(); }
  void await_suspend(std::coroutine_handle<> handle) {
    timer_.arm(duration_, [handle] { handle.resume(); });
  }
  void await_resume() const noexcept {}

 private:
  Timer timer_;
  Clock::duration duration_;
};
inline Sleep sleep_for(Loop& loop, Clock::duration duration) { return {loop, duration}; }

}  // namespace culvert::net
