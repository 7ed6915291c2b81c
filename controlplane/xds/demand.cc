#include "controlplane/xds/demand.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/xds/wire.h"

namespace culvert::controlplane {
namespace {

// A resource with all the names that it is the answer to.
std::shared_ptr<const std::string> named(const Resource& resource, const Lookup::Entry& entry, const auto& inside) {
  const auto around = inside.find(resource.turn->name);
  if (around == inside.end() && entry.aliases.empty()) return resource.encoded;
  std::string out = xds::with_aliases(*resource.encoded, entry.aliases);
  if (around != inside.end()) out = xds::with_aliases(out, around->second);
  return std::make_shared<const std::string>(std::move(out));
}

}  // namespace

bool Demand::Names::add(std::string_view name) {
  const bool fresh = all.emplace(name).second;
  if (fresh) bytes += name.size();
  return fresh;
}

bool Demand::Names::remove(std::string_view name) {
  const auto found = all.find(name);
  if (found == all.end()) return false;
  bytes -= found->size();
  all.erase(found);
  return true;
}

bool Demand::follow(std::string_view name) {
  if (!names_.add(name)) return false;
  const std::string_view kept = *names_.all.find(name);
  if (const auto parsed = model::NetworkAddress::parse(kept))
    addresses_.insert({kept.substr(0, parsed->network.size()), parsed->address.is_v6(), parsed->address, kept});
  return true;
}

void Demand::ask(std::string_view name) {
  follow(name);
  fresh_.add(name);
}

void Demand::drop(std::string_view name) {
  if (const auto parsed = model::NetworkAddress::parse(name))
    addresses_.erase({parsed->network, parsed->address.is_v6(), parsed->address, name});
  for (Names* some : {&names_, &fresh_, &given_}) some->remove(name);
}

// Whoever wants only what it names, wants what it holds: what differs is as if it had just asked for it, and so are endpoints that are new to it.
void Demand::recall(const xds::Versions& held, const Source& source, std::vector<std::string>& gone) {
  for (const auto& [name, version] : held.all()) {
    ++looked_at_;
    if (const Resource* resource = source.table.find(name)) {
      given_.add(name);
      if (!resource->is_of(version)) fresh_.add(name);
    } else if (source.lookup && !(source.lookup->at(name).empty() && source.lookup->around(name).empty())) {
      ask(name);  // it is still waiting for it
    } else {
      follow(name);
      fresh_.remove(name);
      gone.emplace_back(name);
    }
  }
  if (!source.lookup) return;
  for (const std::string& name : given_.all) {
    for (const std::string_view endpoint : source.lookup->endpoints_of(name))
      if (!given_.contains(endpoint)) fresh_.add(endpoint);
    follow_addresses_of(name, *source.lookup);
  }
}

// What it has an answer to it does not ask for. By which of its names it once asked for this is not said.
void Demand::follow_addresses_of(std::string_view name, const Lookup& lookup) {
  const Lookup::Entry* entry = lookup.find(name);
  if (!entry || entry->of_node) return;
  const auto others = [this](const auto& names) {
    for (const std::string_view other : names)
      if (!given_.contains(other)) fresh_.add(other);
  };
  for (const std::string& alias : entry->aliases) {
    if (!follow(alias)) continue;
    others(lookup.at(alias));
    others(lookup.around(alias));
  }
}

bool Demand::asks_inside(const model::Vip& range) const {
  const auto first = addresses_.lower_bound({range.network, range.range.address.is_v6(), range.range.address, ""});
  return first != addresses_.end() && first->network == range.network && first->v6 == range.range.address.is_v6() &&
         range.range.contains(first->address);
}

bool Demand::wants(std::string_view name, const Source& source) {
  ++looked_at_;
  if (names_.contains(name) || given_.contains(name)) return true;
  const Lookup::Entry* entry = source.lookup ? source.lookup->find(name) : nullptr;
  if (!entry) return false;
  return (!node_.empty() && entry->node == node_) ||
         std::ranges::any_of(entry->aliases, [this](const std::string& alias) { return names_.contains(alias); }) ||
         std::ranges::any_of(entry->ranges, [this](const model::Vip& range) { return asks_inside(range); }) ||
         std::ranges::any_of(entry->services, [this](const std::string& service) { return given_.contains(service); });
}

bool Demand::put(std::string_view name, const Source& source, Answer& answer) {
  if (!wants(name, source)) return false;
  give(name, source, answer);
  return true;
}

bool Demand::gone(std::string_view name, Answer& answer) {
  ++looked_at_;
  if (!given_.remove(name) && !names_.contains(name)) return false;
  if (!answer.nobody.contains(name)) answer.removed.emplace_back(name);
  return true;
}

void Demand::give(std::string_view name, const Source& source, Answer& answer) {
  const Resource* resource = source.table.find(name);
  CULVERT_CHECK(resource != nullptr);  // what is found by another name is there
  if (answer.given.insert(resource->turn->name).second) {
    ++looked_at_;
    const Lookup::Entry* entry = source.lookup ? source.lookup->find(name) : nullptr;
    answer.resources.push_back(entry ? named(*resource, *entry, answer.inside) : resource->encoded);
  }
  if (!given_.add(name) || !source.lookup) return;
  for (const std::string_view endpoint : source.lookup->endpoints_of(name))
    if (!given_.contains(endpoint)) give(endpoint, source, answer);
}

void Demand::give_own_node(const Source& source, Answer& answer) {
  if (node_.empty() || !source.lookup || std::exchange(node_given_, true)) return;
  for (const std::string_view name : source.lookup->on(node_))
    if (!given_.contains(name)) give(name, source, answer);
}

void Demand::answer_name(const std::string& name, const Source& source, Answer& answer) {
  ++looked_at_;
  const bool there = source.table.find(name) != nullptr;
  if (there) give(name, source, answer);
  static const Lookup::Names kNone;
  const Lookup::Names& others = source.lookup ? source.lookup->at(name) : kNone;
  for (const std::string_view other : others) give(other, source, answer);
  const auto around = source.lookup ? source.lookup->around(name) : std::vector<std::string_view>();
  for (const std::string_view other : around) give(other, source, answer);
  if (there || !others.empty() || !around.empty()) return;
  answer.removed.push_back(name);
  answer.nobody.insert(name);
}

void Demand::take(const Source& source, Answer& answer) {
  const Names fresh = std::exchange(fresh_, {});
  for (const std::string& name : fresh.all) {
    if (!source.lookup) break;
    for (const std::string_view other : source.lookup->around(name)) {
      auto& inside = answer.inside[other];
      if (inside.empty() || inside.back() != name) inside.push_back(name);
    }
  }
  give_own_node(source, answer);
  for (const std::string& name : fresh.all) answer_name(name, source, answer);
}

}  // namespace culvert::controlplane
