#pragma once
// Secrets do not stay behind: not in memory that is given back, and not in a core dump.

#include <cstddef>
#include <span>
#include <string>

namespace culvert {

// Overwrites what the string holds, and empties it. What it held before it grew is elsewhere: reserve first.
void wipe(std::string& text);
void wipe(std::span<std::byte> bytes);

// For programs that hold keys, first thing in main: no core dump of this process, and nobody but root looks into its memory. Fails when the kernel refuses;
// the program goes on and says so.
[[nodiscard]] bool forbid_dumps();

}  // namespace culvert
