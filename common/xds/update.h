#pragma once
// A change of configuration, from whatever source: the ADS stream or a file.

#include <string>
#include <vector>

#include "common/model/mesh.h"

namespace culvert::xds {

struct Update {
  std::vector<model::Workload> workloads{};
  std::vector<model::Service> services{};
  std::vector<model::Policy> policies{};
  std::vector<std::string> removed_addresses{};  // uids and "namespace/hostname"
  std::vector<std::string> removed_policies{};   // "namespace/name"

  bool empty() const;
  // Puts the change into `builder`: removals first, then the new values.
  void apply_to(model::MeshBuilder& builder) &&;
};

}  // namespace culvert::xds
