#include "controlplane/snapshot/lookup.h"

#include <functional>
#include <utility>

namespace culvert::controlplane {
namespace {

const Lookup::Names& names_or_none(const auto& index, std::string_view key) {
  static const Lookup::Names kNone;
  const auto found = index.find(key);
  return found == index.end() ? kNone : found->second;
}

void take_out(auto& index, const std::string& key, std::string_view name) {
  const auto found = index.find(key);
  if (found == index.end()) return;  // a key that is there twice
  found->second.erase(name);
  if (found->second.empty()) index.erase(found);
}

}  // namespace

void Lookup::put(const model::Workload& workload) {
  Entry entry{.aliases = {}, .services = {}, .node = workload.node};
  for (const IpAddress& address : workload.addresses)
    entry.aliases.push_back(model::NetworkAddress{workload.network, address}.text());
  for (const auto& [service, ports] : workload.services) entry.services.push_back(service);
  put(workload.uid, std::move(entry));
}

void Lookup::put(const model::Service& service) {
  Entry entry;
  for (const model::Vip& vip : service.vips)
    entry.aliases.push_back(vip.is_host() ? model::NetworkAddress{vip.network, vip.range.address}.text()
                                          : vip.network + "/" + vip.range.text());
  put(service.key(), std::move(entry));
}

void Lookup::put(const std::string& name, Entry entry) {
  remove(name);
  const auto place = entries_.emplace(name, std::move(entry)).first;
  const Entry& its = place->second;
  for (const std::string& alias : its.aliases) by_alias_[alias].insert(place->first);
  for (const std::string& service : its.services) by_service_[service].insert(place->first);
  if (!its.node.empty()) by_node_[its.node].insert(place->first);
}

void Lookup::remove(std::string_view name) {
  const auto place = entries_.find(name);
  if (place == entries_.end()) return;
  const Entry& its = place->second;
  for (const std::string& alias : its.aliases) take_out(by_alias_, alias, name);
  for (const std::string& service : its.services) take_out(by_service_, service, name);
  take_out(by_node_, its.node, name);
  entries_.erase(place);
}

const Lookup::Entry* Lookup::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

const Lookup::Names& Lookup::at(std::string_view alias) const { return names_or_none(by_alias_, alias); }

const Lookup::Names& Lookup::endpoints_of(std::string_view service) const { return names_or_none(by_service_, service); }

const Lookup::Names& Lookup::on(std::string_view node) const { return names_or_none(by_node_, node); }

}  // namespace culvert::controlplane
