#include "common/config/time.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

namespace culvert::config {

std::optional<std::int64_t> seconds_of(const std::string& text) {
  int year = 0, end = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (std::sscanf(text.c_str(), "%4d-%2u-%2uT%2u:%2u:%2u%n", &year, &month, &day, &hour, &minute, &second, &end) != 6)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  std::string zone = text.substr(static_cast<std::size_t>(end));
  if (zone.starts_with('.')) zone.erase(0, std::min(zone.find_first_not_of("0123456789", 1), zone.size()));
  const std::int64_t local =
      std::chrono::sys_days(date).time_since_epoch().count() * 86400LL + hour * 3600 + minute * 60 + second;
  if (zone == "Z") return local;
  unsigned ahead_hours = 0, ahead_minutes = 0;
  char sign = 0;
  if (zone.size() != 6 || std::sscanf(zone.c_str(), "%c%2u:%2u", &sign, &ahead_hours, &ahead_minutes) != 3) return std::nullopt;
  if ((sign != '+' && sign != '-') || ahead_hours > 23 || ahead_minutes > 59) return std::nullopt;
  const std::int64_t ahead = ahead_hours * 3600LL + ahead_minutes * 60;
  return sign == '+' ? local - ahead : local + ahead;
}

namespace {

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr std::array<Unit, 8> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"\xC2\xB5s", 1'000},
                                         {"\xCE\xBCs", 1'000},
                                         {"ms", 1'000'000},
                                         {"s", 1'000'000'000},
                                         {"m", 60'000'000'000},
                                         {"h", 3'600'000'000'000}}};

// Takes "1.5h" off the front and adds it. False when there is none, or it is too much.
bool take_part(std::string_view& text, std::int64_t& total) {
  std::int64_t whole = 0, fraction = 0, scale = 1;
  std::size_t digits = 0;
  bool point = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '.' && !point) {
      point = true;
      continue;
    }
    if (text[at] < '0' || text[at] > '9') break;
    ++digits;
    const int digit = text[at] - '0';
    if (!point && (__builtin_mul_overflow(whole, std::int64_t{10}, &whole) || __builtin_add_overflow(whole, digit, &whole)))
      return false;
    if (!point || scale >= 1'000'000'000) continue;
    fraction = fraction * 10 + digit;
    scale *= 10;
  }
  text.remove_prefix(at);
  const std::size_t end = std::min(text.find_first_of("0123456789."), text.size());
  const auto unit = std::ranges::find(kUnits, text.substr(0, end), &Unit::name);
  if (digits == 0 || unit == kUnits.end()) return false;
  text.remove_prefix(end);
  std::int64_t part = 0;
  const auto of_fraction = static_cast<std::int64_t>(static_cast<__int128>(fraction) * unit->nanoseconds / scale);
  return !__builtin_mul_overflow(whole, unit->nanoseconds, &part) && !__builtin_add_overflow(part, of_fraction, &part) &&
         !__builtin_add_overflow(total, part, &total);
}

}  // namespace

std::optional<std::chrono::nanoseconds> duration_of(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;
  while (!text.empty()) {
    if (!take_part(text, total)) return std::nullopt;
  }
  return std::chrono::nanoseconds(negative ? -total : total);
}

}  // namespace culvert::config
