#include "common/xds/versions.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "common/xds/fields.h"

namespace culvert::xds {

void Versions::emplace(std::string_view name, std::string_view version) {
  Place made{static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(name.size()), 0,
             static_cast<std::uint32_t>(version.size())};
  bytes_ += name;
  made.version = static_cast<std::uint32_t>(bytes_.size());
  bytes_ += version;
  const auto place =
      std::ranges::lower_bound(places_, pair(made).first, {}, [this](const Place& other) { return pair(other).first; });
  if (place != places_.end() && pair(*place).first == pair(made).first) *place = made;
  else places_.insert(place, made);
}

Result<Versions> Versions::take(std::string message, std::uint32_t field, std::string& rest) {
  Versions out;
  if (message.size() > std::numeric_limits<std::uint32_t>::max()) return failure("a message is too large");
  Fields fields(message);
  while (const auto each = fields.next()) {
    if (each->number != field || !each->value) {
      rest += each->whole;
      continue;
    }
    Place place;
    Fields entry(*each->value);
    while (const auto part = entry.next()) {
      if (!part->value) return failure("a version is no text");
      const auto at = static_cast<std::uint32_t>(part->value->data() - message.data());
      const auto size = static_cast<std::uint32_t>(part->value->size());
      if (part->number == 1) place.name = at, place.name_size = size;
      else if (part->number == 2) place.version = at, place.version_size = size;
    }
    if (!entry.whole()) return failure("a version is cut off");
    out.places_.push_back(place);
  }
  if (!fields.whole()) return failure("cut off");
  if (out.places_.empty()) return out;
  out.bytes_ = std::move(message);
  out.sort();
  return out;
}

// Whoever sends them from a map sends them in order.
void Versions::sort() {
  const auto name = [this](const Place& place) { return pair(place).first; };
  if (std::ranges::adjacent_find(places_, std::ranges::greater_equal(), name) == places_.end()) return;
  std::ranges::stable_sort(places_, {}, name);
  std::ranges::reverse(places_);  // of those of one name the last is first
  const auto again = std::ranges::unique(places_, {}, name);
  places_.erase(again.begin(), again.end());
  std::ranges::reverse(places_);
}

void Versions::append_to(std::string& message, std::uint32_t field) const {
  std::string entry;
  for (const auto& [name, version] : all()) {
    entry.clear();
    append_field(entry, 1, name);
    append_field(entry, 2, version);
    append_field(message, field, entry);
  }
}

bool operator==(const Versions& a, const Versions& b) { return std::ranges::equal(a.all(), b.all()); }

}  // namespace culvert::xds
