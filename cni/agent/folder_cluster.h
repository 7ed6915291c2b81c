#pragma once
// The Cluster of `--config-dir`: annotations are files in it (status.h), news are log lines, and what the folder says is all there is to know.

#include "cni/agent/cluster.h"
#include "cni/agent/status.h"

namespace culvert::agent {

class FolderCluster final : public Cluster {
 public:
  explicit FolderCluster(StatusFolder status) : status_(std::move(status)) {}

  net::Task<Status> say(std::shared_ptr<const config::Pod> pod, Redirection redirection) override {
    co_return status_.write(pod->metadata, redirection);
  }
  Status prune(const std::set<std::string>& pods) override { return status_.prune(pods); }
  void tell(const config::Pod&, News) override {}
  net::Task<Result<Fresh>> look(std::string name_space, std::string pod) override {
    co_return failure("no file of the configuration folder has pod " + name_space + "/" + pod);
  }

 private:
  StatusFolder status_;
};

}  // namespace culvert::agent
