#pragma once
// How the control plane calls the mesh and what belongs to it, by the same rules as its own. Pure. Internal to verify.

#include <boost/json.hpp>
#include <set>
#include <string>

namespace culvert::cli::verify {

// What stands in the cluster: settings of culvertd's Deployment, objects as the API lists them.
struct MeshSources {
  std::string system_namespace = "istio-system";
  std::string trust_domain = "cluster.local", root_namespace = {};  // TRUST_DOMAIN, ROOT_NAMESPACE
  std::string roots_pem = {};
  boost::json::value config = nullptr;  // ConfigMap `istio`: MeshConfig
  boost::json::array namespaces = {};
};
struct Mesh {
  std::string trust_domain;
  std::set<std::string> left_out;  // namespaces that discoverySelectors do not select
};
Mesh mesh_of(const MeshSources& sources);

}  // namespace culvert::cli::verify
