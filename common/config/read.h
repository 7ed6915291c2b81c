#pragma once
// Reading typed fields out of a Tree, with every mistake reported and every field that nobody asked for known. Private to common/config.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/object.h"
#include "common/config/problem.h"
#include "common/config/tree.h"

namespace culvert::config {

// What reading one document found wrong.
struct Report {
  static constexpr std::size_t kMostProblems = 100;  // of one document; nobody reads more

  std::string file;
  std::string object;   // as far as known
  bool strict = false;  // a field that nobody asked for is a problem, not only `unread`
  std::vector<Problem> problems;
  std::vector<Problem> unread;

  void wrong(int line, std::string field, std::string what, std::string hint = "");
  bool full() const { return problems.size() >= kMostProblems; }
};

// True when it is of this type; else a problem with a hint.
bool check_type(Report& report, const Tree& tree, Tree::Type type, const std::string& path);
// Decimal, or with 0x or 0o before it; nothing when it is none or does not fit.
std::optional<std::int64_t> integer_of(const Tree& tree);
// "write A, B or C".
std::string one_of(const std::vector<std::string_view>& values);

// One map of a document. Ask for each field once; those that nobody asked for are reported when it goes.
// In the spec of a strict object a field without a value is a mistake: `from:` whose lines got lost must not mean everybody.
class Fields {
 public:
  Fields(Report& report, const Tree& tree, std::string path);
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  ~Fields();

  // Null when missing or null.
  const Tree* find(std::string_view name);
  bool has(std::string_view name) { return find(name) != nullptr; }
  // Known to exist, not read, no fault of anybody.
  void skip(std::initializer_list<std::string_view> names);
  // Asked for, but what it says is not followed: `unread` all the same.
  void not_followed(std::string_view name);

  std::string text(std::string_view name, std::string_view fallback = "");
  bool flag(std::string_view name, bool fallback = false);
  std::int64_t number(std::string_view name, std::int64_t least, std::int64_t most, std::int64_t fallback);
  std::uint16_t port(std::string_view name);  // 1..65535; 0 when missing
  std::optional<PortRef> port_ref(std::string_view name);
  std::vector<std::string> texts(std::string_view name);
  Labels labels(std::string_view name);
  std::optional<IpAddress> address(std::string_view name);
  std::vector<IpAddress> addresses(std::string_view name);

  template <class Value>
  Value choice(std::string_view name, const Value& fallback, std::initializer_list<std::pair<std::string_view, Value>> values) {
    std::vector<std::string_view> names;
    for (const auto& value : values) names.push_back(value.first);
    const std::optional<std::size_t> index = choose(name, names);
    return index ? (values.begin() + *index)->second : fallback;
  }

  // Calls read(Fields&) for the map `name`, when it is there.
  template <std::invocable<Fields&> Read>
  bool map(std::string_view name, Read read) {
    const Tree* tree = of_type(name, Tree::Type::kMap);
    if (!tree) return false;
    Fields fields(report_, *tree, path_of(name));
    read(fields);
    return true;
  }
  // Calls read(Fields&) for each map of the list `name`.
  template <std::invocable<Fields&> Read>
  void each(std::string_view name, Read read) {
    const Tree* tree = of_type(name, Tree::Type::kList);
    if (!tree) return;
    for (std::size_t i = 0; i < tree->items.size(); ++i) {
      const std::string path = path_of(name) + "[" + std::to_string(i) + "]";
      if (!check(tree->items[i], Tree::Type::kMap, path)) continue;
      Fields fields(report_, tree->items[i], path);
      read(fields);
    }
  }

  // Calls read(name, Fields&) for each field of the map `name`, all of which are maps of names that anybody may choose.
  template <std::invocable<std::string_view, Fields&> Read>
  void each_named(std::string_view name, Read read) {
    const Tree* tree = of_type(name, Tree::Type::kMap);
    if (!tree) return;
    for (std::size_t i = 0; i < tree->items.size(); ++i) {
      const std::string path = path_of(name) + "." + tree->names[i].substr(0, 256);
      if (!check(tree->items[i], Tree::Type::kMap, path)) continue;
      Fields fields(report_, tree->items[i], path);
      read(tree->names[i], fields);
    }
  }

  void require(std::string_view name, std::string_view hint);
  void refuse(std::string what, std::string hint = "");                        // the map itself
  void wrong(std::string_view name, std::string what, std::string hint = "");  // at the field, or at the map when it is missing
  const Tree* of_type(std::string_view name, Tree::Type type);
  std::string path_of(std::string_view name) const;
  bool all_known() const;  // somebody asked for every field
  Report& report() { return report_; }

 private:
  bool check(const Tree& tree, Tree::Type type, const std::string& path);
  bool in_strict_spec(std::string_view name) const;
  std::optional<std::size_t> choose(std::string_view name, const std::vector<std::string_view>& values);

  Report& report_;
  const Tree& tree_;
  std::string path_;
  std::vector<std::string_view> asked_;
};

// --- the kinds ---------------------------------------------------------------------------------------------------

Metadata read_metadata(Fields& object, bool namespaced);
Transport read_transport(Fields& port);
PodSpec read_pod_spec(Fields& spec);                                  // read_pod.cc
std::vector<Dialled> read_dialled(const Tree* containers);            // read_dialled.cc; null: none
Object read_pod(Fields& object, Metadata metadata);                   // read_pod.cc
Object read_deployment(Fields& object, Metadata metadata);            // read_pod.cc
Object read_stateful_set(Fields& object, Metadata metadata);          // read_pod.cc
Object read_service(Fields& object, Metadata metadata);               // read_service.cc
Object read_endpoint_slice(Fields& object, Metadata metadata);        // read_service.cc
Object read_config_map(Fields& object, Metadata metadata);            // read_service.cc
Object read_peer_authentication(Fields& object, Metadata metadata);   // read_policy.cc
Object read_authorization_policy(Fields& object, Metadata metadata);  // read_policy.cc
Object read_custom(Fields& object, Metadata metadata, Kind kind);     // kinds.cc

}  // namespace culvert::config
