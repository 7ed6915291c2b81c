#include "controlplane/ca/tokens.h"

#include <algorithm>
#include <utility>

namespace culvert::controlplane {
namespace {

// Equal, in a time that depends on the length of `given` alone.
bool equal(std::string_view secret, std::string_view given) {
  unsigned difference = secret.size() == given.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char other = secret.empty() ? '\0' : secret[i % secret.size()];
    difference |= static_cast<unsigned char>(other) ^ static_cast<unsigned char>(given[i]);
  }
  return difference == 0;
}

std::string_view word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
  const std::string_view out = line.substr(0, line.find_first_of(" \t\r"));
  line.remove_prefix(out.size());
  return out;
}

}  // namespace

Result<Tokens> Tokens::parse(std::string_view text) {
  Tokens out;
  for (int number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string_view token = word(line);
    const std::string_view node = word(line);
    if (token.empty() || token.starts_with('#')) continue;
    const std::string where = "line " + std::to_string(number) + ": ";  // never the token itself: messages are logged
    if (node.empty() || !word(line).empty()) return failure(where + "must be TOKEN NODE");
    if (token.size() < kShortest)
      return failure(where + "the token is shorter than " + std::to_string(kShortest) + " characters");
    if (std::ranges::contains(out.entries_, token, &Entry::token)) return failure(where + "the token is there twice");
    out.entries_.push_back({std::string(token), std::string(node)});
  }
  return out;
}

std::optional<std::string> Tokens::node_of(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Bearer ";
  const bool scheme = authorization.starts_with(kScheme);
  if (scheme) authorization.remove_prefix(kScheme.size());
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    if (equal(entry.token, authorization)) found = &entry;  // no way out early
  }
  if (!scheme || !found) return std::nullopt;
  return found->node;
}

std::set<std::string> Tokens::nodes() const {
  std::set<std::string> out;
  for (const Entry& entry : entries_)
    if (entry.node != kAuthority) out.insert(entry.node);
  return out;
}

}  // namespace culvert::controlplane
