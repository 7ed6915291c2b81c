#pragma once
// The whole configuration as one immutable snapshot with its indexes, and the builder that makes the next one from changes.
//
//   source thread:  builder.upsert(...); builder.remove_...(...); published = builder.build();      O(change), not O(everything)
//   any thread:     mesh->by_address(...), plan_outbound(*mesh, ...), admit(*mesh, ...)              reads only
//
// Snapshots share all that did not change between them. References that a Mesh returns live as long as that Mesh; the Workload, Service
// and Policy references in them may be kept longer.

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/model/persistent_map.h"
#include "common/model/policy.h"
#include "common/model/service.h"
#include "common/model/workload.h"

namespace culvert::model {

// A workload as endpoint of one service.
struct ServiceEndpoint {
  WorkloadRef workload;
  PortMap ports;  // what the workload maps the service's ports to
};

// A service with its endpoints. `service` is null while only workloads that name it are known (it has not arrived yet, or is gone).
struct ServiceState {
  ServiceRef service;
  PersistentMap<std::string, ServiceEndpoint> endpoints;  // by workload uid; unhealthy ones included
  std::uint32_t weighted = 0;                             // endpoints whose capacity is not 1
};

// Policies in force for a namespace, or for the whole mesh, prepared for admit (policy_index.h).
struct PolicySet;

// A range of addresses of a service, as key of an index.
struct NetworkRange {
  std::string network;
  Cidr range;
  friend auto operator<=>(const NetworkRange&, const NetworkRange&) = default;
};

}  // namespace culvert::model

template <>
struct std::hash<culvert::model::NetworkRange> {
  std::size_t operator()(const culvert::model::NetworkRange& key) const noexcept {
    return (std::hash<std::string_view>{}(key.network) * 31 + std::hash<culvert::IpAddress>{}(key.range.address)) * 31 +
           key.range.length;
  }
};

namespace culvert::model {

// Names of policies start with their namespace: "namespace/name". Names of services: "namespace/hostname".
class Mesh {
 public:
  Mesh() = default;  // knows nothing

  const WorkloadRef& workload(std::string_view uid) const;
  // The workload that owns this address. Of several, the best by: pod with HBONE, pod, HBONE, other. HOST_NETWORK workloads own none.
  const WorkloadRef& by_address(const NetworkAddress& address) const;
  // A pod as the node agent of `node` names it: clusters of one mesh may have pods of the same name. One whose node is not known comes
  // second. An empty service account matches any, an empty node too.
  const WorkloadRef& pod(std::string_view name_space, std::string_view name, std::string_view service_account = {},
                         std::string_view node = {}) const;
  const WorkloadRef& workload_by_hostname(std::string_view hostname) const;

  // Null when not even a workload names this service. Check `service` inside.
  const ServiceState* service(std::string_view key) const;
  // The service that owns this address as seen from a namespace. An exact address beats a range. Of several exact owners: same namespace,
  // Kubernetes', canonical, the preferred namespace; of several ranges: same namespace, longest, canonical; then the first by name, so that every
  // node says the same. What a ServiceEntry writes down takes no pod's address from it, unless both are of one namespace.
  const ServiceState* service_by_vip(const NetworkAddress& address, std::string_view client_namespace) const;
  // As the kernel of a client outside the mesh sees it: a Service of Kubernetes. Null when there is none.
  const ServiceState* kubernetes_service_by_vip(const NetworkAddress& address) const;
  // Exact name, then "*.parent" upwards; ranked like an exact address.
  const ServiceState* service_by_hostname(std::string_view hostname, std::string_view client_namespace) const;
  // Every service that carries this hostname and that the namespace may see, best first.
  std::vector<ServiceRef> services_by_hostname(std::string_view hostname, std::string_view client_namespace) const;

  const PolicyRef& policy(std::string_view key) const;
  const PolicySet* namespace_policies(std::string_view name_space) const;  // null: none
  const PolicySet* global_policies() const;                                // null: none
  const PolicySet* named_policy(std::string_view key) const;               // that one alone, whatever its scope; null: unknown
  // All that decides who may reach a workload. While it is equal, so is every verdict of admit().
  using PolicySets = std::vector<std::shared_ptr<const PolicySet>>;
  PolicySets policies_of(const Workload& workload) const;

  std::size_t workload_count() const { return workloads_.size(); }
  std::size_t service_count() const { return service_count_; }
  std::size_t policy_count() const { return policies_.size(); }
  // In no order. For dumps; costs the whole mesh.
  void each_workload(const std::function<void(const WorkloadRef&)>& visit) const;
  void each_service(const std::function<void(std::string_view key, const ServiceState&)>& visit) const;
  void each_policy(const std::function<void(const PolicyRef&)>& visit) const;

 private:
  friend class MeshBuilder;
  using Workloads = std::vector<WorkloadRef>;  // best first
  using Services = std::vector<ServiceRef>;    // by namespace and hostname

  const ServiceRef* best(const Services& owners, std::string_view client_namespace,
                         const NetworkAddress* address = nullptr) const;
  bool may_own(const Service& service, const NetworkAddress& address) const;
  const ServiceState* by_range(const NetworkAddress& address, std::string_view client_namespace) const;

  PersistentMap<std::string, WorkloadRef> workloads_;
  PersistentMap<NetworkAddress, Workloads> by_address_;
  PersistentMap<std::string, Workloads> by_pod_;  // "namespace/name"
  PersistentMap<std::string, Workloads> by_hostname_;
  PersistentMap<std::string, ServiceState> services_;
  PersistentMap<NetworkAddress, Services> by_vip_;
  PersistentMap<NetworkRange, Services> by_range_;
  PersistentMap<std::string, std::map<std::pair<bool, std::uint8_t>, std::uint32_t>>
      range_lengths_;  // by network: {v6, length} -> how many
  PersistentMap<std::string, Services> services_by_hostname_;
  PersistentMap<std::string, PolicyRef> policies_;
  PersistentMap<std::string, std::shared_ptr<const PolicySet>>
      policy_sets_;  // "" the whole mesh, "ns/" a namespace, "ns/name" one policy
  std::string preferred_namespace_;
  std::size_t service_count_ = 0;
};

// Applies changes in any order: endpoints may arrive before their service, names before the policies they name. One thread.
class MeshBuilder {
 public:
  // `preferred_namespace`: whose services win between equals (PREFERED_SERVICE_NAMESPACE).
  explicit MeshBuilder(std::string preferred_namespace = {});

  // A value replaces the one of the same name altogether.
  void upsert(Workload workload);
  void upsert(Service service);
  void upsert(Policy policy);
  void upsert(const WorkloadRef& workload);
  void upsert(const ServiceRef& service);
  void upsert(const PolicyRef& policy);
  // False when there is nothing of that name.
  bool remove_workload(std::string_view uid);
  bool remove_service(std::string_view key);
  bool remove_policy(std::string_view key);

  const Mesh& current() const { return mesh_; }  // what build() would give, until the next change
  std::shared_ptr<const Mesh> build() const { return std::make_shared<const Mesh>(mesh_); }

 private:
  // Moves every index from one value to the next; either may be null.
  void relink(const WorkloadRef& before, const WorkloadRef& after);
  void relink_endpoints(const WorkloadRef& before, const WorkloadRef& after);
  void relink(const ServiceRef& before, const ServiceRef& after);
  void relink(const PolicyRef& before, const PolicyRef& after);
  void set_service(const std::string& key, const ServiceRef& service);

  Mesh mesh_;
};

}  // namespace culvert::model
