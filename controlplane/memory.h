#pragma once
// Memory that is no longer used goes back to the machine. The first list of a large cluster and a thousand nodes that come at once take as much again as what
// is kept, in small pieces between those that stay, which the C library would hold on to. On the control thread.

#include <algorithm>
#include <cstddef>

#include "common/net/timer.h"

namespace culvert::controlplane {

// Few heaps, and large blocks outside of them. Before there are threads.
void set_heaps();

// In bytes: what the process has of its own, and what of it is in use.
struct Footprint {
  std::size_t resident = 0, used = 0;

  std::size_t unused() const { return resident - std::min(resident, used); }
};

class Trim {
 public:
  explicit Trim(net::Loop& loop);  // looks every now and then
  // Whether to give back what is not used, of which `left` could not be when it was last tried: when that is much, and more than then. Pure.
  static bool is_due(const Footprint& now, std::size_t left);

 private:
  void look();

  net::Timer timer_;
  std::size_t left_ = 0, looked_at_ = 0;
  unsigned skipped_ = 0, skip_ = 1;
};

}  // namespace culvert::controlplane
