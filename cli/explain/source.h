#pragma once
// Where the mesh that is explained comes from: a folder of YAML, a running culvertd, or a ztunnel's dump. One Loop.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/ask/cluster.h"
#include "common/base/result.h"
#include "common/model/mesh.h"

namespace culvert::cli {

struct MeshOptions {
  std::string config_dir;   // a folder of YAML, read once
  std::string url;          // of culvertd
  std::string world;        // of culvert local: its culvertd
  bool in_cluster = false;  // a replica of the cluster's culvertd, by port-forward
  ClusterFlags cluster = {};
  std::string dump;  // a ztunnel's config_dump: a file, or http://HOST:15000/config_dump
  std::string token_file;
  // Of a folder: what culvertd is told by its settings.
  std::string trust_domain = "cluster.local";
  std::string cluster_domain = "cluster.local";
  std::string root_namespace = "istio-system";
};

struct KnownMesh {
  std::shared_ptr<const model::Mesh> mesh;
  std::string from = {};                           // "folder /x", "culvertd at http://..."
  std::map<std::string, std::string> places = {};  // of policies, by "namespace/name": "policies.yaml:12"
  std::vector<std::string> problems = {};          // what could not be read
};

// Fails when there is nothing to read, or none of it can be.
Result<KnownMesh> read_mesh(const MeshOptions& options);

}  // namespace culvert::cli
