#pragma once
// What a changed object can have touched, so that nothing else is computed again. Pure.

#include <set>
#include <string>

#include "common/derive/objects.h"

namespace culvert::derive {

// What has to be computed again.
struct Dirty {
  std::set<config::Key> pods, workload_entries, slices, services, service_entries;
  std::set<std::string> policies;  // namespaces
  bool gateways = false;           // of networks
  std::set<config::Key> doubts;    // beside those of all the above
};

// One object, as it was when something was last derived from it and as it is; null: not there.
struct Step {
  const config::Key& key;
  const config::Object* before = nullptr;
  const config::Object* now = nullptr;
};

// `objects`: as they are. `seen`: as they were when derived from last, `step.key` included; objects that have changed since and are not in it
// are marked by their own steps. Steps of workloads (pods, WorkloadEntries) come last of a batch.
void mark(const Step& step, const Objects& objects, const Objects& seen, const Settings& settings, Dirty& dirty);
// Another trust domain, another root namespace: everything that there is in `seen`.
void mark_all(const Objects& seen, const Settings& settings, Dirty& dirty);

}  // namespace culvert::derive
