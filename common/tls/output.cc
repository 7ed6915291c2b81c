#include "common/tls/output.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/base/check.h"

namespace culvert::tls {
namespace {

// 256 KiB of plaintext as records of 16 KiB, and a little.
constexpr std::size_t kPiece = 288 * 1024;
constexpr std::size_t kKept = 8;
// What a slow peer leaves unsent moves to memory of its own size, so that many slow peers do not hold a piece each.
constexpr std::size_t kSmall = 32 * 1024;

using Memory = std::unique_ptr<std::byte[]>;
thread_local std::vector<Memory> free_pieces;

}  // namespace

void Output::move_to(std::size_t capacity) {
  Memory memory;
  if (capacity == kPiece && !free_pieces.empty()) {
    memory = std::move(free_pieces.back());
    free_pieces.pop_back();
  } else {
    memory = std::make_unique_for_overwrite<std::byte[]>(capacity);
  }
  const std::size_t size = end_ - begin_;
  if (size > 0) std::memcpy(memory.get(), memory_.get() + begin_, size);
  release();
  memory_ = std::move(memory);
  capacity_ = capacity;
  begin_ = 0;
  end_ = size;
}

void Output::reserve(std::size_t more) {
  if (capacity_ - end_ >= more) return;
  const std::size_t needed = end_ - begin_ + more;
  move_to(needed <= kPiece ? kPiece : std::max(needed, 2 * capacity_));
}

void Output::append(std::span<const std::byte> bytes) {
  reserve(bytes.size());
  std::memcpy(memory_.get() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
}

void Output::remove(std::size_t count) {
  CULVERT_CHECK(count <= end_ - begin_);
  begin_ += count;
  if (begin_ == end_) {
    release();
    begin_ = end_ = 0;
  } else if (capacity_ >= kPiece && end_ - begin_ <= kSmall) {
    move_to(end_ - begin_);
  }
}

void Output::release() {
  if (capacity_ == kPiece && free_pieces.size() < kKept) free_pieces.push_back(std::move(memory_));
  memory_.reset();
  capacity_ = 0;
}

}  // namespace culvert::tls
