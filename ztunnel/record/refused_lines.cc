#include "ztunnel/record/refused_lines.h"

#include <algorithm>
#include <utility>

namespace culvert::ztunnel {

std::optional<std::uint64_t> RefusedLines::say(Clock::time_point now) {
  const auto from = std::max(paid_, now);
  if (from - now > (kAtOnce - 1) * kEach) {
    ++left_out_;
    return std::nullopt;
  }
  paid_ = from + kEach;
  return std::exchange(left_out_, 0);
}

}  // namespace culvert::ztunnel
