#include "common/rpc/message.h"

#include <algorithm>

namespace culvert::rpc {

std::string prefix_of(std::size_t size) {
  std::string out(kMessagePrefix, '\0');
  for (std::size_t i = 0; i < 4; ++i) out[1 + i] = static_cast<char>(size >> (24 - 8 * i));
  return out;
}

MessageReader::Step MessageReader::take(std::span<const std::byte>& bytes) {
  if (prefix_size_ < kMessagePrefix) {
    const std::size_t count = std::min(bytes.size(), kMessagePrefix - prefix_size_);
    std::ranges::copy(bytes.first(count), prefix_.begin() + static_cast<std::ptrdiff_t>(prefix_size_));
    prefix_size_ += count;
    bytes = bytes.subspan(count);
    if (prefix_size_ < kMessagePrefix) return Step::kMore;
    if (prefix_[0] != std::byte{0}) return Step::kCompressed;
    size_ = 0;
    for (std::size_t i = 1; i < kMessagePrefix; ++i) size_ = size_ << 8 | std::to_integer<std::size_t>(prefix_[i]);
    return Step::kBegun;
  }
  // One that would be large is not, before it has come.
  const std::size_t count = std::min(bytes.size(), size_ - text_.size());
  text_.append(reinterpret_cast<const char*>(bytes.data()), count);
  bytes = bytes.subspan(count);
  if (text_.size() < size_) return Step::kMore;
  prefix_size_ = 0;
  return Step::kMessage;
}

}  // namespace culvert::rpc
