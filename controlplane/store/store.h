#pragma once
// All objects, by kind, namespace and name, from whatever source: a folder today, an API server tomorrow. What stands behind the store does not
// know which. Says every problem of a source once, in the log and in the counters, and keeps the list of what is broken now for the debug pages.
// On the control thread.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/config/folder.h"
#include "common/derive/objects.h"
#include "common/telemetry/registry.h"

namespace culvert::controlplane {

class Store {
 public:
  explicit Store(telemetry::Registry& registry);

  // Takes one step of a source. Returns the keys whose object was put, deleted or became unreadable.
  std::vector<config::Key> apply(config::Diff diff);

  const derive::Objects& objects() const { return objects_; }
  // Where an object stands, as its source says: "policies.yaml:12"; empty when unknown.
  std::string place_of(const config::Key& key) const;
  // What is broken now, by object.
  const std::map<config::Key, std::string>& broken() const { return broken_; }

 private:
  void take(const config::Change& change);
  void say(const config::Diff& diff);

  telemetry::Registry& registry_;
  telemetry::Counter& problems_;
  derive::Objects objects_;
  std::map<config::Key, config::Place> places_;
  std::map<config::Key, std::string> broken_;
  std::set<config::Key> told_;  // that they are not enforced yet: once for each, however often it changes
};

}  // namespace culvert::controlplane
