#pragma once
// Memory that is no longer used goes back to the machine. The first list of a large cluster and a thousand nodes that come at once take as much again as what
// is kept, in small pieces between those that stay, which the C library would hold on to. On the control thread.

#include <cstddef>

#include "common/net/timer.h"

namespace culvert::controlplane {

// Few heaps, and large blocks outside of them. Before there are threads.
void set_heaps();

// When to give back, from how much is resident at each look. To give back takes a few milliseconds; to ask how much could be given back, which is a walk past
// every free piece, takes a hundred. Pure.
class TrimPace {
 public:
  // Whether to give back now: more is resident than the last time left, or it is a while since then. That while is short at first, since what was in use then
  // may be free a moment later and as much resident, and longer each time.
  bool is_due(std::size_t resident);
  void gave_back(std::size_t left) { left_ = left; }

 private:
  std::size_t left_ = 0;
  unsigned looks_ = 0, wait_ = 1;
};

class Trim {
 public:
  explicit Trim(net::Loop& loop);  // looks every now and then

 private:
  void look();

  net::Timer timer_;
  TrimPace pace_;
};

}  // namespace culvert::controlplane
