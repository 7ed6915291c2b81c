#include "common/base/format.h"

namespace culvert {

std::string vformat(std::string_view text, std::format_args args) { return std::vformat(text, args); }

std::string rfc3339(std::chrono::system_clock::time_point time, Fraction fraction) {
  using std::chrono::floor;
  switch (fraction) {
    case Fraction::kNone: break;
    case Fraction::kMillis: return std::format("{:%FT%TZ}", floor<std::chrono::milliseconds>(time));
    case Fraction::kMicros: return std::format("{:%FT%TZ}", floor<std::chrono::microseconds>(time));
  }
  return std::format("{:%FT%TZ}", floor<std::chrono::seconds>(time));
}

}  // namespace culvert
