#include "common/net/event.h"

namespace culvert::net {

Event::~Event() {
  while (first_ != nullptr) {  // they end with their coroutines; nothing will wake them
    first_->handle_ = {};
    unlink(*first_);
  }
}

void Event::notify_all() {
  while (first_ != nullptr) wake(*first_);
}

void Event::notify_one() {
  if (first_ != nullptr) wake(*first_);
}

void Event::set() {
  set_ = true;
  notify_all();
}

void Event::wake(Wait& waiter) {
  unlink(waiter);
  waiter.queued_ = true;
  loop_->resume_soon(waiter.handle_);
}

void Event::unlink(Wait& waiter) {
  (waiter.previous_ != nullptr ? waiter.previous_->next_ : first_) = waiter.next_;
  (waiter.next_ != nullptr ? waiter.next_->previous_ : last_) = waiter.previous_;
  waiter.previous_ = waiter.next_ = nullptr;
  waiter.event_ = nullptr;
}

Event::Wait::~Wait() {
  if (!handle_) return;
  if (event_ != nullptr) event_->unlink(*this);
  if (queued_) loop_->forget(handle_);
}

void Event::Wait::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  loop_ = event_->loop_;
  previous_ = event_->last_;
  (previous_ != nullptr ? previous_->next_ : event_->first_) = this;
  event_->last_ = this;
}

void Event::Wait::await_resume() noexcept {
  queued_ = false;
  handle_ = {};
}

Task<bool> Event::wait_for(Clock::duration limit) {
  bool in_time = true;
  Wait wait(*this);
  Timer timer(*loop_);
  timer.arm(limit, [&] {
    if (wait.event_ == nullptr) return;  // woken already
    in_time = false;
    wake(wait);
  });
  co_await wait;
  co_return in_time;
}

}  // namespace culvert::net
