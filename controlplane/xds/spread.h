#pragma once
// How values are spread, for /metrics. On one thread.

#include <cstdint>
#include <string>
#include <vector>

#include "common/telemetry/registry.h"

namespace culvert::controlplane {

class Spread {
 public:
  // `bounds` grow; a last one without end is added. The registry must not outlive this.
  Spread(telemetry::Registry& registry, std::string name, std::string help, std::vector<double> bounds);
  Spread(const Spread&) = delete;
  Spread& operator=(const Spread&) = delete;

  void add(double value);

 private:
  std::vector<double> bounds_;
  std::vector<std::uint64_t> counts_;  // one more than bounds
  double sum_ = 0;
};

}  // namespace culvert::controlplane
