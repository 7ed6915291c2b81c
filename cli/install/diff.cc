#include "cli/install/diff.h"

#include <algorithm>
#include <set>

#include "common/base/format.h"
#include "common/config/tree.h"

namespace culvert::cli::install {
namespace {

using config::Tree;

constexpr std::size_t kMostShown = 200;  // bytes of a value: a dashboard is one

std::string text_of(const Tree& tree, std::string_view name) {
  const Tree* found = tree.find(name);
  return found == nullptr ? "" : found->text;
}

// Whether each item of a list is a map with a name that no other has.
bool has_names(const Tree& list) {
  std::set<std::string> seen;
  return std::ranges::all_of(list.items, [&](const Tree& item) {
    const std::string name = text_of(item, "name");
    return !name.empty() && seen.insert(name).second;
  });
}

void flatten(const Tree& tree, const std::string& where, Fields& out) {
  if (tree.type == Tree::Type::kMap && !tree.items.empty()) {
    for (std::size_t i = 0; i < tree.items.size(); ++i)
      flatten(tree.items[i], where.empty() ? tree.names[i] : where + "." + tree.names[i], out);
  } else if (tree.type == Tree::Type::kList && !tree.items.empty()) {
    const bool named = has_names(tree);
    for (std::size_t i = 0; i < tree.items.size(); ++i)
      flatten(tree.items[i], culvert::format("{}[{}]", where, named ? text_of(tree.items[i], "name") : std::to_string(i)), out);
  } else if (tree.type == Tree::Type::kMap || tree.type == Tree::Type::kList) {
    out[where] = tree.type == Tree::Type::kMap ? "{}" : "[]";
  } else {
    out[where] = tree.text;
  }
}

std::string shown(const std::string& value) {
  if (value.size() <= kMostShown && !value.contains('\n')) return value;
  const auto lines = std::ranges::count(value, '\n') + 1;
  return culvert::format("({} bytes in {} lines)", value.size(), lines);
}

std::string changed(const std::string& object, const Fields& has, const Fields& wanted) {
  std::string out = "changed: " + object + "\n";
  if (object.starts_with("Secret ")) return out + "  (what it holds is not shown)\n";
  Fields all = has;
  all.insert(wanted.begin(), wanted.end());
  for (const auto& [where, _] : all) {
    const auto before = has.find(where), after = wanted.find(where);
    if (before != has.end() && after != wanted.end() && before->second == after->second) continue;
    if (before != has.end()) out += culvert::format("  - {}: {}\n", where, shown(before->second));
    if (after != wanted.end()) out += culvert::format("  + {}: {}\n", where, shown(after->second));
  }
  return out;
}

}  // namespace

Result<Manifest> read_manifest(std::string_view yaml) {
  Manifest out;
  for (const config::Document& document : config::read_yaml(yaml)) {
    if (!document.root) return failure(culvert::format("line {}: {}", document.error_line, document.error));
    const Tree& root = *document.root;
    if (root.type == Tree::Type::kNull) continue;
    const Tree* metadata = root.find("metadata");
    const std::string kind = text_of(root, "kind"), name = metadata == nullptr ? "" : text_of(*metadata, "name");
    if (kind.empty() || name.empty()) return failure(culvert::format("line {}: this is no object of Kubernetes", document.line));
    const std::string ns = text_of(*metadata, "namespace");
    flatten(root, "", out[kind + " " + (ns.empty() ? name : ns + "/" + name)]);
  }
  return out;
}

std::string difference(const Manifest& has, const Manifest& wanted) {
  std::string out;
  for (const auto& [object, fields] : wanted) {
    const auto before = has.find(object);
    if (before == has.end()) out += "new: " + object + "\n";
    else if (before->second != fields) out += changed(object, before->second, fields);
  }
  for (const auto& [object, _] : has) {
    if (!wanted.contains(object)) out += "gone: " + object + "\n";
  }
  return out;
}

}  // namespace culvert::cli::install
