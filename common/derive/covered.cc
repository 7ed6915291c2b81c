#include "common/derive/covered.h"

#include <algorithm>

#include "common/derive/service_entry.h"

namespace culvert::derive {
namespace {

using config::Key;
using config::Kind;

const std::vector<IpAddress>& addresses_of(const config::Object& object) {
  static const std::vector<IpAddress> kNone;
  if (const auto* service = std::get_if<config::Service>(&object)) return service->cluster_ips;
  const auto* pod = std::get_if<config::Pod>(&object);
  return pod && !pod->spec.host_network && !pod->is_terminal() ? pod->addresses : kNone;
}

template <class Visit>
void each_owner(const Objects& objects, Visit visit) {
  for (const Kind kind : {Kind::kPod, Kind::kService}) {
    for (const std::string& name_space : objects.namespaces(kind))
      for (const auto& [name, object] : objects.in(kind, name_space)) visit(*object);
  }
}

}  // namespace

void Covered::count(Range& range, const config::Object& owner, int by, std::set<Key>* turned) {
  Counts& counts = std::holds_alternative<config::Pod>(owner) ? range.pods : range.services;
  const auto at = counts.try_emplace(config::metadata_of(owner).name_space).first;
  const bool none = at->second == 0;
  at->second += static_cast<std::size_t>(by);
  if (turned && (none || at->second == 0)) turned->insert(range.entries.begin(), range.entries.end());
  if (at->second == 0) counts.erase(at);
}

void Covered::move(const config::Object& owner, int by, std::set<Key>& turned) {
  for (const IpAddress& address : addresses_of(owner)) {
    if (by > 0) owners_.emplace(address, &owner);
    else owners_.erase({address, &owner});
    for (const auto& [kind, unused] : lengths_) {
      if (kind.first != address.is_v6()) continue;
      const auto range = ranges_.find(masked({address, kind.second}));
      if (range != ranges_.end()) count(range->second, owner, by, &turned);
    }
  }
}

void Covered::cover(const Cidr& written, const Key& entry) {
  const auto [place, fresh] = ranges_.try_emplace(written);
  place->second.entries.insert(entry);
  if (!fresh) return;
  ++lengths_[{written.address.is_v6(), written.length}];
  for (auto at = owners_.lower_bound({written.address, nullptr}); at != owners_.end(); ++at) {
    if (written.contains(at->first)) count(place->second, *at->second, 1, nullptr);
    else if (at->first.is_v4() == written.address.is_v4()) break;
  }
}

void Covered::uncover(const Cidr& written, const Key& entry) {
  const auto place = ranges_.find(written);
  if (place == ranges_.end() || place->second.entries.erase(entry) == 0 || !place->second.entries.empty()) return;
  ranges_.erase(place);
  const auto length = lengths_.find({written.address.is_v6(), written.length});
  if (--length->second == 0) lengths_.erase(length);
  if (ranges_.empty()) owners_.clear();
}

void Covered::add(const config::Object& object, const Objects& beside, std::set<Key>& turned) {
  const std::vector<Cidr> written = written_addresses(object);
  if (ranges_.empty() && !written.empty()) {
    each_owner(beside, [this](const config::Object& owner) {
      for (const IpAddress& address : addresses_of(owner)) owners_.emplace(address, &owner);
    });
  }
  for (const Cidr& range : written) cover(range, config::key_of(object));
  if (!ranges_.empty()) move(object, 1, turned);
}

void Covered::remove(const config::Object& object, std::set<Key>& turned) {
  if (!ranges_.empty()) move(object, -1, turned);
  for (const Cidr& range : written_addresses(object)) uncover(range, config::key_of(object));
}

void Covered::look(const config::Object& entry, const Objects& beside) {
  const std::vector<Cidr> written = written_addresses(entry);
  if (written.empty()) return;
  for (const Cidr& range : written) cover(range, config::key_of(entry));
  each_owner(beside, [&](const config::Object& owner) {
    for (const IpAddress& address : addresses_of(owner)) {
      for (const Cidr& range : written)
        if (range.contains(address)) count(ranges_.at(range), owner, 1, nullptr);
    }
  });
}

Covered::Others Covered::of(const Cidr& range, std::string_view name_space) const {
  const auto found = ranges_.find(range);
  if (found == ranges_.end()) return {};
  const auto others = [&](const Counts& counts) { return counts.size() > (counts.contains(name_space) ? 1U : 0U); };
  return {others(found->second.pods), others(found->second.services)};
}

}  // namespace culvert::derive
