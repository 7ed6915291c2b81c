#include "controlplane/xds/demand.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/xds/wire.h"

namespace culvert::controlplane {

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

void Demand::ask(std::string_view name) {
  names_.add(name);
  fresh_.add(name);
}

void Demand::drop(std::string_view name) {
  for (Names* some : {&names_, &fresh_, &given_}) some->remove(name);
}

// Whoever wants only what it names, wants what it holds: what differs is as if it had just asked for it, and so are endpoints that are new to it.
void Demand::recall(const xds::Versions& held, const Source& source, std::vector<std::string>& gone) {
  for (const auto& [name, version] : held.all()) {
    ++looked_at_;
    if (const Resource* resource = source.table.find(name)) {
      given_.add(name);
      if (resource->is_of(version)) fresh_.remove(name);
      else fresh_.add(name);
    } else if (source.lookup && !source.lookup->at(name).empty()) {
      ask(name);  // it is still waiting for it
    } else {
      names_.add(name);
      gone.emplace_back(name);
    }
  }
  if (!source.lookup) return;
  for (const std::string& name : given_.all) {
    for (const std::string_view endpoint : source.lookup->endpoints_of(name))
      if (!given_.contains(endpoint)) fresh_.add(endpoint);
  }
}

bool Demand::wants(std::string_view name, const Source& source) {
  ++looked_at_;
  if (names_.contains(name) || given_.contains(name)) return true;
  const Lookup::Entry* entry = source.lookup ? source.lookup->find(name) : nullptr;
  if (!entry) return false;
  return (!node_.empty() && entry->node == node_) ||
         std::ranges::any_of(entry->aliases, [this](const std::string& alias) { return names_.contains(alias); }) ||
         std::ranges::any_of(entry->services, [this](const std::string& service) { return given_.contains(service); });
}

void Demand::put(std::string_view name, const Source& source, Answer& answer) {
  if (wants(name, source)) give(name, source, answer);
}

void Demand::gone(std::string_view name, Answer& answer) {
  ++looked_at_;
  if (given_.remove(name) || names_.contains(name)) answer.removed.emplace_back(name);
}

void Demand::give(std::string_view name, const Source& source, Answer& answer) {
  const Resource* resource = source.table.find(name);
  CULVERT_CHECK(resource != nullptr);  // what is found by another name is there
  if (!answer.given.insert(resource->turn->name).second) return;
  ++looked_at_;
  const Lookup::Entry* entry = source.lookup ? source.lookup->find(name) : nullptr;
  if (entry && !entry->aliases.empty())
    answer.resources.push_back(std::make_shared<const std::string>(xds::with_aliases(*resource->encoded, entry->aliases)));
  else answer.resources.push_back(resource->encoded);
  if (!given_.add(name) || !source.lookup) return;
  for (const std::string_view endpoint : source.lookup->endpoints_of(name))
    if (!given_.contains(endpoint)) give(endpoint, source, answer);
}

void Demand::give_own_node(const Source& source, Answer& answer) {
  if (node_.empty() || !source.lookup || std::exchange(node_given_, true)) return;
  for (const std::string_view name : source.lookup->on(node_))
    if (!given_.contains(name)) give(name, source, answer);
}

void Demand::take(const Source& source, Answer& answer) {
  give_own_node(source, answer);
  const std::set<std::string, std::less<>> said(answer.removed.begin(), answer.removed.end());
  for (const std::string& name : std::exchange(fresh_, {}).all) {
    ++looked_at_;
    const bool there = source.table.find(name) != nullptr;
    if (there) give(name, source, answer);
    static const Lookup::Names kNone;
    const Lookup::Names& others = source.lookup ? source.lookup->at(name) : kNone;
    for (const std::string_view other : others) give(other, source, answer);
    if (!there && others.empty() && !said.contains(name)) answer.removed.push_back(name);
  }
}

}  // namespace culvert::controlplane
