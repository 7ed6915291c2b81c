#pragma once
// The version that every program of this tree prints.

#include <string_view>

namespace culvert {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace culvert
