#pragma once
// UTF-8 as RFC 3629 defines it. Protobuf strings and JSON refuse anything else.

#include <cstddef>
#include <string_view>

namespace culvert {

// Bytes of the character that `text` begins with; 0 when it begins with none.
constexpr std::size_t utf8_size(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&](std::size_t i) { return (at(i) & 0xC0) == 0x80; };
  const unsigned first = at(0), second = at(1);
  if (text.empty()) return 0;
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if ((first & 0xF0) == 0xE0) {
    const bool fits = follows(1) && (first != 0xE0 || second >= 0xA0) && (first != 0xED || second <= 0x9F);  // no surrogates
    return fits && follows(2) ? 3 : 0;
  }
  if (first < 0xF0 || first > 0xF4) return 0;
  const bool fits = follows(1) && (first != 0xF0 || second >= 0x90) && (first != 0xF4 || second <= 0x8F);
  return fits && follows(2) && follows(3) ? 4 : 0;
}

static_assert(utf8_size("a") == 1 && utf8_size("\xC3\xA4") == 2 && utf8_size("\xE2\x82\xAC") == 3);
static_assert(utf8_size("\xF0\x9F\x98\x80") == 4 && utf8_size("\xC0\x80") == 0 && utf8_size("\xED\xA0\x80") == 0);
static_assert(utf8_size("\xFF") == 0 && utf8_size("\xE2\x82") == 0 && utf8_size("\xF4\x90\x80\x80") == 0);

}  // namespace culvert
