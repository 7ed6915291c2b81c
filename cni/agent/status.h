#pragma once
// What the agent would patch onto pods, written as files: status/pods/NODE_NAMESPACE_POD.yaml in the configuration folder, each a Pod
// with nothing but its names and our annotation. culvertd lays them over the pods (common/config/folder.h). A file appears and changes whole
// (written beside, then renamed); several agents may share a folder, each touches its node's files alone.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "cni/agent/cluster.h"
#include "common/base/result.h"
#include "common/config/object.h"

namespace culvert::agent {

class StatusFolder {
 public:
  // Makes config_dir/status/pods.
  static Result<StatusFolder> open(const std::filesystem::path& config_dir, std::string node);

  // Says it of this pod; nothing happens when that is what it says already.
  Status write(const config::Metadata& pod, Redirection redirection);

  // Deletes what an earlier agent of this node said of pods that are not among these (namespace/name).
  Status prune(const std::set<std::string>& pods);

 private:
  StatusFolder(std::filesystem::path folder, std::string node) : folder_(std::move(folder)), node_(std::move(node)) {}

  std::filesystem::path folder_;
  std::string node_;
  std::map<std::string, std::string> written_;  // file name -> text
};

}  // namespace culvert::agent
