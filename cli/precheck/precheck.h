#pragma once
// `culvert precheck`: whether Culvert can be installed, before it is. Asks the cluster, or looks at this machine alone. Changes nothing, but for
// the pods that --probe-nodes starts, and takes away again.

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/ask/cluster.h"

namespace culvert::cli::precheck {

struct Options {
  ClusterFlags cluster = {};         // its system_namespace: where Culvert is going to be
  bool local = false;                // this machine, and no cluster
  std::filesystem::path root = "/";  // of the machine, with `local`
  bool probe = false;                // a pod on every node says what the API does not know
  std::string probe_namespace = "kube-system";
  std::string image = {};  // of those pods; empty: culvert-node's of this version
  std::string pull_policy = "IfNotPresent";
  std::vector<std::string> pull_secrets = {};  // Secrets of probe_namespace
  std::chrono::milliseconds timeout{120'000};  // of the pods
  bool json = false;
};

// 0 when there is no error, 1 when there is one, or when it could not be looked.
int precheck(const Options& options);

}  // namespace culvert::cli::precheck
