#pragma once
// What is good and what is not, of what has been seen of a cluster and its nodes. Pure. Internal to precheck.

#include <boost/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/findings/findings.h"
#include "common/node_facts/facts.h"

namespace culvert::cli::precheck {

using Findings = std::vector<Finding>;

// Objects as the API lists them.
struct Seen {
  std::string version = {};  // "v1.34.1"
  std::string name_space = "istio-system";
  std::vector<std::string> denied = {};          // what we may not do: "create clusterroles.rbac.authorization.k8s.io"
  std::vector<std::string> denied_options = {};  // the same of objects that there are with certain values only
  bool openshift = false;
  boost::json::array nodes = {};
  boost::json::array namespaces = {};
  boost::json::array pods = {};
  boost::json::array crds = {};       // metadata alone
  boost::json::array workloads = {};  // Deployments and DaemonSets of all namespaces
  boost::json::array network_policies = {};
  boost::json::value cilium = nullptr;  // ConfigMap cilium-config
  boost::json::array istio_cni = {};    // ConfigMaps istio-cni-config
};
Findings judge_cluster(const Seen& cluster);

// By what the API says of the nodes.
Findings judge_nodes(const boost::json::array& nodes);

// By what a look at the machine says.
Findings judge_facts(const std::string& where, const node_facts::Facts& facts);
// Of all machines together.
Findings compare_facts(const std::vector<std::pair<std::string, node_facts::Facts>>& nodes);

// "" when it is new enough, else what is wrong: "5.10.0-23-amd64" of Linux, at least 5.17.
bool is_at_least(const std::string& version, int major, int minor);

}  // namespace culvert::cli::precheck
