#include "common/derive/discovery.h"

#include <algorithm>
#include <utility>

#include "common/derive/mesh_config.h"

namespace culvert::derive {

using config::Key;
using config::Kind;

bool is_in_mesh(std::string_view name_space, const Objects& objects, const Settings& settings) {
  if (settings.discovery.empty() || name_space.empty() || name_space == settings.system() ||
      name_space == settings.root_namespace)
    return true;
  static const config::Labels kNone;
  const auto* found = objects.find<config::Namespace>(Kind::kNamespace, "", name_space);
  const config::Labels& labels = found ? found->metadata.labels.get() : kNone;
  return std::ranges::any_of(settings.discovery, [&](const LabelQuery& query) { return query.matches(labels); });
}

Discovery::Discovery(Settings settings)
    : configured_(std::move(settings)), settings_(with_mesh_config(configured_, Objects{}).settings) {}

void Discovery::put(const Key& key, config::ObjectPtr object) {
  held(key).put(key, std::move(object));
  note(key);
}

void Discovery::erase(const Key& key) {
  held(key).erase(key);
  note(key);
}

void Discovery::invalidate(const Key& key) { held(key).invalidate(key); }

bool Discovery::belongs(std::string_view name_space) const { return !left_out_.contains(name_space); }

Objects& Discovery::held(const Key& key) {
  if (!key.name_space.empty() && !settings_.discovery.empty() && met_.insert(key.name_space).second &&
      !is_in_mesh(key.name_space, objects_, settings_))
    left_out_.insert(key.name_space);
  return belongs(key.name_space) ? objects_ : others_;
}

void Discovery::note(const Key& key) {
  if (key.kind == Kind::kNamespace) again_.insert(key.name);
  config_changed_ = config_changed_ || key == mesh_config_key(settings_);
}

std::vector<Key> Discovery::settle() {
  std::vector<Key> moved;
  std::set<std::string> again = std::exchange(again_, {});
  if (std::exchange(config_changed_, false)) {
    MeshConfigured read = with_mesh_config(configured_, objects_);
    if (read.problems.empty() && read.settings != settings_) {
      settings_ = std::move(read.settings);
      met_.clear();
      for (const Objects* some : {&objects_, &others_}) {
        for (std::string& one : some->namespaces()) {
          again.insert(one);
          met_.insert(std::move(one));
        }
      }
    }
  }
  if (settings_.discovery.empty() && left_out_.empty()) return moved;
  for (const std::string& one : again) {
    const bool wanted = is_in_mesh(one, objects_, settings_);
    if (wanted == belongs(one)) continue;
    if (wanted) {
      left_out_.erase(one);
      move(one, others_, objects_, moved);
    } else {
      left_out_.insert(one);
      move(one, objects_, others_, moved);
    }
  }
  return moved;
}

std::vector<Key> Discovery::apply(std::span<const config::Change> changes) {
  using What = config::Change::What;
  std::vector<Key> keys;
  for (const config::Change& change : changes) {
    if (change.what == What::kPut) put(change.key, change.object);
    else if (change.what == What::kDelete) erase(change.key);
    else invalidate(change.key);
    keys.push_back(change.key);
  }
  for (Key& moved : settle()) keys.push_back(std::move(moved));
  return keys;
}

void Discovery::move(const std::string& name_space, Objects& from, Objects& to, std::vector<Key>& moved) {
  for (const Key& key : from.keys(name_space)) {
    const bool invalid = from.invalid().contains(key);
    const auto& names = from.in(key.kind, name_space);
    if (const auto there = names.find(key.name); there != names.end()) to.put(key, there->second);
    if (invalid) to.invalidate(key);
    from.erase(key);
    moved.push_back(key);
  }
}

}  // namespace culvert::derive
