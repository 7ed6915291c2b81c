#pragma once
// Coroutines of one Loop. A life (a connection, a watch) is one function that returns Task<> and reads top to bottom.
//
//   net::Task<Result<Greeting>> greet(Loop& loop, Endpoint to) {
//     auto stream = co_await net::dial(loop, {.to = to});
//     if (!stream) co_return std::unexpected(stream.error());
//     ...
//   }
//
// Rules:
// * A Task is lazy: it starts when awaited (or given to Loop::spawn) and runs on the thread that awaits it. Await it once.
// * Destroying a Task that has not ended destroys its frame: its locals, and with them what they wait for.
// * Parameters go by value, except references to things that outlive the task. A coroutine lambda captures nothing.
// * No exception leaves a task: one that tries ends the program.
// * Frames come from a free list per thread: no malloc in the steady state.

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>

#include "common/base/check.h"

namespace culvert::net {

template <class T = void>
class Task;

namespace detail {

void* allocate_frame(std::size_t size);
void free_frame(void* frame, std::size_t size) noexcept;

struct PromiseBase {
  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }

  // Goes on with the awaiting coroutine; without one (the task ended while it was being started) the starter goes on by itself.
  struct Final {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
      const auto next = ended.promise().continuation;
      return next ? next : std::coroutine_handle<>(std::noop_coroutine());
    }
    void await_resume() noexcept {}
  };

  std::suspend_always initial_suspend() noexcept { return {}; }
  Final final_suspend() noexcept { return {}; }
  [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }

  std::coroutine_handle<> continuation;
};

template <class T>
struct Promise : PromiseBase {
  Task<T> get_return_object() noexcept;
  template <class U>
    requires std::constructible_from<T, U>
  void return_value(U&& value) {
    result.emplace(std::forward<U>(value));
  }
  void return_value(T&& value) { result.emplace(std::move(value)); }
  T take() { return std::move(*result); }

  std::optional<T> result;
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() noexcept {}
  void take() noexcept {}
};

}  // namespace detail

template <class T>
class [[nodiscard("a task does nothing until it is awaited or spawned")]] Task {
 public:
  using promise_type = detail::Promise<T>;

  Task() = default;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  explicit operator bool() const { return static_cast<bool>(handle_); }

  // Starting inside await_ready (the awaiting coroutine is not suspended yet) keeps tasks that end at once free of stack
  // growth, whatever the compiler makes of tail calls.
  bool await_ready() {
    CULVERT_CHECK(handle_ && !handle_.done());
    handle_.resume();
    return handle_.done();
  }
  void await_suspend(std::coroutine_handle<> awaiting) { handle_.promise().continuation = awaiting; }
  T await_resume() { return handle_.promise().take(); }

  // For joining several: start() runs until the first wait and says whether the task has ended; if not, rest() awaits the end.
  bool start() { return await_ready(); }
  auto rest() {
    struct Rest {
      std::coroutine_handle<promise_type> handle;
      bool await_ready() const { return handle.done(); }
      void await_suspend(std::coroutine_handle<> awaiting) { handle.promise().continuation = awaiting; }
      T await_resume() { return handle.promise().take(); }
    };
    return Rest{handle_};
  }

 private:
  std::coroutine_handle<promise_type> handle_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// Runs both on this loop, side by side, until both have ended.
Task<> both(Task<> first, Task<> second);

}  // namespace culvert::net
