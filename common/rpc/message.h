#pragma once
// gRPC's messages on an HTTP/2 stream: a byte that says whether it is compressed, four of length, and as many of message. Sans-I/O.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace culvert::rpc {

inline constexpr std::size_t kMessagePrefix = 5;

std::string prefix_of(std::size_t size);

// Reads one message after the other.
class MessageReader {
 public:
  enum class Step : std::uint8_t {
    kMore,        // all bytes are taken, and a message is not whole yet
    kBegun,       // size() is known, of which nothing is held yet
    kMessage,     // message() is whole; the next begins with what is left of the bytes
    kCompressed,  // nobody has agreed to that
  };

  // Takes from the front of `bytes`, one step.
  Step take(std::span<const std::byte>& bytes);
  bool between() const { return prefix_size_ == 0; }  // no message is under way
  std::size_t size() const { return size_; }
  std::string message() { return std::exchange(text_, {}); }

 private:
  std::array<std::byte, kMessagePrefix> prefix_{};
  std::size_t prefix_size_ = 0;
  std::size_t size_ = 0;
  std::string text_;
};

}  // namespace culvert::rpc
