#include "cli/local/loop.h"

#include <poll.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace culvert::local {

void Loop::watch(int fd, std::function<void()> readable) { watched_[fd] = std::move(readable); }
void Loop::forget(int fd) { watched_.erase(fd); }

Loop::Timer Loop::after(std::chrono::milliseconds wait, std::function<void()> then) {
  timers_.emplace(std::pair(Clock::now() + wait, ++last_), std::move(then));
  return last_;
}

void Loop::cancel(Timer timer) {
  std::erase_if(timers_, [timer](const auto& entry) { return entry.first.second == timer; });
}

void Loop::turn() {
  using std::chrono::milliseconds;
  int wait = -1;
  if (!timers_.empty()) {
    const auto left = std::chrono::ceil<milliseconds>(timers_.begin()->first.first - Clock::now()).count();
    wait = static_cast<int>(std::clamp<long>(left, 0, 60'000));
  }
  std::vector<pollfd> fds;
  for (const auto& [fd, callback] : watched_) fds.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  if (::poll(fds.data(), fds.size(), wait) > 0) {
    for (const auto& ready : fds) {
      if (ready.revents == 0) continue;
      const auto found = watched_.find(ready.fd);  // an earlier callback may have removed it
      if (found == watched_.end()) continue;
      const auto callback = found->second;  // a copy: it may remove itself
      callback();
    }
  }
  while (!timers_.empty() && timers_.begin()->first.first <= Clock::now()) {
    auto then = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    then();
  }
}

}  // namespace culvert::local
