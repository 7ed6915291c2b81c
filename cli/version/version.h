#pragma once
// `culvert version`: of this program, of each replica of the control plane, and of the data planes. Exit code: 0 done, 1 what was asked for by --remote could
// not be asked.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/ask/plane.h"

namespace culvert::cli {

struct VersionOptions {
  PlaneOptions planes = {};
  std::optional<bool> remote = {};  // nothing said: as far as it can be asked
  bool brief = false;               // numbers alone
  enum class Form : std::uint8_t { kText, kJson, kYaml };
  Form form = Form::kText;
};
int version(const VersionOptions& options);

struct Versions {
  std::string client = {};                                       // "0.1.0"
  std::string commit = {};                                       // "dd0cbeb8c1f2"
  std::vector<std::pair<std::string, std::string>> planes = {};  // replica, version
  std::map<std::string, std::size_t> proxies = {};               // by version: how many; "" of those that do not say
  bool asked = false;                                            // the mesh was
};
// Asks each for its own version and its data planes'.
net::Task<Status> ask_versions(net::Loop& loop, std::vector<Plane> planes, Versions& into);
// What is printed. Pure.
std::string text_of(const Versions& versions, bool brief);
std::string json_of(const Versions& versions, VersionOptions::Form form);
// The version that a culvertd, or an istiod, says of itself among its metrics. Pure.
std::string version_in(std::string_view metrics);

}  // namespace culvert::cli
