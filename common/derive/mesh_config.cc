#include "common/derive/mesh_config.h"

#include <utility>

#include "common/config/kinds.h"
#include "proto/istio/mesh/v1alpha1/config.pb.h"

namespace culvert::derive {
namespace {

namespace mesh = istio::mesh::v1alpha1;
using Level = EntryVisibility::Level;

Level level_of(mesh::ServiceEntryVisibility::Visibility written) {
  if (written == mesh::ServiceEntryVisibility::NONE) return Level::kNone;
  return written == mesh::ServiceEntryVisibility::NAMESPACE ? Level::kNamespace : Level::kPublic;
}

LabelQuery query_of(const mesh::LabelSelector& written) {
  LabelQuery out;
  out.labels = {written.matchlabels().begin(), written.matchlabels().end()};
  for (const auto& one : written.matchexpressions())
    out.requirements.push_back({one.key(), label_operator(one.operator_()), {one.values().begin(), one.values().end()}});
  return out;
}

EntryVisibility visibility_of(const mesh::ServiceEntryVisibility& written) {
  EntryVisibility out;
  out.otherwise = level_of(written.default_visibility());
  for (const auto& policy : written.policies()) {
    EntryVisibility::Policy& one = out.policies.emplace_back();
    one.level = level_of(policy.visibility());
    for (const auto& rule : policy.matching_rules()) {
      // A rule of a sort that we do not know holds for nothing.
      one.namespaces.push_back(rule.has_namespace_selector() ? query_of(rule.namespace_selector())
                                                             : LabelQuery{.labels = {}, .requirements = {{}}});
    }
  }
  return out;
}

}  // namespace

config::Key mesh_config_key(const Settings& settings) { return {config::Kind::kConfigMap, settings.system(), "istio"}; }

MeshConfigured with_mesh_config(const Settings& settings, const Objects& objects) {
  MeshConfigured out{settings, {}};
  out.settings.system_namespace = settings.system();  // stays, whatever the root namespace becomes
  const config::Key key = mesh_config_key(settings);
  const auto* map = objects.find<config::ConfigMap>(key.kind, key.name_space, key.name);
  const auto text = map ? map->data.find("mesh") : decltype(map->data.find("mesh")){};
  if (!map || text == map->data.end()) return out;
  mesh::MeshConfig written;
  for (const config::Problem& problem : config::read_text({}, "", "data.mesh", text->second, written))
    out.problems.push_back(problem.field + ": " + problem.what + (problem.hint.empty() ? "" : " (" + problem.hint + ")"));
  if (!out.problems.empty()) return out;
  if (!written.trust_domain().empty() && written.trust_domain() != settings.trust_domain) {
    out.settings.trust_domain = written.trust_domain();
    out.settings.signed_trust_domain = settings.trust_domain;
  }
  if (!written.root_namespace().empty()) out.settings.root_namespace = written.root_namespace();
  if (written.has_service_entry_visibility()) out.settings.entry_visibility = visibility_of(written.service_entry_visibility());
  return out;
}

}  // namespace culvert::derive
