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

Writer::Writer(int fd, Confess confess) : fd_(fd), confess_(std::move(confess)), thread_([this] { run(); }) {}

void Writer::add(std::string_view line, bool must_not_be_lost) {
  const std::size_t most = must_not_be_lost ? kMostBytes + kKeptRoom : kMostBytes;
  bool wake = false;
  {
    const Lock lock(mutex_);
    if (ending_ || waiting_.size() + line.size() >= most) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      ++unsaid_;
      return;
    }
    waiting_.append(line).append(1, '\n');
    wake = std::exchange(asleep_, false);
  }
  if (wake) some_.notify_one();
}

void Writer::finish() {
  {
    const Lock lock(mutex_);
    ending_ = true;
  }
  some_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Writer::run() {
  std::string out;
  mutex_.lock();
  for (;;) {
    while (waiting_.empty() && !ending_) {
      asleep_ = true;
      some_.wait(mutex_);
    }
    asleep_ = false;
    if (waiting_.empty()) break;
    std::swap(out, waiting_);
    const std::uint64_t unsaid = std::exchange(unsaid_, 0);  // they would have come after these
    mutex_.unlock();
    if (unsaid > 0) out.append(confess_(unsaid)).append(1, '\n');
    write_out(out);
    out.clear();
    mutex_.lock();
    const auto until = std::chrono::steady_clock::now() + kGather;
    while (!ending_ && some_.wait_until(mutex_, until) != std::cv_status::timeout) {}
  }
  mutex_.unlock();
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
