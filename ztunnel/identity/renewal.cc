#include "ztunnel/identity/renewal.h"

#include <algorithm>

namespace culvert::ztunnel {

Clock::time_point renew_at(Clock::time_point not_before, Clock::time_point not_after) {
  return not_before + (not_after - not_before) / 2;
}

std::chrono::milliseconds retry_pause(unsigned failures, std::uint64_t random) {
  constexpr double kFirst = 500, kMost = 150'000, kSpread = 0.2;
  const double doubled = kFirst * static_cast<double>(1ULL << std::min(failures == 0 ? 0U : failures - 1, 20U));
  const double part = static_cast<double>(random >> 11) / static_cast<double>(1ULL << 53);  // 0..1
  const double pause = std::min(doubled, kMost) * (1 + kSpread * (2 * part - 1));
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::min(pause, kMost)));
}

}  // namespace culvert::ztunnel
