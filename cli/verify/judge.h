#pragma once
// What of an installation is as it should be. Pure. Internal to verify.

#include <boost/json.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cli/findings/findings.h"
#include "cli/proxy_status/proxies.h"

namespace culvert::cli::verify {

using Findings = std::vector<Finding>;

// Objects as the API lists them.
struct Seen {
  std::string name_space = "istio-system";
  std::string version = {};                               // of this program
  boost::json::array deployments = {}, daemon_sets = {};  // of Culvert, in its namespace
  boost::json::array nodes = {}, namespaces = {}, pods = {};
  boost::json::array roots = {};                        // ConfigMaps istio-ca-root-cert
  boost::json::array slices = {};                       // EndpointSlices of the Service culvertd
  boost::json::value webhook = nullptr;                 // ValidatingWebhookConfiguration culvert-validator
  std::vector<Proxy> proxies = {};                      // data planes that are connected
  std::vector<std::string> unasked = {};                // why a control plane could not be asked
  std::vector<std::string> excluded = {"kube-system"};  // namespaces of the agent's setting EXCLUDE_NAMESPACES
  std::set<std::string> left_out = {};                  // namespaces that MeshConfig's discoverySelectors do not select
};
Findings judge(const Seen& seen);

// The first running pod in the mesh on each node, to shake hands with.
std::vector<boost::json::value> members_by_node(const Seen& seen);

}  // namespace culvert::cli::verify
