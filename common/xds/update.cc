#include "common/xds/update.h"

#include <utility>

namespace culvert::xds {

bool Update::empty() const {
  return workloads.empty() && services.empty() && policies.empty() && removed_addresses.empty() && removed_policies.empty();
}

void Update::apply_to(model::MeshBuilder& builder) && {
  for (const std::string& name : removed_addresses) {
    if (!builder.remove_workload(name)) builder.remove_service(name);
  }
  for (const std::string& name : removed_policies) builder.remove_policy(name);
  for (auto& policy : policies) builder.upsert(std::move(policy));
  for (auto& service : services) builder.upsert(std::move(service));
  for (auto& workload : workloads) builder.upsert(std::move(workload));
}

}  // namespace culvert::xds
