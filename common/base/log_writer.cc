#include "common/base/log_writer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

namespace culvert::log {
namespace {

constexpr auto kGather = std::chrono::milliseconds(2);  // how long further lines may join before the next write

}  // namespace

Writer::Writer(int fd) : fd_(fd), thread_([this] { run(); }) {}

void Writer::add(std::string_view line) {
  bool wake = false;
  {
    const std::scoped_lock lock(mutex_);
    if (ending_ || waiting_.size() + line.size() >= kMostBytes) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    waiting_.append(line).append(1, '\n');
    wake = std::exchange(asleep_, false);
  }
  if (wake) some_.notify_one();
}

void Writer::finish() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  some_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Writer::run() {
  std::string out;
  std::unique_lock lock(mutex_);
  for (;;) {
    while (waiting_.empty() && !ending_) {
      asleep_ = true;
      some_.wait(lock);
    }
    asleep_ = false;
    if (waiting_.empty()) return;
    std::swap(out, waiting_);
    lock.unlock();
    write_out(out);
    out.clear();
    lock.lock();
    some_.wait_for(lock, kGather, [this] { return ending_; });
  }
}

void Writer::write_out(std::string_view text) const {
  while (!text.empty()) {
    const auto written = ::write(fd_, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd wait{fd_, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return;  // nobody reads our output any more
    }
  }
}

}  // namespace culvert::log
