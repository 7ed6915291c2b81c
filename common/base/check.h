#pragma once
// Invariants of our own code. A failed check is a bug of ours: it aborts, in release builds too.
// Nothing that a peer, an operator or the kernel can cause may be checked with it; that is what Result is for.

namespace culvert {

// Prints "CHECK failed: TEXT (FILE:LINE)" to standard error and aborts.
[[noreturn]] void check_failed(const char* text, const char* file, int line);

}  // namespace culvert

#define CULVERT_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::culvert::check_failed(#condition, __FILE__, __LINE__))
