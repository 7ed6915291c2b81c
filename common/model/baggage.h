#pragma once
// The `baggage` header of a tunnel: a description of a workload, for the far end's telemetry (protocols.md §1.4).

#include <string>
#include <string_view>

#include "common/model/workload.h"

namespace culvert::model {

// "k8s.cluster.name=c,k8s.namespace.name=n,k8s.deployment.name=d,…"; empty members are left out.
std::string baggage(const Workload& workload);

// What a peer said of itself; fields that it did not give are empty.
struct Baggage {
  std::string cluster_id{};
  std::string name_space{};
  std::string workload_name{};
  std::string workload_type{};  // "deployment", "cronjob", "pod", "job"
  std::string canonical_name{};
  std::string canonical_revision{};
  std::string region{};
  std::string zone{};

  // Never fails: unknown keys, empty values and malformed members are skipped, the last value of a key wins. Values end up in label sets
  // that we keep: what no name of Kubernetes can be as long as is cut.
  static constexpr std::size_t kLongestValue = 253;
  static Baggage parse(std::string_view header);

  friend bool operator==(const Baggage&, const Baggage&) = default;
};

}  // namespace culvert::model
