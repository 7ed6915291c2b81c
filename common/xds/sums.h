#pragma once
// What one end of discovery holds, said in 128 KiB however much it is (docs/adr/0026-sums-of-what-is-held.md). Every name belongs to one of 8192 parts, and each part has a
// sum over the names and versions in it: where two ends have the same sum they hold the same. Pure.
//
// Tenants choose names, and by what is in a resource its version: the sum is a cryptographic one, so that nobody can make what he has changed look the same.
// Which part a name belongs to is a hash that anybody can foresee; whoever crowds one part makes it long, and nothing else.

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/xds/versions.h"

namespace culvert::xds {

inline constexpr std::size_t kParts = 8192;
inline constexpr std::size_t kSumSize = 16;
// The way in which it is done, all that stands here: two ends that name the same one understand each other.
inline constexpr std::string_view kSumScheme = "culvert.sums.1";

using Parts = std::bitset<kParts>;

// XXH64 of the name, modulo the number of parts.
std::size_t part_of(std::string_view name);

// One KiB: part p is the bit p % 8 of the byte p / 8, counted from the lowest.
std::string bytes_of(const Parts& parts);
Result<Parts> parts_of(std::string_view bytes);

class Sums {
 public:
  explicit Sums(const Versions& versions);

  // Of each part the first 16 bytes of SHA-256 over its entries, in order of name: name and version, each after its size in four bytes, the lowest first.
  const std::string& bytes() const { return bytes_; }
  // Where others, of as many bytes, say something else.
  Parts differing(std::string_view bytes) const;
  // What of `versions`, of which these are the sums, is in some parts. Costs as much as that is.
  Versions of_parts(const Versions& versions, const Parts& parts) const;

 private:
  std::string bytes_;
  std::vector<std::uint32_t> order_;   // of the entries: by part, and in each by name
  std::vector<std::uint32_t> begins_;  // where each part begins in it, and where the last one ends
};

}  // namespace culvert::xds
