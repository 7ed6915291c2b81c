#include "ztunnel/inpod/dns_seen.h"

#include <string>

#include "common/base/log.h"

namespace culvert::ztunnel {
namespace {

std::string type_name(std::uint16_t type) {
  switch (type) {
    case 1: return "a";
    case 2: return "ns";
    case 5: return "cname";
    case 6: return "soa";
    case 12: return "ptr";
    case 15: return "mx";
    case 16: return "txt";
    case 28: return "aaaa";
    case 33: return "srv";
    case 65: return "https";
    case 255: return "any";
    default: return "other";  // a closed list: the type is the client's choice, and every label value costs memory
  }
}

std::string_view outcome_name(dns::Seen::Outcome outcome) {
  switch (outcome) {
    case dns::Seen::Outcome::kAnswered: return "answered";
    case dns::Seen::Outcome::kForwarded: return "forwarded";
    case dns::Seen::Outcome::kFailed: return "failed";
  }
  return "failed";
}

}  // namespace

void count_dns(Counters& counters, const Pod& pod, const model::Workload* client, const dns::Seen& seen) {
  DnsCounts& counts = counters.dns(client, type_name(seen.type), seen.tcp);
  ++counts.requests;
  if (seen.outcome != dns::Seen::Outcome::kAnswered) {
    ++counts.forwarded;
    if (seen.outcome == dns::Seen::Outcome::kFailed) ++counts.failed;
    const double seconds = std::chrono::duration<double>(seen.took).count();
    counts.seconds += seconds;
    for (std::size_t bucket = 0; bucket < counts.took.size(); ++bucket) {
      if (seconds > DnsCounts::kBuckets[bucket]) continue;
      ++counts.took[bucket];
      break;
    }
  }
  if (!log::enabled(log::Level::kDebug, "dns")) return;
  log::debug("dns", "query",
             {log::field("src.workload", pod.name.name), log::field("src.namespace", pod.name.name_space),
              log::field("query", type_name(seen.type)), log::field("domain", seen.name),
              log::field("result", std::string(outcome_name(seen.outcome))), log::field("endpoints", seen.addresses)});
}

}  // namespace culvert::ztunnel
