#include "cli/print/table.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace culvert::cli::print {
namespace {

// Code points, which is near enough to columns for what is in our tables.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string_view begin_of(Colour colour) {
  switch (colour) {
    case Colour::kRed: return "\x1b[31m";
    case Colour::kYellow: return "\x1b[33m";
    case Colour::kGreen: return "\x1b[32m";
    case Colour::kNone: break;
  }
  return "";
}

}  // namespace

std::string harmless(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  return text;
}

std::string table(const std::vector<Row>& rows, std::size_t padding, bool coloured) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i].text));
  }
  std::string out;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool paint = coloured && row[i].colour != Colour::kNone;
      if (paint) out += begin_of(row[i].colour);
      out += harmless(row[i].text);
      if (paint) out += "\x1b[0m";
      if (i + 1 < row.size()) out.append(widths[i] - width_of(row[i].text) + padding, ' ');
    }
    out += '\n';
  }
  return out;
}

bool colours_wanted() {
  const char* unwanted = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return (unwanted == nullptr || *unwanted == '\0') && terminal != nullptr && std::string_view(terminal) != "dumb" &&
         ::isatty(STDOUT_FILENO) == 1;
}

}  // namespace culvert::cli::print
