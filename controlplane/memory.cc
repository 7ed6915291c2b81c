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
constexpr unsigned kMostWait = 12;        // looks that find no more than was left
constexpr std::size_t kGrown = 8 * kMib;  // since the last time

std::size_t own_pages() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0, resident = 0, shared = 0;
  file >> size >> resident >> shared;
  return (resident - std::min(resident, shared)) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

void set_heaps() {
  constexpr int kHeaps = 2;  // of the control thread, and of gRPC's
  ::mallopt(M_ARENA_MAX, kHeaps);
  ::mallopt(M_MMAP_THRESHOLD, static_cast<int>(kMib));
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(16 * kMib));
}

bool TrimPace::is_due(std::size_t resident) {
  const bool grown = resident > left_ + kGrown;
  if (!grown && ++looks_ < wait_) return false;
  wait_ = grown ? 1 : std::min(2 * wait_, kMostWait);
  looks_ = 0;
  return true;
}

Trim::Trim(net::Loop& loop) : timer_(loop) {
  timer_.arm(kEvery, [this] { look(); });
}

void Trim::look() {
  timer_.arm(kEvery, [this] { look(); });
  const std::size_t before = own_pages();
  if (!pace_.is_due(before)) return;
  ::malloc_trim(0);
  const std::size_t after = own_pages();
  pace_.gave_back(after);
  log::debug("memory", "gave back what is not used", {log::field("before", before), log::field("after", after)});
}

}  // namespace culvert::controlplane
