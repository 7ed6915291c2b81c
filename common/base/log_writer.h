#pragma once
// The thread that writes log lines. Lines collect in memory and go out together: a busy program pays one system call for many lines, an
// idle one never wakes for nothing, and whoever logs waits for nobody.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace culvert::log {

class Writer {
 public:
  explicit Writer(int fd);  // not owned
  ~Writer() { finish(); }
  Writer(const Writer&) = delete;

  // Any thread. A line past what may wait is dropped and counted.
  void add(std::string_view line);
  // Writes out what waits and ends the thread; what is added later is dropped.
  void finish();
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kMostBytes = 4 << 20;
  void run();
  void write_out(std::string_view text) const;

  const int fd_;
  // Held for an append or a swap, never during a system call: the one lock that workers share, and hardly ever wait for.
  std::mutex mutex_;
  std::condition_variable some_;
  std::string waiting_;
  bool asleep_ = false;  // the thread waits for a first line
  bool ending_ = false;
  std::atomic<std::uint64_t> dropped_{0};
  std::thread thread_;
};

}  // namespace culvert::log
