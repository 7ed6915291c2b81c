#include "common/xds/fields.h"

namespace culvert::xds {
namespace {

constexpr std::uint64_t kVarint = 0, kEight = 1, kLengthDelimited = 2, kFour = 5;

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) return std::nullopt;
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

}  // namespace

void append_field(std::string& out, std::uint32_t number, std::string_view value) {
  append_varint(out, std::uint64_t{number} << 3 | kLengthDelimited);
  append_varint(out, value.size());
  out += value;
}

std::optional<Fields::Field> Fields::next() {
  std::string_view bytes = rest_;
  const auto tag = take_varint(bytes);
  if (!tag) return std::nullopt;
  Field out{.number = *tag >> 3, .value = std::nullopt, .whole = {}};
  std::optional<std::uint64_t> size;
  switch (*tag & 7) {
    case kVarint: size = take_varint(bytes) ? std::optional(0) : std::nullopt; break;
    case kEight: size = 8; break;
    case kFour: size = 4; break;
    case kLengthDelimited: size = take_varint(bytes); break;
    default: break;  // groups: nobody has any
  }
  if (!size || *size > bytes.size()) return std::nullopt;
  if ((*tag & 7) == kLengthDelimited) out.value = bytes.substr(0, *size);
  bytes.remove_prefix(*size);
  out.whole = rest_.substr(0, rest_.size() - bytes.size());
  rest_ = bytes;
  return out;
}

}  // namespace culvert::xds
