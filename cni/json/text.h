#pragma once
// JSON text as it stands: which bytes are which value, so that what others wrote can be passed on, and edited, byte for byte. Makes no tree
// and changes nothing. Pure; what it returns are views of the text that it was given, without the white space around.
//
//   if (auto checked = json::check(text); !checked) ...
//   const auto name = json::string_of(json::find(text, "name"));

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace culvert::json {

inline constexpr int kMaxDepth = 64;

// Fails, naming the byte, unless the text is one JSON value (RFC 8259) that is not nested deeper than kMaxDepth. The functions below want a
// text that passed, or a part of one; of anything else they see what comes before the mistake.
Status check(std::string_view text);

struct Member {
  std::string key;
  std::string_view value;
};
std::vector<Member> members(std::string_view object);            // in their order; none when it is no object
std::vector<std::string_view> elements(std::string_view array);  // none when it is no array

bool is_object(std::string_view value);
bool is_array(std::string_view value);

// The value of a member, the last of that name as Go takes it; empty when there is none.
std::string_view find(std::string_view object, std::string_view key);

// What a string means; none when the value is no string, or has half a surrogate in it.
std::optional<std::string> string_of(std::string_view value);
// string_of, or "" for everything else.
std::string text_of(std::string_view value);
// The strings of an array; what is none is left out.
std::vector<std::string> strings_of(std::string_view array);

// As a JSON text, with quotes.
std::string quoted(std::string_view text);
std::string quoted(const std::vector<std::string>& texts);  // ["a","b"]

}  // namespace culvert::json
