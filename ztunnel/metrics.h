#pragma once
// What a scrape of /metrics shows: the counters of all workers added up, and what the control thread knows (protocols.md §6.9).

#include <cstdint>
#include <string>

#include "common/xds/ads_client.h"
#include "ztunnel/record/counters.h"

namespace culvert::ztunnel {

struct Figures {
  Counts counts;  // of all workers
  xds::AdsCounters xds;
  std::uint64_t proxies_active = 0, proxies_pending = 0, proxies_started = 0, proxies_stopped = 0;
  std::uint64_t log_lines_dropped = 0;
  std::uint64_t workers = 0;
};

// Prometheus text format 0.0.4.
std::string metrics_text(const Figures& figures);

}  // namespace culvert::ztunnel
