#pragma once
// The version that every program of this tree prints.

#include <string>
#include <string_view>

namespace culvert {

inline constexpr std::string_view kVersion = "0.1.0";

// The commit that this program was built from, like "dd0cbeb8c1f2", with "-dirty" behind it when files had been changed. Only programs carry it
// (cmake/CulvertCommit.cmake), so that a commit does not link all tests anew; elsewhere it is "unknown".
std::string_view commit();

// "0.1.0 (dd0cbeb8c1f2)": what --version prints behind the program's name.
std::string version_text();

}  // namespace culvert
