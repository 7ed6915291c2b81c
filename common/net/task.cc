#include "common/net/task.h"

#include <array>
#include <cstdlib>
#include <new>

#include "common/base/sanitizer.h"

namespace culvert::net::detail {
namespace {

#if !CULVERT_WATCHED  // else the sanitizer sees no use after free

// Frames of like size, ready for reuse: a stack per class of 64 bytes, bounded so that a burst does not stay for ever.
constexpr std::size_t kClass = 64;
constexpr std::size_t kClasses = 32;  // larger frames go to malloc
constexpr std::size_t kKept = 64;

struct FreeFrames {
  struct Node {
    Node* next;
  };
  std::array<Node*, kClasses> first{};
  std::array<std::size_t, kClasses> count{};

  ~FreeFrames() {
    for (Node* node : first)
      while (node != nullptr) {
        Node* next = node->next;
        std::free(node);
        node = next;
      }
    count.fill(kKept);  // what is freed from here on goes straight to free()
    first.fill(nullptr);
  }
};
thread_local FreeFrames free_frames;

#endif

void* allocate(std::size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* allocate_frame(std::size_t size) {
#if !CULVERT_WATCHED
  const std::size_t index = (size - 1) / kClass;
  if (index < kClasses) {
    if (auto* node = free_frames.first[index]) {
      free_frames.first[index] = node->next;
      --free_frames.count[index];
      return node;
    }
    return allocate((index + 1) * kClass);
  }
#endif
  return allocate(size);
}

void free_frame(void* frame, [[maybe_unused]] std::size_t size) noexcept {
#if !CULVERT_WATCHED
  const std::size_t index = (size - 1) / kClass;
  if (index < kClasses && free_frames.count[index] < kKept) {
    auto* node = static_cast<FreeFrames::Node*>(frame);
    node->next = free_frames.first[index];
    free_frames.first[index] = node;
    ++free_frames.count[index];
    return;
  }
#endif
  std::free(frame);
}

}  // namespace culvert::net::detail
