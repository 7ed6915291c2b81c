#include "ztunnel/record/counters.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "ztunnel/record/record.h"

namespace culvert::ztunnel {

std::size_t flag_index(Reason reason) {
  const auto found = std::ranges::find(kResponseFlags, reason == Reason::kNone ? "-" : response_flag(reason));
  return found == kResponseFlags.end() ? 2 : static_cast<std::size_t>(found - kResponseFlags.begin());
}

Traffic& Traffic::operator+=(const Traffic& other) {
  opened += other.opened;
  for (std::size_t flag = 0; flag < closed.size(); ++flag) {
    closed[flag] += other.closed[flag];
    sent[flag] += other.sent[flag];
    received[flag] += other.received[flag];
  }
  return *this;
}

DnsCounts& DnsCounts::operator+=(const DnsCounts& other) {
  requests += other.requests;
  forwarded += other.forwarded;
  failed += other.failed;
  for (std::size_t bucket = 0; bucket < took.size(); ++bucket) took[bucket] += other.took[bucket];
  seconds += other.seconds;
  return *this;
}

namespace {

void add(Counts::TrafficByLabels& to, const Counts::TrafficByLabels& from) {
  for (const auto& [text, entry] : from) to.try_emplace(text, entry.first, Traffic{}).first->second.second += entry.second;
}

void add(std::map<std::string, DnsCounts>& to, const std::map<std::string, DnsCounts>& from) {
  for (const auto& [text, counts] : from) to[text] += counts;
}

}  // namespace

Counts& Counts::operator+=(const Counts& other) {
  add(traffic, other.traffic);
  add(retired, other.retired);
  add(dns, other.dns);
  add(retired_dns, other.retired_dns);
  for (std::size_t way = 0; way < dns_dropped.size(); ++way) dns_dropped[way] += other.dns_dropped[way];
  for (std::size_t side = 0; side < ended.size(); ++side) {
    for (std::size_t reason = 0; reason < kReasons; ++reason) ended[side][reason] += other.ended[side][reason];
    open[side] += other.open[side];
  }
  tunnels += other.tunnels;
  tunnel_streams += other.tunnel_streams;
  tunnel_connects += other.tunnel_connects;
  tunnel_failures += other.tunnel_failures;
  return *this;
}

void Retired::settle(Counts& sum) {
  add(kept_, sum.retired);
  sum.retired.clear();
  std::erase_if(kept_, [&](const auto& each) {
    const auto live = sum.traffic.find(each.first);
    if (live == sum.traffic.end()) return true;
    live->second.second += each.second.second;
    return false;
  });
  add(kept_dns_, sum.retired_dns);
  sum.retired_dns.clear();
  std::erase_if(kept_dns_, [&](const auto& each) {
    const auto live = sum.dns.find(each.first);
    if (live == sum.dns.end()) return true;
    live->second += each.second;
    return false;
  });
}

namespace {

std::size_t hash_of(Reporter reporter, std::initializer_list<const void*> objects,
                    std::initializer_list<const std::optional<Identity>*> identities) {
  auto hash = static_cast<std::size_t>(reporter);
  for (const void* object : objects) hash = hash * 31 + std::hash<const void*>{}(object);
  for (const auto* identity : identities) hash = hash * 31 + (*identity ? std::hash<Identity>{}(**identity) : 0);
  return hash;
}

}  // namespace

std::size_t Counters::KeyHash::operator()(const Key& key) const {
  return hash_of(key.reporter, {key.source, key.destination, key.service}, {&key.source_identity, &key.destination_identity});
}

std::size_t Counters::KeyHash::operator()(const Facts& facts) const {
  return hash_of(facts.reporter, {facts.source_workload.get(), facts.destination_workload.get(), facts.service.get()},
                 {&facts.source_identity, &facts.destination_identity});
}

bool Counters::KeyEqual::operator()(const Key& key, const Facts& facts) const {
  return key.reporter == facts.reporter && key.source == facts.source_workload.get() &&
         key.destination == facts.destination_workload.get() && key.service == facts.service.get() &&
         key.source_identity == facts.source_identity && key.destination_identity == facts.destination_identity;
}

TrafficSet& Counters::traffic(const Facts& facts) {
  if (!facts.source_workload && facts.source_baggage != model::Baggage{}) return by_labels(facts);
  if (const auto found = recent_.find(facts); found != recent_.end()) return *found->second.traffic;
  if (recent_.size() >= kMostRecent) turn_over();
  if (const auto found = older_.find(facts); found != older_.end())
    return *recent_.insert(older_.extract(found)).position->second.traffic;
  TrafficSet& set = by_labels(facts);
  Key key{facts.reporter,      facts.source_workload.get(), facts.destination_workload.get(),
          facts.service.get(), facts.source_identity,       facts.destination_identity};
  recent_.emplace(std::move(key), Recent{facts.source_workload, facts.destination_workload, facts.service, &set});
  return set;
}

void Counters::turn_over() {
  older_ = std::move(recent_);
  recent_.clear();
}

TrafficSet& Counters::by_labels(const Facts& facts) {
  auto labels = traffic_labels(facts);
  auto text = labels.with("");
  auto found = traffic_.find(text);
  if (found == traffic_.end() && traffic_.size() >= kMostSets) {
    Facts nameless;
    nameless.reporter = facts.reporter;
    labels = traffic_labels(nameless);
    text = labels.with("");
    found = traffic_.find(text);
  }
  if (found == traffic_.end()) {
    auto set = std::make_unique<TrafficSet>();
    set->labels = std::move(labels);
    set->since = Clock::now();
    found = traffic_.try_emplace(std::move(text), std::move(set)).first;
  }
  return *found->second;
}

// Called at scrapes alone: connections do not pay for it.
Counts::TrafficByLabels Counters::let_go(Clock::time_point now) {
  Counts::TrafficByLabels gone;
  std::erase_if(traffic_, [&](auto& each) {
    TrafficSet& set = *each.second;
    const std::uint64_t seen = std::accumulate(set.traffic.closed.begin(), set.traffic.closed.end(), set.traffic.opened);
    const bool moved = std::exchange(set.seen, seen) != seen;
    if (moved || set.holders != 0) set.since = now;
    if (now - set.since < kIdle) return false;
    gone.emplace(each.first, std::pair(std::move(set.labels), set.traffic));
    return true;
  });
  if (!gone.empty()) {  // they may be remembered
    recent_.clear();
    older_.clear();
  }
  return gone;
}

DnsCounts& Counters::dns(const model::Workload* client, std::string_view type, bool tcp) {
  const auto labels_of = [&](const model::Workload* whose) {
    const auto known = [whose](std::string model::Workload::* text) {
      return whose == nullptr || (whose->*text).empty() ? std::string_view("unknown") : std::string_view(whose->*text);
    };
    std::string labels;
    append_label(labels, "request_query_type", type);
    append_label(labels, "request_protocol", tcp ? "tcp" : "udp");
    append_label(labels, "source_canonical_service", known(&model::Workload::canonical_name));
    append_label(labels, "source_canonical_revision", known(&model::Workload::canonical_revision));
    return labels;
  };
  auto labels = labels_of(client);
  if (dns_.size() >= kMostSets && !dns_.contains(labels)) labels = labels_of(nullptr);
  const auto [found, fresh] = dns_.try_emplace(std::move(labels));
  if (fresh) found->second.since = Clock::now();
  return found->second.counts;
}

std::map<std::string, DnsCounts> Counters::let_go_dns(Clock::time_point now) {
  std::map<std::string, DnsCounts> gone;
  std::erase_if(dns_, [&](auto& each) {
    DnsSet& set = each.second;
    if (std::exchange(set.seen, set.counts.requests) != set.counts.requests) set.since = now;
    if (now - set.since < kIdle) return false;
    gone.emplace(each.first, set.counts);
    return true;
  });
  return gone;
}

Counts Counters::counts(Clock::time_point now) {
  for (Meter* meter = first_meter_; meter != nullptr; meter = meter->next_) meter->read();
  Counts out;
  out.retired = let_go(now);
  out.retired_dns = let_go_dns(now);
  turn_over();
  for (const auto& [text, set] : traffic_) out.traffic.emplace(text, std::pair(set->labels, set->traffic));
  for (const auto& [text, set] : dns_) out.dns.emplace(text, set.counts);
  out.dns_dropped = dns_dropped_;
  out.ended = ended_;
  out.open = open_;
  return out;
}

}  // namespace culvert::ztunnel
