#include "common/derive/mesh_config.h"

#include <google/protobuf/message.h>

#include "common/config/kinds.h"
#include "proto/culvert/schema.pb.h"
#include "proto/istio/mesh/v1alpha1/config.pb.h"
#include "proto/istio/mesh/v1alpha1/network.pb.h"

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

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

void say_unenforced(const mesh::MeshConfig& written, std::vector<std::string>& out) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  written.GetReflection()->ListFields(written, &fields);
  std::vector<std::string> later, never;
  for (const auto* field : fields) {
    const culvert::Effect effect = field->options().GetExtension(culvert::effect);
    if (effect == culvert::FOLLOWED) continue;
    (effect == culvert::OF_SIDECARS ? never : later).emplace_back(field->json_name());
  }
  if (!later.empty()) out.push_back("data.mesh: this version does not enforce " + joined(later) + " yet");
  if (!never.empty()) out.push_back("data.mesh: " + joined(never) + ": has no meaning in a mesh without sidecars");
}

void set_trust_domain(const mesh::MeshConfig& written, MeshConfigured& out) {
  const std::string& wanted = written.trust_domain();
  const std::string& root = out.settings.root_trust_domain;
  out.says_trust_domain = !wanted.empty();
  if (root.empty() && !wanted.empty()) out.settings.trust_domain = wanted;
  if (root.empty() || wanted.empty() || wanted == root) return;
  out.doubts.push_back("data.mesh.trustDomain is " + wanted + ", and the CA's root certificate is of " + root +
                       ": the mesh stays " + root + " until the CA is one of " + wanted + ", or one that names no trust domain");
}

// The networks of a mesh are said by labels alone.
void say_networks(const config::ConfigMap& map, std::vector<std::string>& out) {
  const auto text = map.data.find("meshNetworks");
  if (text == map.data.end()) return;
  mesh::MeshNetworks written;
  if (config::read_text({}, "", "data.meshNetworks", text->second, written).empty() && written.networks().empty()) return;
  out.emplace_back(
      "data.meshNetworks is not followed: networks are said by labels topology.istio.io/network of pods, of the system namespace "
      "and of Gateways");
}

}  // namespace

config::Key mesh_config_key(const Settings& settings) { return {config::Kind::kConfigMap, settings.system(), "istio"}; }

MeshConfigured with_mesh_config(const Settings& settings, const Objects& objects) {
  MeshConfigured out{.settings = settings, .problems = {}, .doubts = {}};
  out.settings.system_namespace = settings.system();  // stays, whatever the root namespace becomes
  if (!settings.root_trust_domain.empty()) out.settings.trust_domain = settings.root_trust_domain;
  const config::Key key = mesh_config_key(settings);
  const auto* map = objects.find<config::ConfigMap>(key.kind, key.name_space, key.name);
  const auto text = map ? map->data.find("mesh") : decltype(map->data.find("mesh")){};
  if (map) say_networks(*map, out.doubts);
  if (!map || text == map->data.end()) return out;
  mesh::MeshConfig written;
  for (const config::Problem& problem : config::read_text({}, "", "data.mesh", text->second, written))
    out.problems.push_back(problem.field + ": " + problem.what + (problem.hint.empty() ? "" : " (" + problem.hint + ")"));
  if (!out.problems.empty()) return out;
  set_trust_domain(written, out);
  out.settings.trust_domain_aliases = {written.trust_domain_aliases().begin(), written.trust_domain_aliases().end()};
  if (!written.root_namespace().empty()) out.settings.root_namespace = written.root_namespace();
  out.settings.discovery.clear();
  for (const auto& selector : written.discovery_selectors()) out.settings.discovery.push_back(query_of(selector));
  if (written.has_service_entry_visibility()) out.settings.entry_visibility = visibility_of(written.service_entry_visibility());
  say_unenforced(written, out.doubts);
  return out;
}

}  // namespace culvert::derive
