#include "common/xds/versions.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "common/xds/fields.h"

namespace culvert::xds {
namespace {

constexpr std::size_t kUsualEntry = 64;  // bytes of one, or more

// The next eight bytes as a number that is in order as they are; zeros after the end.
std::uint64_t word_at(std::string_view text, std::size_t from) {
  std::uint64_t word = 0;
  if (from < text.size()) std::memcpy(&word, text.data() + from, std::min(sizeof word, text.size() - from));
  return std::endian::native == std::endian::little ? std::byteswap(word) : word;
}

}  // namespace

void Versions::emplace(std::string_view name, std::string_view version) {
  Place made{static_cast<std::uint32_t>(bytes_.size()), static_cast<std::uint32_t>(name.size()), 0,
             static_cast<std::uint32_t>(version.size())};
  bytes_ += name;
  made.version = static_cast<std::uint32_t>(bytes_.size());
  bytes_ += version;
  if (places_.empty() || pair(places_.back()).first < pair(made).first) return places_.push_back(made);
  const auto place =
      std::ranges::lower_bound(places_, pair(made).first, {}, [this](const Place& other) { return pair(other).first; });
  if (place != places_.end() && pair(*place).first == pair(made).first) *place = made;
  else places_.insert(place, made);
}

// The size of the entry that `message` begins with, if it is as nearly all are: a name, then a version, of less than 128 bytes together. Else zero. A hundred
// thousand of a thousand nodes are read in a third of the time.
std::size_t Versions::short_entry(std::string_view message, std::uint32_t field, Place& place) {
  constexpr unsigned char kName = 1 << 3 | 2, kVersion = 2 << 3 | 2, kLong = 0x80;  // kLong: a number goes on in the next byte
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(message[at]); };
  if (message.size() < 6 || field > 15 || byte(0) != (field << 3 | 2) || byte(1) >= kLong || byte(2) != kName) return 0;
  const std::size_t end = 2UL + byte(1), name_end = 4UL + byte(3);
  if (end > message.size() || name_end + 2 > end || byte(3) >= kLong) return 0;
  if (byte(name_end) != kVersion || name_end + 2 + byte(name_end + 1) != end) return 0;
  place = {
      .name = 4, .name_size = byte(3), .version = static_cast<std::uint32_t>(name_end + 2), .version_size = byte(name_end + 1)};
  return end;
}

Result<Versions> Versions::take(std::string message, std::uint32_t field, std::string& rest) {
  Versions out;
  if (message.size() > std::numeric_limits<std::uint32_t>::max()) return failure("a message is too large");
  out.places_.reserve(message.size() / kUsualEntry);
  Fields fields(message);
  for (;;) {
    for (;;) {
      Place place;
      const std::size_t size = short_entry(fields.rest(), field, place);
      if (size == 0) break;
      const auto at = static_cast<std::uint32_t>(fields.rest().data() - message.data());
      place.name += at, place.version += at;
      out.places_.push_back(place);
      fields.skip(size);
    }
    const auto each = fields.next();
    if (!each) break;
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

std::optional<std::string_view> Versions::find(std::string_view name) const {
  const auto place = std::ranges::lower_bound(places_, name, {}, [this](const Place& each) { return pair(each).first; });
  return place != places_.end() && pair(*place).first == name ? std::optional(pair(*place).second) : std::nullopt;
}

std::vector<std::string_view> Versions::differing(const Versions& some, const Versions& others) {
  std::vector<std::string_view> out;
  auto a = some.places_.begin(), b = others.places_.begin();
  while (a != some.places_.end() && b != others.places_.end()) {
    const auto [name, version] = some.pair(*a);
    const auto [other_name, other_version] = others.pair(*b);
    if (name == other_name) {
      if (version != other_version) out.push_back(name);
      ++a, ++b;
    } else if (name < other_name) {
      out.push_back(name), ++a;
    } else {
      out.push_back(other_name), ++b;
    }
  }
  for (; a != some.places_.end(); ++a) out.push_back(some.pair(*a).first);
  for (; b != others.places_.end(); ++b) out.push_back(others.pair(*b).first);
  return out;
}

// By name from the byte `from` on, of such that are the same up to there; of one name in the order of their places. Eight bytes at a time, which are
// numbers: names of resources begin alike, and to compare whole ones takes half as long again.
void Versions::sort_from(std::span<Keyed> part, std::size_t from) const {
  constexpr std::size_t kFew = 8, kDeep = 256;  // the rest in the plain way
  if (part.size() < kFew || from >= kDeep) {
    std::ranges::sort(part, {}, [this](const Keyed& each) { return std::pair(pair(each.place).first, each.place.name); });
    return;
  }
  for (Keyed& each : part) each.key = word_at(pair(each.place).first, from);
  if (!std::ranges::all_of(part, [&](const Keyed& each) { return each.key == part.front().key; }))
    std::ranges::sort(part, {}, &Keyed::key);
  for (auto begin = part.begin(); begin != part.end();) {
    const auto end = std::find_if(begin, part.end(), [&](const Keyed& each) { return each.key != begin->key; });
    sort_from({begin, end}, from + sizeof(std::uint64_t));
    begin = end;
  }
}

// Whoever sends them from a map sends them in order; Istio's ztunnel does in none.
void Versions::sort() {
  const auto name = [this](const Place& place) { return pair(place).first; };
  if (std::ranges::adjacent_find(places_, std::ranges::greater_equal(), name) == places_.end()) return;
  std::vector<Keyed> keyed;
  keyed.reserve(places_.size());
  for (const Place& place : places_) keyed.push_back({0, place});
  sort_from(keyed, 0);
  std::ranges::transform(keyed, places_.begin(), &Keyed::place);
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
