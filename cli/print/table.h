#pragma once
// Tables as kubectl and istioctl print them, and colours where somebody looks. Pure, but for colours_wanted().

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace culvert::cli::print {

enum class Colour : std::uint8_t { kNone, kRed, kYellow, kGreen };

struct Cell {
  std::string text;
  Colour colour = Colour::kNone;

  Cell(std::string its_text, Colour its_colour = Colour::kNone)
      : text(std::move(its_text)), colour(its_colour) {}  // NOLINT: a text is a cell
  Cell(const char* its_text) : text(its_text) {}          // NOLINT
};
using Row = std::vector<Cell>;

// Columns as wide as their longest cell and `padding` more; the last one is not filled up. What would move a terminal's cursor is left out.
std::string table(const std::vector<Row>& rows, std::size_t padding, bool coloured = false);

// `text` without what could do something to a terminal: it may be a stranger's.
std::string harmless(std::string text);

// Standard output is a terminal that knows colours, and NO_COLOR is not set (no-color.org).
bool colours_wanted();

}  // namespace culvert::cli::print
