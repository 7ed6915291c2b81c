#pragma once
// Where the mesh comes from: a file (LOCAL_XDS_PATH) or the control plane's ADS stream. Either way each change makes the next immutable
// Mesh, which every worker gets; a version that cannot be read is refused and the last good one stays in force. One Loop: the control thread's.
//
// Nothing is in force before everything has arrived once: workloads without their policies would be open to everybody.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/model/mesh.h"
#include "common/net/published.h"
#include "common/xds/ads_client.h"
#include "common/xds/local_file.h"
#include "ztunnel/settings.h"

namespace culvert::ztunnel {

class State {
 public:
  // `changed` is told on the loop after each new mesh, once every worker has it.
  State(net::Loop& loop, const Settings& settings, std::function<void()> changed);
  ~State();
  State(const State&) = delete;

  // Fails when there is no source, or the file's first version is bad.
  Status start();

  net::Published<model::Mesh>& mesh() { return mesh_; }
  bool ready() const { return in_force_; }  // the first whole configuration is in force on every worker
  std::string problem() const;              // why it is not up to date; empty when it is
  xds::AdsCounters counters() const;

 private:
  using Done = std::move_only_function<void()>;
  void apply(xds::Update update, Done in_force);
  Status start_file();
  Status start_ads();

  net::Loop& loop_;
  const Settings& settings_;
  std::function<void()> changed_;
  model::MeshBuilder builder_;
  net::Published<model::Mesh> mesh_;
  std::optional<xds::LocalFile> file_;
  std::unique_ptr<xds::AdsClient> ads_;
  std::string file_problem_;
  std::vector<Done> waiting_;  // told once what they brought is in force
  bool in_force_ = false;
};

}  // namespace culvert::ztunnel
