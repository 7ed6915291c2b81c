#pragma once
// What is wrong with objects, and what is legal and probably not meant: one answer for the webhook, which says it when an object is applied, and for
// `culvert validate` and `culvert analyze`, which say it before. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/parse.h"
#include "common/derive/objects.h"
#include "common/derive/sharing.h"

namespace culvert::analyze {

enum class Level : std::uint8_t { kInfo, kWarning, kError };
std::string_view name(Level level);  // "Info", "Warning", "Error"

struct Finding {
  Level level = Level::kError;
  config::Place place;
  std::string object;  // "AuthorizationPolicy shop/p"; empty when the document does not say
  std::string text;    // "spec.action: unknown value \"DENI\" (write ALLOW, DENY, AUDIT or CUSTOM)"

  friend bool operator==(const Finding&, const Finding&) = default;
};

// What cannot be read, and would not be in force: errors. Documents of kinds that nobody reads here: information.
std::vector<Finding> mistakes(const config::ParsedFile& file);

// Of one object, whatever others there are: what is legal and to be thought about twice, and what this version does not enforce.
std::vector<Finding> cautions(const config::Parsed& parsed, const derive::Settings& settings);

// And as it would be among `objects`, of which `sharing` is: references to nothing, policies that others overrule.
std::vector<Finding> doubts(const config::Parsed& parsed, const derive::Objects& objects, const derive::Settings& settings,
                            const derive::Sharing& sharing);

// Everything about some files: mistakes, and doubts of what can be read, each among all of them, as culvertd with a folder of them has it: `settings` are
// those without the files' MeshConfig. In the order of the files.
std::vector<Finding> analyze(const std::vector<config::ParsedFile>& files, const derive::Settings& settings);

}  // namespace culvert::analyze
