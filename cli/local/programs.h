#pragma once
// The programs of the mesh and how they are started in a world: what a chart would write into their manifests. Pure.

#include <map>
#include <string>
#include <vector>

#include "cli/local/layout.h"

namespace culvert::local {

struct Program {
  std::string name;  // also its cgroup and log: "ztunnel"
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
};

// `folder` holds the programs, `extra` goes over the environment of each ("RUST_LOG=debug").
struct Programs {
  std::string folder;
  std::map<std::string, std::string> extra;
};

Program control_plane(const Programs& programs);
Program node_agent(const Programs& programs, int node);
Program ztunnel(const Programs& programs, int node);
// One for each node, at the cluster's DNS address: this same program.
Program cluster_dns(const std::string& self);

// What the control plane's certificate chains to.
std::string root_certificate();

// The bearer token of a node, and the control plane's table of them.
std::string token_path(int node);
std::string render_tokens(const std::map<int, std::string>& tokens);

}  // namespace culvert::local
