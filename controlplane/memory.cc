#include "controlplane/memory.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "common/base/log.h"

namespace culvert::controlplane {
namespace {

constexpr std::size_t kMib = 1 << 20;
constexpr std::chrono::seconds kEvery{5};
constexpr unsigned kMostSkipped = 12;     // looks, each of which finds as much resident as the one before
constexpr std::size_t kGrown = 8 * kMib;  // since the last time

std::size_t own_pages() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0, resident = 0, shared = 0;
  file >> size >> resident >> shared;
  return (resident - std::min(resident, shared)) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t used_bytes() {
  const struct mallinfo2 all = ::mallinfo2();
  return all.uordblks + all.hblkhd;
}

}  // namespace

void set_heaps() {
  constexpr int kHeaps = 2;  // of the control thread, and of gRPC's
  ::mallopt(M_ARENA_MAX, kHeaps);
  ::mallopt(M_MMAP_THRESHOLD, static_cast<int>(kMib));
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(16 * kMib));
}

bool Trim::is_due(const Footprint& now, std::size_t left) {
  return now.unused() > left + kGrown && now.unused() > std::max(2 * kGrown, now.used / 16);
}

Trim::Trim(net::Loop& loop) : timer_(loop) {
  timer_.arm(kEvery, [this] { look(); });
}

void Trim::look() {
  timer_.arm(kEvery, [this] { look(); });
  // What is in use takes a moment to find out: where as much is resident as the last time, more and more seldom. Not seldom at once: what a thousand nodes
  // had in use when they came is free a moment later, and as much resident.
  const std::size_t resident = own_pages();
  const bool same = std::max(resident, looked_at_) - std::min(resident, looked_at_) < kMib;
  if (same && ++skipped_ < skip_) return;
  skip_ = same ? std::min(2 * skip_, kMostSkipped) : 1;
  looked_at_ = resident;
  skipped_ = 0;
  const Footprint now{.resident = resident, .used = used_bytes()};
  left_ = std::min(left_, now.unused());
  if (!is_due(now, left_)) return;
  ::malloc_trim(0);
  const Footprint after{.resident = own_pages(), .used = now.used};
  left_ = after.unused();
  log::debug("memory", "gave back what is not used",
             {log::field("before", now.resident), log::field("after", after.resident), log::field("used", now.used)});
}

}  // namespace culvert::controlplane
