#pragma once
// Counts and logs what the DNS proxy of a pod did.

#include <chrono>

#include "ztunnel/dns/proxy.h"
#include "ztunnel/record/counters.h"
#include "ztunnel/worker/pod.h"

namespace culvert::ztunnel {

// How long the first queries of a new pod wait for its workload to appear.
inline constexpr std::chrono::seconds kDnsPatience{2};

void count_dns(Counters& counters, const Pod& pod, const model::Workload* client, const dns::Seen& seen);

}  // namespace culvert::ztunnel
