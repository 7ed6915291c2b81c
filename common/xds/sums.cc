#include "common/xds/sums.h"

#include <algorithm>
#include <numeric>
#include <ranges>
#include <span>

#include "common/base/check.h"
#include "common/base/format.h"
#include "common/base/hash.h"
#include "common/tls/digest.h"

namespace culvert::xds {
namespace {

void append_sized(std::string& out, std::string_view text) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(text.size() >> shift & 0xff));
  out += text;
}

}  // namespace

std::size_t part_of(std::string_view name) { return content_hash(name) % kParts; }

std::string bytes_of(const Parts& parts) {
  std::string out(kParts / 8, '\0');
  for (std::size_t p = 0; p < kParts; ++p)
    if (parts[p]) out[p / 8] = static_cast<char>(out[p / 8] | 1 << p % 8);
  return out;
}

Result<Parts> parts_of(std::string_view bytes) {
  if (bytes.size() != kParts / 8) return failure(culvert::format("{} bytes of parts, not {}", bytes.size(), kParts / 8));
  Parts out;
  for (std::size_t p = 0; p < kParts; ++p) out[p] = (bytes[p / 8] >> p % 8 & 1) != 0;
  return out;
}

Sums::Sums(const Versions& versions) : order_(versions.size()), begins_(kParts + 1) {
  std::vector<std::uint32_t> part;
  part.reserve(versions.size());
  for (const auto& [name, version] : versions.all()) part.push_back(static_cast<std::uint32_t>(part_of(name)));
  for (const std::uint32_t p : part) ++begins_[p + 1];
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  auto next = begins_;
  for (std::uint32_t i = 0; i < part.size(); ++i) order_[next[part[i]]++] = i;

  bytes_.reserve(kParts * kSumSize);
  std::string entries;
  for (std::size_t p = 0; p < kParts; ++p) {
    entries.clear();
    for (std::uint32_t at = begins_[p]; at < begins_[p + 1]; ++at) {
      const auto [name, version] = versions.all()[order_[at]];
      append_sized(entries, name);
      append_sized(entries, version);
    }
    const auto digest = tls::sha256(entries);
    bytes_.append(digest.begin(), digest.begin() + kSumSize);
  }
}

Parts Sums::differing(std::string_view bytes) const {
  CULVERT_CHECK(bytes.size() == bytes_.size());
  Parts out;
  if (bytes == bytes_) return out;
  for (std::size_t p = 0; p < kParts; ++p)
    out[p] = bytes.substr(p * kSumSize, kSumSize) != std::string_view(bytes_).substr(p * kSumSize, kSumSize);
  return out;
}

Versions Sums::of_parts(const Versions& versions, const Parts& parts) const {
  std::vector<std::uint32_t> some;
  for (std::size_t p = 0; p < kParts; ++p)
    if (parts[p]) some.insert(some.end(), order_.begin() + begins_[p], order_.begin() + begins_[p + 1]);
  std::ranges::sort(some);
  Versions out;
  for (const std::uint32_t i : some) {
    const auto [name, version] = versions.all()[i];
    out.emplace(name, version);
  }
  return out;
}

}  // namespace culvert::xds
