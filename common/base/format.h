#pragma once
// std::format, with the machinery behind it compiled once. libstdc++ has all of it in headers: each source that calls std::format gets
// some 100 KiB of code of its own and takes two seconds more to compile, of which the linker throws all but one away.
// Called by its whole name, culvert::format: a std::string among the arguments makes std::format a candidate too.

#include <chrono>
#include <format>
#include <string>
#include <string_view>
#include <utility>

namespace culvert {

std::string vformat(std::string_view text, std::format_args args);

// As std::format: the text is checked against the arguments when it is compiled.
template <class... Args>
std::string format(std::format_string<Args...> text, Args&&... args) {
  return culvert::vformat(text.get(), std::make_format_args(args...));
}

// 2026-08-20T10:00:00Z, as RFC 3339 writes a time in UTC; with 3 or 6 digits of a second's fraction when they are asked for.
enum class Fraction { kNone, kMillis, kMicros };
std::string rfc3339(std::chrono::system_clock::time_point time, Fraction fraction = Fraction::kNone);

}  // namespace culvert
