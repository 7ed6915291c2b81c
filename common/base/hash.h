#pragma once
// Hashes of bytes: one that is the same everywhere, and one that nobody outside can foresee.

#include <array>
#include <cstdint>
#include <string_view>

namespace culvert {

// XXH64 with seed 0: the same in every process, on every machine, in every version, of what has to be known again by it. Not for anything that an
// attacker gains from breaking.
std::uint64_t content_hash(std::string_view bytes);

// SipHash-2-4: whoever does not know the key cannot choose bytes that have the hash of others.
using HashKey = std::array<std::uint64_t, 2>;
std::uint64_t keyed_hash(const HashKey& key, std::string_view bytes);
// This process's own, which is in no other.
const HashKey& own_hash_key();

}  // namespace culvert
