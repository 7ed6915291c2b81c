#include "common/config/read.h"

#include <algorithm>
#include <charconv>
#include <ranges>

#include "common/config/spelling.h"
#include "common/config/time.h"

namespace culvert::config {
void Report::wrong(int line, std::string field, std::string what, std::string hint) {
  if (problems.size() < kMostProblems)
    problems.push_back({{file, line}, object, std::move(field), std::move(what), std::move(hint)});
}

bool check_type(Report& report, const Tree& tree, Tree::Type type, const std::string& path) {
  if (tree.type == type) return true;
  std::string hint;
  const bool scalar = tree.type == Tree::Type::kBool || tree.type == Tree::Type::kInt || tree.type == Tree::Type::kFloat;
  if (type == Tree::Type::kString && scalar) hint = "write " + quote(tree.text) + ", in quotes";
  if (type == Tree::Type::kBool && tree.type == Tree::Type::kString) hint = "write true or false";
  if (type == Tree::Type::kInt && tree.type == Tree::Type::kString) hint = "write a number without quotes";
  if (type == Tree::Type::kInt && tree.type == Tree::Type::kFloat) hint = "write a whole number";
  if (type == Tree::Type::kList && tree.type != Tree::Type::kMap) hint = "write [" + tree.text.substr(0, 40) + "]";
  report.wrong(tree.line, path, "must be " + std::string(describe(type)) + ", is " + std::string(describe(tree.type)), hint);
  return false;
}

std::optional<std::int64_t> integer_of(const Tree& tree) {
  std::string_view text = tree.text;
  int base = 10;
  if (text.starts_with("0x")) base = 16;
  if (text.starts_with("0o")) base = 8;
  if (base != 10) text.remove_prefix(2);
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string one_of(const std::vector<std::string_view>& values) {
  std::string hint = "write ";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) hint += i + 1 == values.size() ? " or " : ", ";
    hint += values[i];
  }
  return hint;
}

Fields::Fields(Report& report, const Tree& tree, std::string path) : report_(report), tree_(tree), path_(std::move(path)) {
  for (const auto& [name, value] : std::views::zip(tree_.names, tree_.items)) {
    if (value.type == Tree::Type::kNull && in_strict_spec(name))
      report_.wrong(value.line, path_of(name), "has no value", "write one, or remove the field");
  }
}

Fields::~Fields() {
  for (const auto& [name, value] : std::views::zip(tree_.names, tree_.items)) {
    auto& list = report_.strict ? report_.problems : report_.unread;
    if (list.size() >= Report::kMostProblems) break;
    if (std::ranges::find(asked_, name) != asked_.end()) continue;
    Problem problem{{report_.file, value.line}, report_.object, path_of(name), "unknown field", did_you_mean(name, asked_)};
    if (!report_.strict) problem.what = "field is not read";
    list.push_back(std::move(problem));
  }
}

std::string Fields::path_of(std::string_view name) const {
  std::string path = path_;
  if (!path.empty()) path += '.';
  return path += name.substr(0, 256);
}

bool Fields::in_strict_spec(std::string_view name) const {
  return report_.strict && (path_.empty() ? name == "spec" : path_.starts_with("spec"));
}

bool Fields::all_known() const {
  return std::ranges::all_of(tree_.names, [&](const std::string& name) { return std::ranges::contains(asked_, name); });
}

const Tree* Fields::find(std::string_view name) {
  asked_.push_back(name);
  const Tree* tree = tree_.find(name);
  return tree && tree->type != Tree::Type::kNull ? tree : nullptr;
}

void Fields::skip(std::initializer_list<std::string_view> names) { asked_.insert(asked_.end(), names); }

void Fields::not_followed(std::string_view name) {
  const Tree* tree = tree_.find(name);
  if (tree == nullptr || report_.unread.size() >= Report::kMostProblems) return;
  report_.unread.push_back({{report_.file, tree->line}, report_.object, path_of(name), "field is not read", ""});
}

void Fields::wrong(std::string_view name, std::string what, std::string hint) {
  const Tree* tree = tree_.find(name);
  report_.wrong(tree ? tree->line : tree_.line, path_of(name), std::move(what), std::move(hint));
}

void Fields::refuse(std::string what, std::string hint) { report_.wrong(tree_.line, path_, std::move(what), std::move(hint)); }

void Fields::require(std::string_view name, std::string_view hint) {
  if (!find(name)) wrong(name, "is missing", std::string(hint));
}

bool Fields::check(const Tree& tree, Tree::Type type, const std::string& path) { return check_type(report_, tree, type, path); }

const Tree* Fields::of_type(std::string_view name, Tree::Type type) {
  const Tree* tree = find(name);
  return tree && check(*tree, type, path_of(name)) ? tree : nullptr;
}

std::string Fields::text(std::string_view name, std::string_view fallback) {
  const Tree* tree = of_type(name, Tree::Type::kString);
  return tree ? tree->text : std::string(fallback);
}

bool Fields::flag(std::string_view name, bool fallback) {
  const Tree* tree = of_type(name, Tree::Type::kBool);
  return tree ? tree->text[0] == 't' || tree->text[0] == 'T' : fallback;
}

std::int64_t Fields::number(std::string_view name, std::int64_t least, std::int64_t most, std::int64_t fallback) {
  const Tree* tree = of_type(name, Tree::Type::kInt);
  if (!tree) return fallback;
  const auto value = integer_of(*tree);
  if (value && *value >= least && *value <= most) return *value;
  wrong(name, tree->text.substr(0, 40) + " is out of range", "write " + std::to_string(least) + " to " + std::to_string(most));
  return fallback;
}

std::uint16_t Fields::port(std::string_view name) { return static_cast<std::uint16_t>(number(name, 1, 65535, 0)); }

std::optional<PortRef> Fields::port_ref(std::string_view name) {
  const Tree* tree = find(name);
  if (!tree) return std::nullopt;
  if (tree->type == Tree::Type::kString) {
    if (!tree->text.empty() && tree->text.size() <= 63) return PortRef{0, tree->text};
    wrong(name, "is not the name of a port", "write a number, or the name of a container's port");
    return std::nullopt;
  }
  const std::uint16_t number = port(name);
  return number == 0 ? std::nullopt : std::optional(PortRef{number, ""});
}

std::vector<std::string> Fields::texts(std::string_view name) {
  std::vector<std::string> out;
  const Tree* tree = of_type(name, Tree::Type::kList);
  if (!tree) return out;
  for (std::size_t i = 0; i < tree->items.size(); ++i) {
    if (check(tree->items[i], Tree::Type::kString, path_of(name) + "[" + std::to_string(i) + "]"))
      out.push_back(tree->items[i].text);
  }
  return out;
}

Labels Fields::labels(std::string_view name) {
  Labels out;
  const Tree* tree = of_type(name, Tree::Type::kMap);
  if (!tree) return out;
  for (const auto& [key, value] : std::views::zip(tree->names, tree->items)) {
    if (value.type == Tree::Type::kNull && !in_strict_spec(name)) {
      out.emplace(key, "");
    } else if (check(value, Tree::Type::kString, path_of(name) + "." + key.substr(0, 256))) {
      out.emplace(key, value.text);
    }
  }
  return out;
}

std::optional<IpAddress> Fields::address(std::string_view name) {
  const std::string written = text(name);
  if (written.empty()) return std::nullopt;
  if (auto address = IpAddress::parse(written)) return *address;
  wrong(name, quote(written) + " is not an IP address");
  return std::nullopt;
}

std::vector<IpAddress> Fields::addresses(std::string_view name) {
  std::vector<IpAddress> out;
  for (const std::string& written : texts(name)) {
    if (auto address = IpAddress::parse(written)) {
      out.push_back(*address);
    } else {
      wrong(name, quote(written) + " is not an IP address");
    }
  }
  return out;
}

std::optional<std::size_t> Fields::choose(std::string_view name, const std::vector<std::string_view>& values) {
  const Tree* tree = of_type(name, Tree::Type::kString);
  if (!tree) return std::nullopt;
  if (const auto found = std::ranges::find(values, tree->text); found != values.end()) return found - values.begin();
  wrong(name, "unknown value " + quote(tree->text), one_of(values));
  return std::nullopt;
}

namespace {

void read_owners(Fields& fields, Metadata& metadata) {
  std::vector<OwnerReference> owners;
  fields.each("ownerReferences", [&](Fields& owner) {
    owner.skip({"apiVersion", "uid", "blockOwnerDeletion"});
    owners.push_back({owner.text("kind"), owner.text("name"), owner.flag("controller")});
  });
  if (!owners.empty()) metadata.owners = std::move(owners);
}

void read_names(Fields& fields, bool namespaced, Metadata& metadata) {
  metadata.name = fields.text("name");
  if (metadata.name.empty()) {
    fields.wrong("name", "is missing", "every object needs a name");
  } else if (!is_name(metadata.name)) {
    fields.wrong("name", quote(metadata.name) + " is not a name", "lower-case letters, digits, '-' and '.', at most 253");
  }
  const std::string name_space = fields.text("namespace");
  if (!namespaced) return;
  metadata.name_space = name_space.empty() ? "default" : name_space;
  if (!is_namespace_name(metadata.name_space)) {
    fields.wrong("namespace", quote(name_space) + " is not a namespace's name", "lower-case letters, digits and '-', at most 63");
  }
}

}  // namespace

Transport read_transport(Fields& fields) {
  return fields.choice<Transport>("protocol", Transport::kTcp,
                                  {{"TCP", Transport::kTcp}, {"UDP", Transport::kUdp}, {"SCTP", Transport::kSctp}});
}

Metadata read_metadata(Fields& object, bool namespaced) {
  Metadata metadata;
  const bool there = object.map("metadata", [&](Fields& fields) {
    fields.skip({"generateName", "generation", "resourceVersion", "selfLink", "managedFields", "finalizers",
                 "deletionGracePeriodSeconds"});
    read_names(fields, namespaced, metadata);
    metadata.uid = fields.text("uid");
    metadata.labels = fields.labels("labels");
    metadata.annotations = fields.labels("annotations");
    if (const std::string created = fields.text("creationTimestamp"); !created.empty()) {
      const auto seconds = seconds_of(created);
      if (!seconds)
        fields.wrong("creationTimestamp", quote(created) + " is not a time", "write for example 2026-08-20T10:00:00Z");
      metadata.created = seconds.value_or(0);
    }
    metadata.deleting = fields.has("deletionTimestamp");
    read_owners(fields, metadata);
  });
  if (!there) object.wrong("metadata", "is missing", "every object needs metadata.name");
  return metadata;
}

}  // namespace culvert::config
