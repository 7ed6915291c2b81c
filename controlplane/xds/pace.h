#pragma once
// When the next round of pushes may begin: as long after the last one as keeps pushing from costing more than a share of one core, whatever the number of
// nodes and of changes. What changes meanwhile is in that round. With few nodes, or little that changes, a round is due at once. Pure: the clocks are
// passed in.

#include <algorithm>
#include <chrono>

namespace culvert::controlplane {

class Pace {
 public:
  using Duration = std::chrono::nanoseconds;
  static constexpr int kPercent = 80;                               // of a core
  static constexpr Duration kMost = std::chrono::milliseconds(80);  // between the beginnings of two rounds

  // A round begins. Both clocks since whenever: of the wall, and of the processors that this process has used.
  void begin(Duration now, Duration used) {
    began_ = now;
    used_ = used;
    any_ = true;
  }
  // How long the next one still has to wait; zero when it may begin.
  Duration wait(Duration now, Duration used) const {
    if (!any_) return Duration::zero();
    const Duration due = std::min(kMost, (used - used_) * 100 / kPercent);
    return std::max(Duration::zero(), began_ + due - now);
  }

 private:
  Duration began_{}, used_{};
  bool any_ = false;
};

}  // namespace culvert::controlplane
