#pragma once
// A condition that coroutines of one Loop wait for. Waiters resume after the handler that signals, never inside it.
//
//   while (queue.empty()) co_await changed.wait();        // notify() wakes whoever waits now and leaves no trace
//   if (!co_await ready.wait_for(5s)) ...                 // set() wakes everybody, now and later, until clear()

#include <coroutine>

#include "common/net/timer.h"

namespace culvert::net {

class Event {
 public:
  explicit Event(Loop& loop) : loop_(&loop) {}
  ~Event();  // whoever still waits is never woken
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void notify_all();
  void notify_one();
  void set();
  void clear() { set_ = false; }
  bool is_set() const { return set_; }
  bool has_waiters() const { return first_ != nullptr; }

  class [[nodiscard]] Wait {
   public:
    explicit Wait(Event& event) : event_(&event) {}
    Wait(const Wait&) = delete;
    ~Wait();
    bool await_ready() const noexcept { return event_->set_; }
    void await_suspend(std::coroutine_handle<> handle);
    void await_resume() noexcept;

   private:
    friend class Event;
    Event* event_;          // null once woken
    Loop* loop_ = nullptr;  // set while suspended
    std::coroutine_handle<> handle_;
    Wait* next_ = nullptr;
    Wait* previous_ = nullptr;
    bool queued_ = false;  // woken, waiting for its turn
  };

  Wait wait() { return Wait(*this); }
  // False when the time passed first.
  Task<bool> wait_for(Clock::duration limit);

 private:
  void wake(Wait& waiter);
  void unlink(Wait& waiter);

  Loop* loop_;
  Wait* first_ = nullptr;
  Wait* last_ = nullptr;
  bool set_ = false;
};

}  // namespace culvert::net
