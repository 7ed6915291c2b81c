#pragma once
// The workloads that whoever takes every Delta holds, for tests: the deriver itself keeps none.

#include <map>
#include <string>

#include "common/derive/deriver.h"

namespace culvert::derive {

struct Held {
  std::map<std::string, model::WorkloadRef> workloads;  // by uid

  Delta take(Delta delta) {
    for (const std::string& uid : delta.removed_addresses) workloads.erase(uid);
    for (const model::WorkloadRef& workload : delta.workloads) workloads[workload->uid] = workload;
    return delta;
  }
};

}  // namespace culvert::derive
