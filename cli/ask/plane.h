#pragma once
// The control plane that a command asks: one culvertd, or every replica of a cluster.

#include <string>
#include <vector>

#include "cli/ask/cluster.h"
#include "cli/ask/page.h"

namespace culvert::cli {

// Which culvertd processes. `urls` before `world` before all replicas of the cluster.
struct PlaneOptions {
  std::vector<std::string> urls = {};  // of monitoring ports
  std::string world = {};              // of culvert local
  std::string token_file = {};         // what proves who we are; for urls
  ClusterFlags cluster = {};

  bool whole_cluster() const { return urls.empty() && world.empty(); }
};

struct Plane {
  Target target;
  std::string name;  // "culvertd-7c.istio-system", "http://localhost:15014"
};

// Asks the API server, on `loop`, when it is the cluster's. Fails when there is none.
Result<std::vector<Plane>> planes_of(net::Loop& loop, const PlaneOptions& options);

}  // namespace culvert::cli
