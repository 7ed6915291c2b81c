#pragma once
// The thread that writes log lines. Lines collect in memory and go out together: a busy program pays one system call for many lines, an
// idle one never wakes for nothing, and whoever logs waits for nobody: what is too much is dropped, and said as soon as there is room again.
// A worker that logs takes the one lock that workers share; it is held for the copy of a line, never during a system call.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "common/base/mutex.h"

namespace culvert::log {

class Writer {
 public:
  // A line about so many that were dropped, in the format of the others; called by the thread.
  using Confess = std::function<std::string(std::uint64_t lines)>;

  Writer(int fd, Confess confess);  // the descriptor is not owned
  ~Writer() { finish(); }
  Writer(const Writer&) = delete;

  // Any thread. A line past what may wait is dropped and counted. For one that must not be lost, room is kept.
  void add(std::string_view line, bool must_not_be_lost = false);
  // Writes out what waits and ends the thread; what is added later is dropped.
  void finish();
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kMostBytes = 4 << 20;
  static constexpr std::size_t kKeptRoom = 1 << 20;
  void run();
  void write_out(std::string_view text) const;

  const int fd_;
  const Confess confess_;
  Mutex mutex_;
  std::condition_variable_any some_;
  std::string waiting_ CULVERT_GUARDED_BY(mutex_);
  bool asleep_ CULVERT_GUARDED_BY(mutex_) = false;  // the thread waits for a first line
  bool ending_ CULVERT_GUARDED_BY(mutex_) = false;
  std::uint64_t unsaid_ CULVERT_GUARDED_BY(mutex_) = 0;  // of those that were dropped
  std::atomic<std::uint64_t> dropped_{0};
  std::thread thread_;
};

}  // namespace culvert::log
