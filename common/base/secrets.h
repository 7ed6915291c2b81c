#pragma once
// Secrets do not stay behind: not in memory that is given back, and not in a core dump.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace culvert {

// Overwrites what the string holds, and empties it. What it held before it grew is elsewhere: reserve first.
void wipe(std::string& text);
void wipe(std::span<std::byte> bytes);

// A string whose memory is wiped when it is given back, also each time that it grows.
template <class T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <class Other>
  WipingAllocator(const WipingAllocator<Other>&) {}
  T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* place, std::size_t count) {
    wipe(std::as_writable_bytes(std::span(place, count)));
    std::allocator<T>().deallocate(place, count);
  }
  friend bool operator==(const WipingAllocator&, const WipingAllocator&) = default;
};
using SecretString = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;

// For programs that hold keys, first thing in main: no core dump of this process, and nobody but root looks into its memory. Fails when the kernel refuses;
// the program goes on and says so.
[[nodiscard]] bool forbid_dumps();

}  // namespace culvert
