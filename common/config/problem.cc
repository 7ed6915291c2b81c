#include "common/config/problem.h"

#include "common/base/utf8.h"

namespace culvert::config {

std::string Place::text() const { return line == 0 ? file : file + ":" + std::to_string(line); }

std::string Problem::text() const {
  std::string out = place.text();
  for (const std::string* part : {&object, &field, &what}) {
    if (!part->empty()) out.append(out.empty() ? "" : ": ").append(*part);
  }
  if (!hint.empty()) out.append(" (").append(hint).append(")");
  return out;
}

std::string quote(std::string_view text) {
  constexpr std::size_t kMost = 80;
  std::string out = "\"";
  std::string_view rest = text;
  while (!rest.empty() && text.size() - rest.size() < kMost) {
    const unsigned char c = static_cast<unsigned char>(rest.front());
    const std::size_t size = c < 0x20 || c == 0x7f ? 0 : utf8_size(rest);
    out += size == 0 ? "?" : rest.substr(0, size);
    rest.remove_prefix(size == 0 ? 1 : size);
  }
  return out += rest.empty() ? "\"" : "…\"";
}

}  // namespace culvert::config
