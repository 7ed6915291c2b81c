#pragma once
// For tests of what must not stay behind: looks into each piece of memory that is given back. It replaces the operators new and delete of the whole program:
// include it in one file of a test program only.
//
//   const Freed freed(key);           // on this thread, from now on
//   use(text_with_the_key);
//   EXPECT_EQ(freed.times(), 0);      // nothing was given back with the key in it

#include <malloc.h>
#include <string.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <string_view>

namespace culvert {

class Freed {
 public:
  // `piece` must be somewhere that is not given back meanwhile. One at a time on a thread.
  explicit Freed(std::string_view piece) : piece_(piece) { here() = this; }
  Freed(const Freed&) = delete;
  ~Freed() { here() = nullptr; }

  int times() const { return times_; }

  static void* emptied(void* place) { return ::memset(place, 0, ::malloc_usable_size(place)); }
  static void give_back(void* place) noexcept {
    if (Freed* watching = here(); watching != nullptr && place != nullptr) watching->look(place);
    std::free(place);
  }

 private:
  static Freed*& here() {
    thread_local Freed* watching = nullptr;
    return watching;
  }
  void look(const void* place) {
    if (::memmem(place, ::malloc_usable_size(const_cast<void*>(place)), piece_.data(), piece_.size()) != nullptr) ++times_;
  }

  std::string_view piece_;
  int times_ = 0;
};

}  // namespace culvert

// All of the forms: a sanitizer has them too, and each must be given back to where it is from. What somebody has left behind before is not held against who
// gets the memory next.
namespace culvert::freed {

inline void* made(std::size_t size) noexcept {
  void* place = std::malloc(size == 0 ? 1 : size);
  return place == nullptr ? nullptr : Freed::emptied(place);
}
inline void* made(std::size_t size, std::align_val_t align) noexcept {
  const auto step = static_cast<std::size_t>(align);
  void* place = std::aligned_alloc(step, (size + step) / step * step);
  return place == nullptr ? nullptr : Freed::emptied(place);
}
inline void* there(void* place) {
  if (place == nullptr) throw std::bad_alloc();
  return place;
}

}  // namespace culvert::freed

void* operator new(std::size_t size) { return culvert::freed::there(culvert::freed::made(size)); }
void* operator new[](std::size_t size) { return culvert::freed::there(culvert::freed::made(size)); }
void* operator new(std::size_t size, std::align_val_t align) { return culvert::freed::there(culvert::freed::made(size, align)); }
void* operator new[](std::size_t size, std::align_val_t align) {
  return culvert::freed::there(culvert::freed::made(size, align));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return culvert::freed::made(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return culvert::freed::made(size); }
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return culvert::freed::made(size, align);
}
void* operator new[](std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept {
  return culvert::freed::made(size, align);
}
void operator delete(void* place) noexcept { culvert::Freed::give_back(place); }
void operator delete[](void* place) noexcept { culvert::Freed::give_back(place); }
void operator delete(void* place, std::size_t) noexcept { culvert::Freed::give_back(place); }
void operator delete[](void* place, std::size_t) noexcept { culvert::Freed::give_back(place); }
void operator delete(void* place, std::align_val_t) noexcept { culvert::Freed::give_back(place); }
void operator delete[](void* place, std::align_val_t) noexcept { culvert::Freed::give_back(place); }
void operator delete(void* place, std::size_t, std::align_val_t) noexcept { culvert::Freed::give_back(place); }
void operator delete[](void* place, std::size_t, std::align_val_t) noexcept { culvert::Freed::give_back(place); }
void operator delete(void* place, const std::nothrow_t&) noexcept { culvert::Freed::give_back(place); }
void operator delete[](void* place, const std::nothrow_t&) noexcept { culvert::Freed::give_back(place); }
void operator delete(void* place, std::align_val_t, const std::nothrow_t&) noexcept { culvert::Freed::give_back(place); }
void operator delete[](void* place, std::align_val_t, const std::nothrow_t&) noexcept { culvert::Freed::give_back(place); }
