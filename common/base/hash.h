#pragma once
// A hash that is the same in every process, on every machine, in every version: of what has to be known again by it.

#include <cstdint>
#include <string_view>

namespace culvert {

// XXH64 with seed 0. Not for anything that an attacker gains from breaking.
std::uint64_t content_hash(std::string_view bytes);

}  // namespace culvert
