#include "common/config/spelling.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace culvert::config {
namespace {

constexpr std::size_t kLongest = 64;  // what a stranger wrote may be of any length

// Levenshtein.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

bool resembles(std::string_view word, std::string_view known, std::size_t most) {
  return word.size() <= known.size() + most && known.size() <= word.size() + most && distance(word, known) <= most;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& known) {
  if (word.size() > kLongest) return "";
  std::size_t best = word.size() <= 3 ? 2 : std::max<std::size_t>(word.size() / 3, 2) + 1;
  std::string_view found;
  for (const std::string_view candidate : known) {
    const std::size_t d = distance(word, candidate);
    if (d < best) {
      best = d;
      found = candidate;
    }
  }
  return found.empty() ? "" : "did you mean " + std::string(found) + "?";
}

bool is_dns_name(std::string_view text, std::size_t most, bool dots) {
  if (text.empty() || text.size() > most) return false;
  const auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (!alnum(text.front()) || !alnum(text.back())) return false;
  return std::ranges::all_of(text, [&](char c) { return alnum(c) || c == '-' || (dots && c == '.'); });
}

}  // namespace culvert::config
