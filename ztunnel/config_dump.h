#pragma once
// /config_dump: everything in force, in the JSON names that istioctl and Kiali read (protocols.md §6.6). Pure.

#include <map>
#include <string>
#include <vector>

#include "common/base/settings.h"
#include "common/model/mesh.h"
#include "common/zds/messages.h"
#include "ztunnel/identity/certificates.h"
#include "ztunnel/worker/live.h"

namespace culvert::ztunnel {

// One pod, its connections gathered from all workers.
struct PodState {
  zds::Pod name;
  bool pending = false;  // its proxy could not be started yet
  std::vector<Connection> connections;
};

struct Dump {
  std::shared_ptr<const model::Mesh> mesh;
  bool from_file = false;  // the mesh is that of LOCAL_XDS_PATH
  std::vector<settings::Shown> settings;
  std::vector<Certificates::Shown> certificates;
  std::map<std::string, PodState> pods;  // by uid
};

std::string config_dump(const Dump& dump);

}  // namespace culvert::ztunnel
