#include "cli/verify/mesh.h"

#include "cli/objects/objects.h"
#include "common/config/parse.h"
#include "common/derive/discovery.h"
#include "common/derive/mesh_config.h"
#include "common/tls/certificate.h"

namespace culvert::cli::verify {
namespace {

namespace json = boost::json;

// As culvertd takes it from its CA: "spiffe://cluster.local" among the root's names.
std::string named_by_root(const std::string& roots_pem) {
  constexpr std::string_view kScheme = "spiffe://";
  constexpr std::size_t kMost = 100;
  const auto roots = tls::Certificate::parse_all(roots_pem, kMost);
  for (const tls::Certificate& root : roots.value_or(std::vector<tls::Certificate>())) {
    for (const std::string& name : root.uri_sans())
      if (name.starts_with(kScheme) && !name.substr(kScheme.size()).contains('/')) return name.substr(kScheme.size());
  }
  return "";
}

// Of an object whose metadata alone was asked for, the API says no kind, or another one.
void put(derive::Objects& objects, const json::value& listed, const char* kind) {
  json::object object = listed.as_object();
  object["apiVersion"] = "v1";
  object["kind"] = kind;
  for (config::Parsed& each : config::parse_json("", json::serialize(object)).objects)
    objects.put(config::key_of(*each.object), each.object);
}

}  // namespace

Mesh mesh_of(const MeshSources& sources) {
  derive::Objects objects;
  if (!sources.config.is_null()) put(objects, sources.config, "ConfigMap");
  for (const json::value& each : sources.namespaces) put(objects, each, "Namespace");
  const auto& root_namespace = sources.root_namespace.empty() ? sources.system_namespace : sources.root_namespace;
  const auto settings = derive::with_mesh_config({.trust_domain = sources.trust_domain,
                                                  .root_namespace = root_namespace,
                                                  .system_namespace = sources.system_namespace,
                                                  .root_trust_domain = named_by_root(sources.roots_pem)},
                                                 objects)
                            .settings;
  Mesh mesh{.trust_domain = settings.trust_domain, .left_out = {}};
  for (const json::value& each : sources.namespaces)
    if (!derive::is_in_mesh(name_of(each), objects, settings)) mesh.left_out.insert(name_of(each));
  return mesh;
}

}  // namespace culvert::cli::verify
