#include "common/derive/selectors.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace culvert::derive {

Selectors::Place Selectors::rarest(const config::Labels& selector) const {
  Place best;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  for (const auto& [label, value] : selector) {
    std::size_t others = 0;
    if (const auto values = by_pair_.find(label); values != by_pair_.end()) {
      if (const auto holders = values->second.find(value); holders != values->second.end()) others = holders->second.size();
    }
    if (others >= fewest) continue;
    fewest = others;
    best = {label, value};
  }
  return best;
}

void Selectors::put(const std::string& name, config::Labels selector) {
  erase(name);
  if (selector.empty()) {
    wide_.insert(name);
    return;
  }
  Place place = rarest(selector);
  const Holder holder = held_.emplace(name, std::move(selector)).first;
  by_pair_[place.label][place.value].push_back(holder);
  places_.emplace(name, std::move(place));
}

void Selectors::erase(const std::string& name) {
  wide_.erase(name);
  const auto place = places_.find(name);
  if (place == places_.end()) return;
  const auto values = by_pair_.find(place->second.label);
  const auto holders = values->second.find(place->second.value);
  std::erase_if(holders->second, [&](const Holder& holder) { return holder->first == name; });
  if (holders->second.empty()) values->second.erase(holders);
  if (values->second.empty()) by_pair_.erase(values);
  places_.erase(place);
  held_.erase(name);
}

std::vector<std::string_view> Selectors::selecting(const config::Labels& labels) const {
  std::vector<std::string_view> out;
  if (held_.empty()) return out;
  for (const auto& [label, value] : labels) {
    const auto values = by_pair_.find(label);
    if (values == by_pair_.end()) continue;
    const auto holders = values->second.find(value);
    if (holders == values->second.end()) continue;
    for (const Holder& holder : holders->second) {
      if (config::selects(holder->second, labels)) out.emplace_back(holder->first);
    }
  }
  return out;
}

}  // namespace culvert::derive
