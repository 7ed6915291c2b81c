#pragma once
// Bytes of a stream that have come and cannot be read yet, in their order. What has been read takes no memory. Owned and used by one connection.

#include <cstddef>
#include <span>
#include <vector>

namespace culvert::rpc {

class Backlog {
 public:
  bool empty() const { return bytes_.empty(); }
  std::size_t size() const { return bytes_.size() - read_; }
  std::span<const std::byte> bytes() const { return std::span(bytes_).subspan(read_); }  // until append() or drop()
  void append(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  // The first `count` bytes have been read.
  void drop(std::size_t count);
  std::size_t memory() const { return bytes_.capacity(); }

 private:
  std::vector<std::byte> bytes_;
  std::size_t read_ = 0;  // less than there are, unless there are none
};

}  // namespace culvert::rpc
