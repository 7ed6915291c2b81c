#include "common/net/loop.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <future>

#include "common/base/check.h"
#include "common/net/core.h"

namespace culvert::net {
namespace {

constexpr std::size_t kScratchBytes = 256 * 1024;

detail::Root own(Loop::Core& /*core*/, Task<> task) { co_await task; }

}  // namespace

detail::Root::promise_type::promise_type(Loop::Core& owner, Task<>& /*task*/) : core(owner), older(owner.newest) {
  if (older != nullptr) older->newer = this;
  core.newest = this;
}

detail::Root::promise_type::~promise_type() {
  if (older != nullptr) older->newer = newer;
  if (newer != nullptr) newer->older = older;
  else core.newest = older;
}

Loop::Loop() : core_(std::make_unique<Core>()) {}

Loop::~Loop() {
  while (core_->newest != nullptr) std::coroutine_handle<detail::Root::promise_type>::from_promise(*core_->newest).destroy();
}

void Loop::run() {
  core_->thread = std::this_thread::get_id();
  while (!core_->stopping) {
    core_->context.restart();
    if (!core_->stopping) core_->context.run();
  }
  core_->stopping = false;
  core_->thread = std::thread::id();
}

void Loop::run(Task<> task) {
  spawn([](Loop* loop, Task<> awaited) -> Task<> {
    co_await awaited;
    loop->stop();
  }(this, std::move(task)));
  run();
}

void Loop::stop() {
  core_->stopping = true;
  core_->context.stop();
}

void Loop::post(std::move_only_function<void()> function) { boost::asio::post(core_->context, std::move(function)); }

void Loop::spawn(Task<> task) {
  CULVERT_CHECK(here());
  own(*core_, std::move(task));
}

bool Loop::here() const {
  const std::thread::id runner = core_->thread;
  return runner == std::thread::id() || runner == std::this_thread::get_id();
}

std::span<std::byte> Loop::scratch() {
  if (!core_->scratch) core_->scratch = std::make_unique_for_overwrite<std::byte[]>(kScratchBytes);
  return {core_->scratch.get(), kScratchBytes};
}

void Loop::resume_soon(std::coroutine_handle<> handle) {
  core_->ready.push_back(handle);
  if (std::exchange(core_->ready_posted, true)) return;
  boost::asio::post(core_->context, [core = core_.get()] { core->resume_ready(); });
}

void Loop::forget(std::coroutine_handle<> handle) {
  std::ranges::replace(core_->ready, handle, std::coroutine_handle<>());
  std::ranges::replace(core_->resuming, handle, std::coroutine_handle<>());
}

// What becomes ready meanwhile waits for the next turn, so that sockets get theirs.
void Loop::Core::resume_ready() {
  ready_posted = false;
  std::swap(ready, resuming);
  for (std::size_t i = 0; i < resuming.size(); ++i)
    if (const auto handle = std::exchange(resuming[i], {})) handle.resume();
  resuming.clear();
}

Task<> both(Task<> first, Task<> second) {
  const bool first_ended = first.start();
  const bool second_ended = second.start();
  if (!first_ended) co_await first.rest();
  if (!second_ended) co_await second.rest();
}

LoopThread::LoopThread(std::string name)
    : thread_([this, name = std::move(name)] {
        pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
        loop_.run();
      }) {}

LoopThread::~LoopThread() {
  loop_.stop();
  thread_.join();
}

void LoopThread::call(std::move_only_function<void()> function) {
  std::promise<void> done;
  loop_.post([&] {
    function();
    done.set_value();
  });
  done.get_future().wait();
}

}  // namespace culvert::net
