#pragma once
// Which namespaces belong to the mesh: those that MeshConfig's discoverySelectors select, all when it has none. The objects of the others are kept, and
// are there for nobody until their namespace is selected. Plain data on one thread.
//
// The system namespace and the root namespace always belong, where Istio asks that they be selected: without them there would be no MeshConfig, and no
// policy of the whole mesh.

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/folder.h"
#include "common/derive/objects.h"

namespace culvert::derive {

// `settings` with what MeshConfig says. A namespace that nobody describes has no labels.
bool is_in_mesh(std::string_view name_space, const Objects& objects, const Settings& settings);

class Discovery {
 public:
  // `settings` as they are without MeshConfig.
  explicit Discovery(Settings settings);

  // As in Objects.
  void put(const config::Key& key, config::ObjectPtr object);
  void erase(const config::Key& key);
  void invalidate(const config::Key& key);
  // After a number of those: namespaces come and go as they want now. Returns the objects that did with them.
  std::vector<config::Key> settle();

  // One step of a source, all of it. Returns the objects that changed, and those that came or went with their namespace.
  std::vector<config::Key> apply(std::span<const config::Change> changes);

  const Objects& objects() const { return objects_; }     // of the mesh
  const Settings& settings() const { return settings_; }  // with what MeshConfig says
  const Objects& others() const { return others_; }
  // Where the objects of this namespace are.
  const Objects& holding(std::string_view name_space) const { return belongs(name_space) ? objects_ : others_; }

 private:
  bool belongs(std::string_view name_space) const;
  Objects& held(const config::Key& key);
  void note(const config::Key& key);
  void move(const std::string& name_space, Objects& from, Objects& to, std::vector<config::Key>& moved);

  const Settings configured_;
  Settings settings_;
  Objects objects_, others_;
  std::set<std::string, std::less<>> left_out_;  // of the namespaces that hold something
  std::set<std::string, std::less<>> met_;       // the namespaces that hold or held something
  std::set<std::string> again_;                  // whose labels changed
  bool config_changed_ = false;
};

}  // namespace culvert::derive
