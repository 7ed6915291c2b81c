#pragma once
// Which version a client holds of each resource, in order of name. Of a hundred thousand the texts stand in one block, usually the message that brought them:
// a thousand clients that come at once bring a hundred million.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace culvert::xds {

class Versions {
 public:
  using Pair = std::pair<std::string_view, std::string_view>;  // name, version: good as long as this is neither changed nor moved

  Versions() = default;
  Versions(const Versions&) = default;
  Versions(Versions&&) noexcept = default;
  Versions& operator=(const Versions&) = default;
  // What this had goes with `other`: a string that is assigned an empty one would keep its memory, megabytes of each node.
  Versions& operator=(Versions&& other) noexcept {
    bytes_.swap(other.bytes_);
    places_.swap(other.places_);
    return *this;
  }
  ~Versions() = default;
  Versions(std::initializer_list<Pair> all) {
    for (const auto& [name, version] : all) emplace(name, version);
  }
  explicit Versions(const std::map<std::string, std::string>& all) {
    for (const auto& [name, version] : all) emplace(name, version);
  }

  // Replaces what `name` has. Quick when it comes after all others.
  void emplace(std::string_view name, std::string_view version);
  auto all() const {
    return places_ | std::views::transform([this](const Place& place) { return pair(place); });
  }
  std::optional<std::string_view> find(std::string_view name) const;
  // The names of which the two do not say the same, in order: good as long as neither is changed nor moved.
  static std::vector<std::string_view> differing(const Versions& some, const Versions& others);
  std::size_t size() const { return places_.size(); }
  bool empty() const { return places_.empty(); }
  void reserve(std::size_t count, std::size_t bytes) { places_.reserve(count), bytes_.reserve(bytes); }
  std::size_t memory() const { return bytes_.capacity() + places_.capacity() * sizeof(Place); }

  // The entries of field `field` of a message, a map of texts; what else is in it is appended to `rest`. Of two of one name the last counts. Fails when the
  // message is cut off in the middle, or an entry is not one.
  static Result<Versions> take(std::string message, std::uint32_t field, std::string& rest);
  // Writes such entries.
  void append_to(std::string& message, std::uint32_t field) const;

  friend bool operator==(const Versions& a, const Versions& b);

 private:
  struct Place {
    std::uint32_t name = 0, name_size = 0, version = 0, version_size = 0;
  };
  Pair pair(const Place& place) const {
    const std::string_view bytes = bytes_;
    return {bytes.substr(place.name, place.name_size), bytes.substr(place.version, place.version_size)};
  }
  static std::size_t short_entry(std::string_view message, std::uint32_t field, Place& place);
  struct Keyed {
    std::uint64_t key = 0;
    Place place;
  };
  void sort();
  void sort_from(std::span<Keyed> part, std::size_t from) const;

  std::string bytes_;
  std::vector<Place> places_;  // in order of name, each once
};

}  // namespace culvert::xds
