#pragma once
// What the first process of a world waits on: descriptors that become readable, and moments. One thread; callbacks may add and remove
// anything, themselves included. (common/net is for traffic; this program only forks and listens, and must stay free of threads for that.)

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>

namespace culvert::local {

class Loop {
 public:
  using Clock = std::chrono::steady_clock;
  using Timer = std::uint64_t;  // never 0

  void watch(int fd, std::function<void()> readable);  // readable, or closed by the other side; borrowed
  void forget(int fd);
  Timer after(std::chrono::milliseconds wait, std::function<void()> then);
  void cancel(Timer timer);
  // Waits once and calls what is due.
  void turn();

 private:
  std::map<int, std::function<void()>> watched_;
  std::map<std::pair<Clock::time_point, Timer>, std::function<void()>> timers_;
  Timer last_ = 0;
};

}  // namespace culvert::local
