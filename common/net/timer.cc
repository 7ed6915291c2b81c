#include "common/net/timer.h"

#include <boost/asio/basic_waitable_timer.hpp>

#include "common/net/core.h"

namespace culvert::net {

struct Timer::State : std::enable_shared_from_this<State> {
  using Waitable =
      boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, boost::asio::io_context::executor_type>;

  explicit State(Loop& loop) : timer(loop.core().context) {}

  void wait_until(Clock::time_point when) {
    timer.expires_at(when);  // ends a wait in progress
    timer.async_wait([self = shared_from_this(), wait = ++generation](const boost::system::error_code& error) {
      if (!error && wait == self->generation) self->passed();
    });
    waiting = true;
  }

  void passed() {
    waiting = false;
    if (!armed) return;
    if (deadline > Clock::now()) return wait_until(deadline);
    armed = false;
    std::exchange(function, {})();
  }

  Waitable timer;
  Clock::time_point deadline;
  std::move_only_function<void()> function;
  std::uint64_t generation = 0;
  bool armed = false;
  bool waiting = false;
};

Timer::Timer(Loop& loop) : state_(std::make_shared<State>(loop)) {}
Timer::Timer(Timer&&) noexcept = default;

Timer& Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}

Timer::~Timer() { cancel(); }

void Timer::arm(Clock::duration after, std::move_only_function<void()> function) {
  state_->function = std::move(function);
  state_->armed = true;
  push(after);
}

void Timer::push(Clock::duration after) {
  if (!state_->armed) return;
  state_->deadline = Clock::now() + after;
  if (!state_->waiting || state_->deadline < state_->timer.expiry()) state_->wait_until(state_->deadline);
}

void Timer::cancel() {
  if (!state_) return;
  state_->armed = false;
  state_->function = {};
  if (!std::exchange(state_->waiting, false)) return;
  ++state_->generation;
  state_->timer.cancel();
}

bool Timer::armed() const { return state_->armed; }

}  // namespace culvert::net
