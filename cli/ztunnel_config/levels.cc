#include "cli/ztunnel_config/levels.h"

#include <algorithm>
#include <ranges>

#include "common/base/format.h"

namespace culvert::cli {
namespace {

// Where the level begins: behind "=", or behind a colon that is not one of the two of "proxy::inbound"; npos when there is no scope.
std::size_t separator_in(std::string_view word) {
  if (const auto equals = word.find('='); equals != word.npos) return equals;
  const auto colon = word.rfind(':');
  return colon != word.npos && colon > 0 && word[colon - 1] == ':' ? word.npos : colon;
}

}  // namespace

Result<std::string> log_directive(std::string_view written) {
  constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warn", "error", "off"};
  if (written.empty()) return failure("no level is named");
  std::string out;
  for (const auto part : std::views::split(written, ',')) {
    const std::string_view word(part.begin(), part.end());
    const auto at = separator_in(word);
    const std::string_view scope = at == word.npos ? "" : word.substr(0, at);
    std::string_view level = at == word.npos ? word : word.substr(at + 1);
    if (level == "warning") level = "warn";
    if (level == "critical") level = "error";
    if (!std::ranges::contains(kLevels, level) || (at != word.npos && scope.empty()))
      return failure(culvert::format(
          "\"{}\" is no LEVEL and no SCOPE:LEVEL (levels: trace, debug, info, warning, error, critical, off)", word));
    out += culvert::format("{}{}{}{}", out.empty() ? "" : ",", scope, scope.empty() ? "" : "=", level);
  }
  return out;
}

}  // namespace culvert::cli
