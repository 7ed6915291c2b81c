#pragma once
// What a mistaken word was meant to be. Pure.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

// True when at most `most` letters are wrong, missing or too many. Cheap, however long the word is.
bool resembles(std::string_view word, std::string_view known, std::size_t most);

// "did you mean principals?"; empty when nothing comes close.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known);

// Lower-case letters, digits and '-' (and '.' with `dots`), a letter or digit at both ends.
bool is_dns_name(std::string_view text, std::size_t most, bool dots);
inline bool is_name(std::string_view text) { return is_dns_name(text, 253, true); }
inline bool is_namespace_name(std::string_view text) { return is_dns_name(text, 63, false); }

}  // namespace culvert::config
