#pragma once
// Keeps the model's values in step with the objects: recomputes what a change can have touched, and says only what came out different.
// No clock, no I/O; single-threaded.

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/derive/objects.h"
#include "common/model/policy.h"
#include "common/model/service.h"
#include "common/model/workload.h"

namespace culvert::derive {

// Legal, and surely or possibly not what was meant.
struct Warning {
  config::Key object;
  std::string text;

  friend auto operator<=>(const Warning&, const Warning&) = default;
};

// What came out different. Empty vectors: nothing.
struct Delta {
  std::vector<model::WorkloadRef> workloads;
  std::vector<model::ServiceRef> services;
  std::vector<model::PolicyRef> policies;
  std::vector<std::string> removed_addresses;  // uids of workloads, keys of services
  std::vector<std::string> removed_policies;
  std::vector<Warning> warnings;  // those that were not there before

  bool changed() const {
    return !workloads.empty() || !services.empty() || !policies.empty() || !removed_addresses.empty() ||
           !removed_policies.empty();
  }
};

class Deriver {
 public:
  explicit Deriver(Settings settings) : settings_(std::move(settings)) {}

  // `objects` as they are now, and the keys of those that changed since the last call (put, erased or invalidated).
  Delta update(const Objects& objects, std::span<const config::Key> changed);

  const std::map<std::string, model::WorkloadRef>& workloads() const { return workloads_; }  // by uid
  const std::map<std::string, model::ServiceRef>& services() const { return services_; }     // by "namespace/hostname"
  const std::map<std::string, model::PolicyRef>& policies() const { return policies_; }      // by "namespace/name"
  std::vector<Warning> warnings() const;
  const Settings& settings() const { return settings_; }

 private:
  struct Dirty;
  void mark(const Objects& objects, const config::Key& key, Dirty& dirty) const;
  void derive_pod(const Objects& objects, const config::Key& key, Delta& delta);
  void derive_slice(const Objects& objects, const config::Key& key, Delta& delta);
  void derive_service(const Objects& objects, const config::Key& key, Delta& delta);
  void derive_policies(const Objects& objects, const std::string& name_space, Delta& delta);
  void derive_authorization(const Objects& objects, const std::string& name_space,
                            std::map<std::string, model::Policy>& out) const;
  void derive_peer_authentication(const Objects& objects, const std::string& name_space,
                                  std::map<std::string, model::Policy>& out) const;
  void doubt(const Objects& objects, Dirty& dirty, Delta& delta);
  void warn(const config::Key& key, std::vector<std::string> texts, Delta& delta);

  Settings settings_;
  std::map<std::string, model::WorkloadRef> workloads_;
  std::map<std::string, model::ServiceRef> services_;
  std::map<std::string, model::PolicyRef> policies_;
  std::map<config::Key, std::set<std::string>> slice_uids_;          // what a slice gave last
  std::map<std::string, std::set<std::string>> namespace_policies_;  // the keys that a namespace gave last
  std::map<config::Key, std::set<std::string>> warnings_;
};

}  // namespace culvert::derive
