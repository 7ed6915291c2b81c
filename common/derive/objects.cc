#include "common/derive/objects.h"

#include <utility>

namespace culvert::derive {

using config::Key;
using config::Kind;

void Objects::put(const Key& key, config::ObjectPtr object) {
  config::ObjectPtr& place = kinds_[key.kind][key.name_space][key.name];
  if (!place) ++size_;
  place = std::move(object);
  invalid_.erase(key);
}

void Objects::erase(const Key& key) {
  invalid_.erase(key);
  const auto kind = kinds_.find(key.kind);
  if (kind == kinds_.end()) return;
  const auto names = kind->second.find(key.name_space);
  if (names == kind->second.end()) return;
  size_ -= names->second.erase(key.name);
  if (names->second.empty()) kind->second.erase(names);
}

void Objects::invalidate(const Key& key) { invalid_.insert(key); }

const Objects::ByName& Objects::in(Kind kind, std::string_view name_space) const {
  static const ByName kNone;
  const auto namespaces = kinds_.find(kind);
  if (namespaces == kinds_.end()) return kNone;
  const auto names = namespaces->second.find(name_space);
  return names == namespaces->second.end() ? kNone : names->second;
}

std::vector<std::string> Objects::namespaces(Kind kind) const {
  std::vector<std::string> out;
  const auto found = kinds_.find(kind);
  if (found == kinds_.end()) return out;
  for (const auto& [name, names] : found->second) out.push_back(name);
  return out;
}

std::vector<Key> Objects::unreadable(std::string_view name_space) const {
  std::vector<Key> out;
  for (const Key& key : invalid_) {
    if (key.name_space == name_space && !in(key.kind, name_space).contains(key.name)) out.push_back(key);
  }
  return out;
}

std::string_view network_of_mesh(const Objects& objects, const Settings& settings) {
  const auto* system = objects.find<config::Namespace>(Kind::kNamespace, "", settings.root_namespace);
  return system ? config::value_of(system->metadata.labels, "topology.istio.io/network") : std::string_view{};
}

std::string_view label_or_namespace(const Objects& objects, const config::Metadata& metadata, std::string_view label) {
  if (const auto own = config::value_of(metadata.labels, label); !own.empty()) return own;
  const auto* name_space = objects.find<config::Namespace>(Kind::kNamespace, "", metadata.name_space);
  return name_space ? config::value_of(name_space->metadata.labels, label) : std::string_view{};
}

}  // namespace culvert::derive
