#pragma once
// A parsed document before it is an object: scalars typed as YAML 1.2 (core schema) says, lists, maps, each with its line.
// What reads objects (read.h) sees only this, whether it was YAML or JSON.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

struct Tree {
  enum class Type { kNull, kBool, kInt, kFloat, kString, kList, kMap };
  Type type = Type::kNull;
  int line = 0;
  std::string text;                // scalars, as written
  std::vector<Tree> items;         // of a kList, or the values of a kMap
  std::vector<std::string> names;  // of a kMap: one for each item, in the order written, unique

  const Tree* find(std::string_view name) const;  // in a map; null for other types and when missing
};

// "a string", "a list", ... for messages.
std::string_view describe(Tree::Type type);

// One document: its tree, or what is wrong with it.
struct Document {
  int line = 1;
  std::optional<Tree> root;  // none: broken
  int error_line = 0;
  std::string error;
  std::string_view text;  // as written, for a guess at what a broken one was; lives as long as what was passed in
};

// Splits at document markers and parses each document on its own. Empty documents are left out.
std::vector<Document> read_yaml(std::string_view text);

// One JSON value. It has no lines: all are 0.
Document read_json(std::string_view text);

}  // namespace culvert::config
