#pragma once
// Ciphertext on its way out: contiguous, from a free list per thread, none while empty. Of this folder.

#include <cstddef>
#include <memory>
#include <span>

namespace culvert::tls {

class Output {
 public:
  Output() = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() { release(); }

  // Room for `more` bytes behind what is there.
  void reserve(std::size_t more);
  void append(std::span<const std::byte> bytes);
  std::span<const std::byte> bytes() const { return {memory_.get() + begin_, end_ - begin_}; }
  void remove(std::size_t count);
  std::size_t capacity() const { return capacity_; }

 private:
  void release();
  void move_to(std::size_t capacity);

  std::unique_ptr<std::byte[]> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace culvert::tls
