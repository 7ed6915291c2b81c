#pragma once
// Keeps the model's values in step with the objects: recomputes what a change can have touched (mark.h), and says only what came out different.
// A changed pod costs as much as it is an endpoint and a subject of: nothing grows with the number of pods. No clock, no I/O; single-threaded.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/derive/allocate.h"
#include "common/derive/doubts.h"
#include "common/derive/mark.h"
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
  std::vector<Warning> warnings;     // those that were not there before
  std::vector<config::Key> doubted;  // whose doubts() are others than before, or none any more: what repeats them is out of date

  bool changed() const {
    return !workloads.empty() || !services.empty() || !policies.empty() || !removed_addresses.empty() ||
           !removed_policies.empty();
  }
};

class Deriver {
 public:
  // `settings` as they are without MeshConfig, which is an object like others. `taken`, if any, is given each workload as it comes out, instead of the
  // Delta: of a first update there are so many that together they would be more than all that is kept.
  using Take = std::function<void(const model::Workload& workload)>;
  explicit Deriver(Settings settings, Take taken = {});

  // `objects` as they are now, and the keys of those that changed since the last call (put, erased or invalidated).
  Delta update(const Objects& objects, std::span<const config::Key> changed);

  const std::map<std::string, model::ServiceRef>& services() const { return services_; }  // by "namespace/hostname"
  const std::map<std::string, model::PolicyRef>& policies() const { return policies_; }   // by "namespace/name"
  std::vector<Warning> warnings() const;

  // The CA's root names a trust domain, or none (empty) and any will do: the mesh's trust domain follows it.
  Delta sign_for(const Objects& objects, std::string root_trust_domain);
  const Settings& settings() const { return settings_; }  // with what MeshConfig says

  const Tally& tally() const { return tally_; }

  // How much the last update looked at, whatever came out: what it costs, without a clock.
  struct Work {
    std::size_t workloads = 0, services = 0, policies = 0, doubts = 0;
    friend bool operator==(const Work&, const Work&) = default;
  };
  const Work& work() const { return work_; }

 private:
  using Uids = std::set<std::string>;
  void configure(const Objects& objects, Dirty& dirty);
  void step(const Objects& objects, const config::Key& key, Dirty& dirty);
  void allocate_addresses(const Objects& objects, Dirty& dirty);
  void derive_pod(const Objects& objects, const config::Key& key, Delta& delta);
  void derive_gateways(const Objects& objects, Delta& delta);
  void derive_slice(const Objects& objects, const config::Key& key, Delta& delta);
  void derive_service(const Objects& objects, const config::Key& key, Delta& delta);
  void derive_workload_entry(const Objects& objects, const config::Key& key, Delta& delta);
  void derive_service_entry(const Objects& objects, const config::Key& key, Delta& delta);
  void settle_workload(const std::string& uid, std::optional<model::Workload> derived, Delta& delta);
  void settle_workloads(const config::Key& from, std::vector<model::Workload> derived, Delta& delta);
  void forget_put_again(Delta& delta) const;
  void derive_policies(const Objects& objects, const std::string& name_space, Delta& delta);
  void derive_authorization(const Objects& objects, const std::string& name_space,
                            std::map<std::string, model::Policy>& out) const;
  void derive_peer_authentication(const Objects& objects, const std::string& name_space,
                                  std::map<std::string, model::Policy>& out) const;
  void doubt(const Objects& objects, const Dirty& dirty, Delta& delta);
  void warn(const config::Key& key, std::vector<std::string> texts, Delta& delta);

  const Take take_;
  Settings configured_;
  Settings settings_;
  Objects seen_;  // as they were when derived from last
  Tally tally_;   // of seen_, by the selectors of now
  // The fingerprint of each, by a hash of its uid with this process's own key: of what there may be a hundred thousand no copy is kept, and no name. That two
  // of as many have one hash is three times in 10^10, and then one of them would be told again, and not when it goes.
  std::unordered_map<std::uint64_t, std::uint64_t> workloads_;
  std::map<std::string, model::ServiceRef> services_;
  std::map<std::string, model::PolicyRef> policies_;
  std::map<config::Key, Uids> uids_;                                 // what a slice, a ServiceEntry or all gateways gave last
  std::map<config::Key, std::set<std::string>> entry_services_;      // what a ServiceEntry gave last
  std::map<std::string, config::Key> service_owners_;                // of the services that come from ServiceEntries
  Allocations allocated_;                                            // what no status says, where Settings want it
  std::map<std::string, std::set<std::string>> namespace_policies_;  // the keys that a namespace gave last
  Work work_;
  std::map<config::Key, std::set<std::string>> warnings_;
};

}  // namespace culvert::derive
