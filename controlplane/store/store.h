#pragma once
// All objects, by kind, namespace and name, from whatever source: a folder today, an API server tomorrow. What stands behind the store does not
// know which. Says every problem of a source once, in the log and in the counters, and keeps the list of what is broken now for the debug pages.
// On the control thread.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/config/folder.h"
#include "common/config/shared.h"
#include "common/derive/discovery.h"
#include "common/telemetry/registry.h"

namespace culvert::controlplane {

class Store {
 public:
  static constexpr std::size_t kMostGone = 10'000;  // deleted objects of which the epoch is remembered

  // `settings` as they are without MeshConfig.
  explicit Store(telemetry::Registry& registry, derive::Settings settings = {});

  // Takes one step of a source. Returns the keys whose object was put, deleted or became unreadable, or came and went with its namespace.
  std::vector<config::Key> apply(const config::Diff& diff);
  // What apply() answered is part of what is served since this epoch.
  void served(const std::vector<config::Key>& keys, std::uint64_t epoch);

  // The last change of an object.
  struct Last {
    enum class What : std::uint8_t { kPut, kDeleted, kInvalid };  // kInvalid: its newest version cannot be read
    What what = What::kPut;
    std::uint64_t epoch = 0;  // in which it became part of what is served; 0: before the first
  };
  // None when there never was such an object, or its deletion is forgotten.
  std::optional<Last> last_change(const config::Key& key) const;

  // Of the namespaces that belong to the mesh.
  const derive::Objects& objects() const { return discovery_.objects(); }
  // Where an object stands, as its source says: "policies.yaml:12"; empty when unknown.
  std::string place_of(const config::Key& key) const;
  // What is broken now, by object.
  struct Broken {
    std::string place;
    std::string why;  // with place and field
  };
  const std::map<config::Key, Broken>& broken() const { return broken_; }

 private:
  bool take(const config::Change& change);  // false when what is in force stays as it is
  bool is_held(const config::Change& change) const;
  void say(const config::Diff& diff);

  telemetry::Registry& registry_;
  telemetry::Counter& problems_;
  derive::Discovery discovery_;
  struct Known {
    config::Shared<std::string> file;
    int line = 0;
    std::uint64_t epoch = 0;
  };
  // Those in force, or broken, by a hash of the key: there may be a hundred thousand, and each object has its name itself. Two with one hash, one time in
  // 2^64 and with this process's own key, would have the last change of both.
  std::unordered_map<std::uint64_t, Known> known_;
  config::Pool<std::string> files_;
  std::map<config::Key, std::uint64_t> gone_;
  std::deque<config::Key> gone_order_;  // oldest first; may name one that is back
  std::map<config::Key, Broken> broken_;
  std::set<config::Key> told_;  // that they are not enforced yet: once for each, however often it changes
};

}  // namespace culvert::controlplane
