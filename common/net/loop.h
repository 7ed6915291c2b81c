#pragma once
// One thread's event loop: an io_context of Asio that nobody outside this folder sees. Whatever lives on a Loop (streams,
// listeners, timers, tasks) is made, used and destroyed on its thread; only post() and stop() may be called from others.

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "common/net/task.h"

namespace culvert::net {

using Clock = std::chrono::steady_clock;

class Loop {
 public:
  Loop();
  // Destroys the tasks that have not ended, newest first. Everything else that lives on the loop must be gone or owned by them.
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs on the calling thread until stop(). May be called again afterwards.
  void run();
  // Any thread. run() returns after the handler that is running now.
  void stop();

  // Any thread that ends, or stops posting, before the loop is destroyed. Functions of one caller run in order. What is still queued when the loop is destroyed never runs.
  void post(std::move_only_function<void()> function);

  // Starts `task` now, on this thread, and keeps it until it ends. Only on the loop's thread, or before run().
  void spawn(Task<> task);

  // Runs the loop until `task` ends: for tests and small programs.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    spawn([](Loop* loop, Task<T> awaited, std::optional<T>* out) -> Task<> {
      out->emplace(co_await awaited);
      loop->stop();
    }(this, std::move(task), &result));
    run();
    return std::move(*result);
  }
  void run(Task<> task);

  // Resumes after everything that is ready now has had its turn. For long loops that never wait.
  class [[nodiscard]] Yield {
   public:
    explicit Yield(Loop& loop) : loop_(loop) {}
    Yield(const Yield&) = delete;
    ~Yield() {
      if (handle_) loop_.forget(handle_);
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { loop_.resume_soon(handle_ = handle); }
    void await_resume() noexcept { handle_ = {}; }

   private:
    Loop& loop_;
    std::coroutine_handle<> handle_;
  };
  Yield yield() { return Yield(*this); }

  // Resumes after the handler that is running now: how events wake their waiters without re-entering whoever signals.
  void resume_soon(std::coroutine_handle<> handle);
  // Takes back what resume_soon queued and has not run yet (the frame is being destroyed).
  void forget(std::coroutine_handle<> handle);

  // 256 KiB shared by everything on this loop. What it holds is good until the next co_await.
  std::span<std::byte> scratch();

  // Is this the thread that runs the loop? True before run().
  bool here() const;

  struct Core;  // this folder's
  Core& core() { return *core_; }

 private:
  std::unique_ptr<Core> core_;
};

// A Loop and the thread that runs it. Stops and joins when destroyed.
class LoopThread {
 public:
  explicit LoopThread(std::string name);  // at most 15 characters, shown by ps -L
  ~LoopThread();
  Loop& loop() { return loop_; }
  // Runs `function` on the loop and waits for it. Never from the loop itself.
  void call(std::move_only_function<void()> function);

 private:
  Loop loop_;
  std::thread thread_;
};

}  // namespace culvert::net
