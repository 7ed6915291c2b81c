#pragma once
// Inside of Loop. Of this folder only: the one header with Asio in it.

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "common/net/loop.h"

namespace culvert::net {

namespace detail {

// The coroutine that owns a spawned task. Linked in its loop while it lives, so that ~Loop can end it.
struct Root {
  struct promise_type {
    promise_type(Loop::Core& core, Task<>& task);
    ~promise_type();
    static void* operator new(std::size_t size) { return allocate_frame(size); }
    static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }
    Root get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }

    Loop::Core& core;
    promise_type* older = nullptr;
    promise_type* newer = nullptr;
  };
};

}  // namespace detail

struct Loop::Core {
  boost::asio::io_context context{1};  // one thread runs it
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{context.get_executor()};
  std::atomic<bool> stopping = false;
  std::atomic<std::thread::id> thread{};          // that runs it; none before and after
  std::vector<std::coroutine_handle<>> ready;     // resume in the next turn
  std::vector<std::coroutine_handle<>> resuming;  // being resumed now
  bool ready_posted = false;
  detail::Root::promise_type* newest = nullptr;
  std::unique_ptr<std::byte[]> scratch;

  void resume_ready();
};

}  // namespace culvert::net
