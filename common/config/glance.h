#pragma once
// A look at a document that is not YAML: what seems to stand in it, by its words alone, whatever their indentation and style. Enough to keep the
// last good version in force, and to deny where a policy was meant. Private to common/config.

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

// One object that seems to stand there. A document may hold several: between two of them the --- may be what is wrong.
struct Glance {
  std::string api_version{}, kind{};      // as written; empty when not seen
  std::string name{};                     // empty when not seen
  std::set<std::string> namespaces = {};  // all that are named, "" for one whose name is not seen
  bool whole_metadata = false;            // its metadata has an end, so that what is not in it is not lost either
};

std::vector<Glance> glance(std::string_view text);

}  // namespace culvert::config
