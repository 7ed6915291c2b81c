#include "controlplane/snapshot/lookup.h"

#include <utility>

#include "common/derive/service_entry.h"

namespace culvert::controlplane {
namespace {

const Lookup::Names& names_or_none(const auto& index, std::string_view key) {
  static const Lookup::Names kNone;
  const auto found = index.find(key);
  return found == index.end() ? kNone : found->second;
}

void take_out(auto& index, const auto& key, std::string_view name) {
  const auto found = index.find(key);
  if (found == index.end()) return;  // a key that is there twice
  found->second.erase(name);
  if (found->second.empty()) index.erase(found);
}

}  // namespace

void Lookup::put(const model::Workload& workload) {
  Entry entry{.of_node = workload.network_mode == model::NetworkMode::kHostNetwork, .node = workload.node};
  for (const IpAddress& address : workload.addresses)
    entry.aliases.push_back(model::NetworkAddress{workload.network, address}.text());
  for (const auto& [service, ports] : workload.services) entry.services.push_back(service);
  put(workload.uid, std::move(entry));
}

void Lookup::put(const model::Service& service) {
  Entry entry;
  for (const model::Vip& vip : service.vips) {
    entry.aliases.push_back(vip.is_host() ? model::NetworkAddress{vip.network, vip.range.address}.text()
                                          : vip.network + "/" + vip.range.text());
    if (!vip.is_host()) entry.ranges.push_back({vip.network, derive::masked(vip.range)});
  }
  put(service.key(), std::move(entry));
}

void Lookup::put(const std::string& name, Entry entry) {
  remove(name);
  const auto place = entries_.emplace(name, std::move(entry)).first;
  const Entry& its = place->second;
  for (const std::string& alias : its.aliases) by_alias_[alias].insert(place->first);
  for (const std::string& service : its.services) by_service_[service].insert(place->first);
  if (!its.node.empty()) by_node_[its.node].insert(place->first);
  for (const model::Vip& range : its.ranges) put_range(range, place->first);
}

void Lookup::put_range(const model::Vip& range, std::string_view name) {
  by_range_[{range.network, range.range.address.is_v6()}][range.range.length][range.range.address].insert(name);
}

void Lookup::remove_range(const model::Vip& range, std::string_view name) {
  const auto lengths = by_range_.find({range.network, range.range.address.is_v6()});
  if (lengths == by_range_.end()) return;  // a range that is there twice
  const auto ranges = lengths->second.find(range.range.length);
  if (ranges == lengths->second.end()) return;
  take_out(ranges->second, range.range.address, name);
  if (ranges->second.empty()) lengths->second.erase(ranges);
  if (lengths->second.empty()) by_range_.erase(lengths);
}

void Lookup::remove(std::string_view name) {
  const auto place = entries_.find(name);
  if (place == entries_.end()) return;
  const Entry& its = place->second;
  for (const std::string& alias : its.aliases) take_out(by_alias_, alias, name);
  for (const std::string& service : its.services) take_out(by_service_, service, name);
  take_out(by_node_, its.node, name);
  for (const model::Vip& range : its.ranges) remove_range(range, name);
  entries_.erase(place);
}

const Lookup::Entry* Lookup::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

const Lookup::Names& Lookup::at(std::string_view alias) const { return names_or_none(by_alias_, alias); }

const Lookup::Names& Lookup::endpoints_of(std::string_view service) const { return names_or_none(by_service_, service); }

const Lookup::Names& Lookup::on(std::string_view node) const { return names_or_none(by_node_, node); }

std::vector<std::string_view> Lookup::around(std::string_view address) const {
  std::vector<std::string_view> out;
  if (by_range_.empty()) return out;
  const auto parsed = model::NetworkAddress::parse(address);
  const auto lengths = parsed ? by_range_.find({parsed->network, parsed->address.is_v6()}) : by_range_.end();
  if (lengths == by_range_.end()) return out;
  for (const auto& [length, ranges] : lengths->second) {
    const auto found = ranges.find(derive::masked({parsed->address, length}).address);
    if (found == ranges.end()) continue;
    for (const std::string_view name : found->second) {
      if (out.size() == kMostAround) return out;
      out.push_back(name);
    }
  }
  return out;
}

}  // namespace culvert::controlplane
