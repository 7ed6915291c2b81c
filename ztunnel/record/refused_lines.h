#pragma once
// The lines about what one peer is refused: as many as somebody reads, at whatever rate he asks. What is left out is counted here, and all of it in
// the metrics. The caller brings the clock.

#include <chrono>
#include <cstdint>
#include <optional>

namespace culvert::ztunnel {

class RefusedLines {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::uint64_t kAtOnce = 50;
  static constexpr std::chrono::milliseconds kEach{100};  // then one in each of these

  // How many were left out since the one before; none: leave this one out as well.
  std::optional<std::uint64_t> say(Clock::time_point now);
  std::uint64_t left_out() const { return left_out_; }  // since the last one that was said

 private:
  Clock::time_point paid_ = Clock::time_point::min();  // what has been said is made up for by then
  std::uint64_t left_out_ = 0;
};

}  // namespace culvert::ztunnel
