#pragma once
// Kubernetes YAML and JSON -> objects. Pure: no files, no clock. Many documents a file; `kind: List` is opened up.
//
// Istio's and the Gateway API's objects are read strictly: an unknown field, a wrong type or a bad value makes the object broken. Of core objects the fields that
// Culvert reads are checked and the others are only listed (`unread`), so that a caller that promises to honour all (culvert local) can refuse
// them by name. Scalars are typed as YAML 1.2 says: `no` and `on` are strings. Input size, depth, nodes and alias expansion are bounded.
// One broken document leaves the others of its file alone. Whatever says that it is a policy and cannot be read is Broken with a key, never Ignored:
// what a mistake hides must not become what is allowed. Nothing that stands in the text can abort or exhaust the program.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/object.h"
#include "common/config/problem.h"

namespace culvert::config {

inline constexpr std::size_t kMaxFileBytes = 16 << 20;
inline constexpr int kMaxDepth = 64;
inline constexpr std::size_t kMaxNodes = 1'000'000;                  // of one file, anchors and expanded aliases included
inline constexpr std::size_t kMaxExpandedBytes = 4 * kMaxFileBytes;  // of their text

struct Parsed {
  ObjectPtr object;
  Place place;                  // where its document begins
  std::vector<Problem> unread;  // fields that are there and that we do not read: none for Istio objects
};

// A document that cannot become an object.
struct Broken {
  // What it would have been, as far as that can be seen. A policy may lack its name, and its namespace when that may be any.
  std::optional<Key> key;
  bool certain =
      false;  // the key is surely its own; else it may be any object that its file held, and there may be more of them in it
  std::vector<Problem> problems;
};

// A document of a kind that Culvert does not read.
struct Ignored {
  Place place;
  std::string api_version, kind, name_space, name;

  // "f.yaml:1: Job shop/j of batch/v1 is not read by this version"; and what else is to be done where we know.
  std::string text() const;
};

struct ParsedFile {
  std::vector<Parsed> objects;
  std::vector<Broken> broken;
  std::vector<Ignored> ignored;
};

// `file` is only a name for messages.
ParsedFile parse_yaml(std::string_view file, std::string_view text);

// One object as an API server has it. The items of its lists say neither what they are nor of which version: then those of the list count.
ParsedFile parse_json(std::string_view file, std::string_view text, std::string_view api_version = "",
                      std::string_view kind = "");

}  // namespace culvert::config
