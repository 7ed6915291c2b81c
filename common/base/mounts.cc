#include "common/base/mounts.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <ranges>

namespace culvert {
namespace {

// The kernel writes space, tab, newline and backslash of a path as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// "38 31 0:31 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw"
std::optional<Mount> parse_line(std::string_view line) {
  std::vector<std::string_view> words;
  for (const auto word : line | std::views::split(' ')) words.emplace_back(word.begin(), word.end());
  const auto dash = std::ranges::find(words, "-");
  if (std::distance(words.begin(), dash) < 6 || std::distance(dash, words.end()) < 2) return std::nullopt;
  const auto options = std::distance(dash, words.end()) > 3 ? dash[3] : std::string_view();
  return Mount{
      .root = unescape(words[3]), .point = unescape(words[4]), .type = std::string(dash[1]), .options = std::string(options)};
}

}  // namespace

std::vector<Mount> parse_mountinfo(std::string_view text) {
  std::vector<Mount> mounts;
  for (const auto line : text | std::views::split('\n')) {
    if (auto mount = parse_line(std::string_view(line.begin(), line.end()))) mounts.push_back(*std::move(mount));
  }
  return mounts;
}

}  // namespace culvert
