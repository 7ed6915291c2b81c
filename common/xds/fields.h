#pragma once
// The fields of a serialised protobuf message, one after the other, without taking the message apart. Only for this folder.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace culvert::xds {

inline constexpr std::size_t kMostOverhead = 6;  // of a field: its tag and its size

void append_field(std::string& out, std::uint32_t number, std::string_view value);

class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  struct Field {
    std::uint64_t number = 0;
    std::optional<std::string_view> value;  // of a text, bytes or a message; none: it is a number
    std::string_view whole;                 // with its tag
  };
  // None at the end, or where it cannot be read.
  std::optional<Field> next();
  // Everything was read.
  bool whole() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  void skip(std::size_t size) { rest_.remove_prefix(size); }  // of a field that was read from there

 private:
  std::string_view rest_;
};

}  // namespace culvert::xds
