#pragma once
// MeshConfig: the key `mesh` of the ConfigMap `istio` in the system namespace, as far as derivation follows it (protocols.md §2.6). Pure.
// Which fields are followed the proto says (culvert.effect). What they do not say stays as the settings have it.

#include <string>
#include <vector>

#include "common/derive/objects.h"

namespace culvert::derive {

// The ConfigMap's key in this mesh.
config::Key mesh_config_key(const Settings& settings);

struct MeshConfigured {
  Settings settings;
  std::vector<std::string> problems;  // not empty: it cannot be read, and `settings` are those without it
  std::vector<std::string> doubts;    // what of it is not in force
  bool says_trust_domain = false;
};
// `settings` as they are without MeshConfig.
MeshConfigured with_mesh_config(const Settings& settings, const Objects& objects);

}  // namespace culvert::derive
