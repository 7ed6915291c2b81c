#include "common/rpc/backlog.h"

#include <cstdint>

namespace culvert::rpc {

void Backlog::drop(std::size_t count) {
  read_ += count;
  if (read_ == bytes_.size()) {
    std::vector<std::byte>().swap(
        bytes_);  // neither clear() nor = {} would let go of the memory, on a stream that may live for half an hour
    read_ = 0;
  } else if (read_ > bytes_.size() / 2) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(read_));
    read_ = 0;
  }
}

}  // namespace culvert::rpc
