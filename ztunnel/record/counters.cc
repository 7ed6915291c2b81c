#include "ztunnel/record/counters.h"

#include <algorithm>
#include <functional>

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

Counts& Counts::operator+=(const Counts& other) {
  for (const auto& [text, entry] : other.traffic) {
    auto& mine = traffic.try_emplace(text, entry.first, Traffic{}).first->second;
    mine.second += entry.second;
  }
  for (const auto& [text, entry] : other.dns) dns[text] += entry;
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

std::size_t Counters::KeyHash::operator()(const Key& key) const {
  const std::hash<const void*> pointer;
  const std::hash<Identity> identity;
  std::size_t hash = pointer(key.source) * 31 + pointer(key.destination);
  hash = hash * 31 + pointer(key.service) + static_cast<std::size_t>(key.reporter);
  if (key.source_identity) hash = hash * 31 + identity(*key.source_identity);
  if (key.destination_identity) hash = hash * 31 + identity(*key.destination_identity);
  return hash;
}

Traffic& Counters::traffic(const Facts& facts) {
  if (!facts.source_workload && facts.source_baggage != model::Baggage{}) return by_labels(facts);
  Key key{facts.reporter,      facts.source_workload.get(), facts.destination_workload.get(),
          facts.service.get(), facts.source_identity,       facts.destination_identity};
  if (const auto found = recent_.find(key); found != recent_.end()) return *found->second.traffic;
  Traffic& traffic = by_labels(facts);
  if (recent_.size() >= kMostRecent) recent_.clear();
  recent_.emplace(std::move(key), Recent{facts.source_workload, facts.destination_workload, facts.service, &traffic});
  return traffic;
}

Traffic& Counters::by_labels(const Facts& facts) {
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
  if (found == traffic_.end())
    found = traffic_.try_emplace(std::move(text), std::move(labels), std::make_unique<Traffic>()).first;
  return *found->second.second;
}

DnsCounts& Counters::dns(const model::Workload* client, std::string_view type, bool tcp) {
  const auto known = [](const std::string* text) {
    return text == nullptr || text->empty() ? std::string_view("unknown") : std::string_view(*text);
  };
  std::string labels;
  append_label(labels, "request_query_type", type);
  append_label(labels, "request_protocol", tcp ? "tcp" : "udp");
  append_label(labels, "source_canonical_service", known(client != nullptr ? &client->canonical_name : nullptr));
  append_label(labels, "source_canonical_revision", known(client != nullptr ? &client->canonical_revision : nullptr));
  return dns_[std::move(labels)];
}

Counts Counters::counts() {
  for (Meter* meter = first_meter_; meter != nullptr; meter = meter->next_) meter->read();
  Counts out;
  for (const auto& [text, entry] : traffic_) out.traffic.emplace(text, std::pair(entry.first, *entry.second));
  out.dns = dns_;
  out.ended = ended_;
  out.open = open_;
  return out;
}

}  // namespace culvert::ztunnel
