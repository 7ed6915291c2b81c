#include "common/model/mesh.h"

#include <algorithm>
#include <tuple>

#include "common/model/policy_index.h"

namespace culvert::model {
namespace {

const WorkloadRef kNoWorkload;
const PolicyRef kNoPolicy;

const WorkloadRef& first(const std::vector<WorkloadRef>* list) { return list && !list->empty() ? list->front() : kNoWorkload; }

// The range's own address with all bits past the prefix cleared, so that equal ranges are equal keys.
Cidr network_of(const IpAddress& address, std::uint8_t length) {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(address.bytes(), bytes.begin());
  for (std::size_t bit = length; bit < 128; ++bit) bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> (bit % 8)));
  if (address.is_v4()) return {IpAddress::v4(std::span<const std::uint8_t, 4>(bytes.data(), 4)), length};
  return {IpAddress::v6(std::span<const std::uint8_t, 16>(bytes)), length};
}

// Among several owners of an address, larger is better.
int claim(const Workload& workload) {
  return (workload.is_pod() ? 2 : 0) + (workload.protocol == TunnelProtocol::kHbone ? 1 : 0);
}

const std::string& id(const WorkloadRef& ref) { return ref->uid; }
std::string id(const ServiceRef& ref) { return ref->key(); }

// Moves a value from the keys that its old version had to those of its new one. A key of both keeps the value's place in the list.
template <class Map, class Key, class Ref, class Order>
void move_keys(Map& map, std::vector<Key> before, std::vector<Key> after, const Ref& old, const Ref& now, Order&& order) {
  std::ranges::sort(before);
  std::ranges::sort(after);
  before.erase(std::unique(before.begin(), before.end()), before.end());
  after.erase(std::unique(after.begin(), after.end()), after.end());
  for (const Key& key : before) {
    if (std::ranges::binary_search(after, key)) continue;
    bool empty = false;
    map.change(key, [&](auto& list) {
      std::erase_if(list, [&](const Ref& other) { return id(other) == id(old); });
      empty = list.empty();
    });
    if (empty) map.erase(key);
  }
  for (const Key& key : after) {
    map.change(key, [&](auto& list) {
      const auto at = old ? std::ranges::find_if(list, [&](const Ref& other) { return id(other) == id(old); }) : list.end();
      if (at != list.end()) *at = now;
      else list.insert(order.place(list, now), now);
      order.settle(list);
    });
  }
}

struct ByClaim {
  using List = std::vector<WorkloadRef>;
  static auto place(List& list, const WorkloadRef&) {
    return list.begin();
  }  // an address that is used again belongs to who came last, as in Istio
  static void settle(List& list) {
    std::ranges::stable_sort(list, std::greater<>(), [](const WorkloadRef& workload) { return claim(*workload); });
  }
};
// Not by arrival: each node is told in another order.
struct ByName {
  using List = std::vector<ServiceRef>;
  static auto place(List& list, const ServiceRef& service) {
    const auto name = [](const ServiceRef& one) { return std::tie(one->name_space, one->hostname); };
    return std::ranges::upper_bound(list, name(service), {}, name);
  }
  static void settle(List&) {}
};

std::vector<NetworkAddress> addresses_of(const WorkloadRef& workload) {
  std::vector<NetworkAddress> keys;
  if (!workload || workload->network_mode == NetworkMode::kHostNetwork) return keys;
  for (const IpAddress& address : workload->addresses) keys.push_back({workload->network, address});
  return keys;
}

std::vector<std::string> pod_of(const WorkloadRef& workload) {
  return workload ? std::vector{workload->name_space + "/" + workload->name} : std::vector<std::string>();
}

template <class Ref>
std::vector<std::string> hostname_of(const Ref& value) {
  return value && !value->hostname.empty() ? std::vector{value->hostname} : std::vector<std::string>();
}

std::vector<NetworkAddress> hosts_of(const ServiceRef& service) {
  std::vector<NetworkAddress> keys;
  if (!service) return keys;
  for (const Vip& vip : service->vips) {
    if (vip.is_host()) keys.push_back({vip.network, vip.range.address});
  }
  return keys;
}

std::vector<NetworkRange> ranges_of(const ServiceRef& service) {
  std::vector<NetworkRange> keys;
  if (!service) return keys;
  for (const Vip& vip : service->vips) {
    if (!vip.is_host()) keys.push_back({vip.network, network_of(vip.range.address, vip.range.length)});
  }
  return keys;
}

}  // namespace

const WorkloadRef& Mesh::workload(std::string_view uid) const {
  const auto* found = workloads_.find(uid);
  return found ? *found : kNoWorkload;
}

const WorkloadRef& Mesh::by_address(const NetworkAddress& address) const { return first(by_address_.find(address)); }

const WorkloadRef& Mesh::pod(std::string_view name_space, std::string_view name, std::string_view service_account,
                             std::string_view node) const {
  const auto* found = by_pod_.find(std::string(name_space) + "/" + std::string(name));
  if (!found) return kNoWorkload;
  const WorkloadRef* somewhere = &kNoWorkload;
  for (const WorkloadRef& candidate : *found) {
    if (!service_account.empty() && candidate->service_account != service_account) continue;
    if (node.empty() || candidate->node == node) return candidate;
    if (candidate->node.empty() && !*somewhere) somewhere = &candidate;
  }
  return *somewhere;
}

const WorkloadRef& Mesh::workload_by_hostname(std::string_view hostname) const { return first(by_hostname_.find(hostname)); }

const ServiceState* Mesh::service(std::string_view key) const { return services_.find(key); }

// Whoever may write a ServiceEntry in some namespace may write any address into it, and any range.
bool Mesh::may_own(const Service& service, const NetworkAddress& address) const {
  if (service.of_kubernetes()) return true;
  const WorkloadRef& owner = by_address(address);
  return !owner || !owner->is_pod() || owner->name_space == service.name_space;
}

// `address`: by which it is looked for; null when it is by name.
const ServiceRef* Mesh::best(const Services& owners, std::string_view client_namespace, const NetworkAddress* address) const {
  const ServiceRef* best = nullptr;
  int best_rank = -1;
  for (const ServiceRef& owner : owners) {
    const int rank = (owner->name_space == client_namespace ? 8 : 0) + (owner->of_kubernetes() ? 4 : 0) +
                     (owner->canonical ? 2 : 0) +
                     (owner->name_space == preferred_namespace_ && !preferred_namespace_.empty() ? 1 : 0);
    if (rank <= best_rank || !owner->visible_to(client_namespace)) continue;
    if (address && !may_own(*owner, *address)) continue;
    best = &owner;
    best_rank = rank;
  }
  return best;
}

const ServiceState* Mesh::service_by_vip(const NetworkAddress& address, std::string_view client_namespace) const {
  if (const auto* owners = by_vip_.find(address)) {
    if (const ServiceRef* owner = best(*owners, client_namespace, &address)) return service((*owner)->key());
  }
  return by_range(address, client_namespace);
}

const ServiceState* Mesh::kubernetes_service_by_vip(const NetworkAddress& address) const {
  const auto* owners = by_vip_.find(address);
  if (!owners) return nullptr;
  const auto found = std::ranges::find_if(*owners, [](const ServiceRef& owner) { return owner->of_kubernetes(); });
  return found == owners->end() ? nullptr : service((*found)->key());
}

const ServiceState* Mesh::by_range(const NetworkAddress& address, std::string_view client_namespace) const {
  const auto* lengths = range_lengths_.find(address.network);
  if (!lengths) return nullptr;
  const ServiceRef* best = nullptr;
  std::tuple<bool, std::uint8_t, bool> best_rank;
  for (const auto& [kind, unused] : *lengths) {
    if (kind.first != address.address.is_v6()) continue;
    const auto* owners = by_range_.find(NetworkRange{address.network, network_of(address.address, kind.second)});
    if (!owners) continue;
    for (const ServiceRef& owner : *owners) {
      const std::tuple rank(owner->name_space == client_namespace, kind.second, owner->canonical);
      if (!owner->visible_to(client_namespace) || (best && rank <= best_rank) || !may_own(*owner, address)) continue;
      best = &owner;
      best_rank = rank;
    }
  }
  return best ? service((*best)->key()) : nullptr;
}

const ServiceState* Mesh::service_by_hostname(std::string_view hostname, std::string_view client_namespace) const {
  const auto look = [&](std::string_view name) -> const ServiceState* {
    const auto* owners = services_by_hostname_.find(name);
    const ServiceRef* owner = owners ? best(*owners, client_namespace) : nullptr;
    return owner ? service((*owner)->key()) : nullptr;
  };
  if (const auto* found = look(hostname)) return found;
  for (auto dot = hostname.find('.'); dot != hostname.npos; dot = hostname.find('.', dot + 1)) {
    if (const auto* found = look("*" + std::string(hostname.substr(dot)))) return found;
  }
  return nullptr;
}

std::vector<ServiceRef> Mesh::services_by_hostname(std::string_view hostname, std::string_view client_namespace) const {
  const auto* owners = services_by_hostname_.find(hostname);
  if (!owners) return {};
  std::vector<ServiceRef> seen = *owners;
  std::erase_if(seen, [&](const ServiceRef& owner) { return !owner->visible_to(client_namespace); });
  std::ranges::stable_sort(seen, std::greater<>(), [&](const ServiceRef& owner) {
    return std::tuple(owner->name_space == client_namespace, owner->of_kubernetes(), owner->canonical,
                      owner->name_space == preferred_namespace_);
  });
  return seen;
}

const PolicyRef& Mesh::policy(std::string_view key) const {
  const auto* found = policies_.find(key);
  return found ? *found : kNoPolicy;
}

const PolicySet* Mesh::named_policy(std::string_view key) const {
  const auto* found = policy_sets_.find(key);
  return found ? found->get() : nullptr;
}

const PolicySet* Mesh::namespace_policies(std::string_view name_space) const {
  return named_policy(std::string(name_space) + "/");
}
const PolicySet* Mesh::global_policies() const { return named_policy(""); }

Mesh::PolicySets Mesh::policies_of(const Workload& workload) const {
  PolicySets out;
  out.reserve(2 + workload.policies.size());
  const auto add = [&](std::string_view key) {
    const auto* found = policy_sets_.find(key);
    out.push_back(found ? *found : nullptr);
  };
  add("");
  add(workload.name_space + "/");
  for (const std::string& name : workload.policies) add(name);
  return out;
}

void Mesh::each_workload(const std::function<void(const WorkloadRef&)>& visit) const {
  workloads_.for_each([&](const std::string&, const WorkloadRef& workload) { visit(workload); });
}
void Mesh::each_service(const std::function<void(std::string_view, const ServiceState&)>& visit) const {
  services_.for_each([&](const std::string& key, const ServiceState& state) { visit(key, state); });
}
void Mesh::each_policy(const std::function<void(const PolicyRef&)>& visit) const {
  policies_.for_each([&](const std::string&, const PolicyRef& policy) { visit(policy); });
}

MeshBuilder::MeshBuilder(std::string preferred_namespace) { mesh_.preferred_namespace_ = std::move(preferred_namespace); }

void MeshBuilder::upsert(Workload workload) { upsert(std::make_shared<const Workload>(std::move(workload))); }
void MeshBuilder::upsert(Service service) { upsert(std::make_shared<const Service>(std::move(service))); }
void MeshBuilder::upsert(Policy policy) { upsert(std::make_shared<const Policy>(std::move(policy))); }

void MeshBuilder::upsert(const WorkloadRef& workload) {
  const WorkloadRef before = mesh_.workload(workload->uid);
  if (before && *before == *workload) return;
  relink(before, workload);
  mesh_.workloads_.set(workload->uid, workload);
}

bool MeshBuilder::remove_workload(std::string_view uid) {
  const WorkloadRef before = mesh_.workload(uid);
  if (!before) return false;
  relink(before, nullptr);
  mesh_.workloads_.erase(uid);
  return true;
}

void MeshBuilder::relink(const WorkloadRef& before, const WorkloadRef& after) {
  move_keys(mesh_.by_address_, addresses_of(before), addresses_of(after), before, after, ByClaim());
  move_keys(mesh_.by_pod_, pod_of(before), pod_of(after), before, after, ByClaim());
  move_keys(mesh_.by_hostname_, hostname_of(before), hostname_of(after), before, after, ByClaim());
  relink_endpoints(before, after);
}

void MeshBuilder::relink_endpoints(const WorkloadRef& before, const WorkloadRef& after) {
  if (before) {
    for (const auto& [key, unused] : before->services) {
      bool empty = false;
      mesh_.services_.change(key, [&](ServiceState& state) {
        state.weighted -= before->capacity != 1;
        if (!after || !after->services.contains(key)) state.endpoints.erase(before->uid);
        empty = !state.service && state.endpoints.empty() && (!after || !after->services.contains(key));
      });
      if (empty) mesh_.services_.erase(key);
    }
  }
  if (!after) return;
  for (const auto& [key, ports] : after->services) {
    mesh_.services_.change(key, [&](ServiceState& state) {
      state.weighted += after->capacity != 1;
      state.endpoints.set(after->uid, ServiceEndpoint{after, ports});
    });
  }
}

void MeshBuilder::upsert(const ServiceRef& service) {
  const std::string key = service->key();
  const auto* state = mesh_.service(key);
  const ServiceRef before = state ? state->service : nullptr;
  if (before && *before == *service) return;
  relink(before, service);
  set_service(key, service);
}

bool MeshBuilder::remove_service(std::string_view key) {
  const auto* state = mesh_.service(key);
  if (!state || !state->service) return false;
  const ServiceRef before = state->service;
  relink(before, nullptr);
  set_service(std::string(key), nullptr);
  return true;
}

void MeshBuilder::set_service(const std::string& key, const ServiceRef& service) {
  bool empty = false;
  mesh_.services_.change(key, [&](ServiceState& state) {
    mesh_.service_count_ += (service ? 1 : 0);
    mesh_.service_count_ -= (state.service ? 1 : 0);
    state.service = service;
    empty = !service && state.endpoints.empty();
  });
  if (empty) mesh_.services_.erase(key);
}

void MeshBuilder::relink(const ServiceRef& before, const ServiceRef& after) {
  move_keys(mesh_.by_vip_, hosts_of(before), hosts_of(after), before, after, ByName());
  move_keys(mesh_.by_range_, ranges_of(before), ranges_of(after), before, after, ByName());
  move_keys(mesh_.services_by_hostname_, hostname_of(before), hostname_of(after), before, after, ByName());
  const auto count = [&](const ServiceRef& service, std::uint32_t by) {
    for (const NetworkRange& key : ranges_of(service)) {
      bool empty = false;
      mesh_.range_lengths_.change(key.network, [&](auto& lengths) {
        const auto at = lengths.try_emplace({key.range.address.is_v6(), key.range.length}).first;
        at->second += by;
        if (at->second == 0) lengths.erase(at);
        empty = lengths.empty();
      });
      if (empty) mesh_.range_lengths_.erase(key.network);
    }
  };
  count(after, 1);
  count(before, static_cast<std::uint32_t>(-1));
}

void MeshBuilder::upsert(const PolicyRef& policy) {
  const std::string key = policy->key();
  const PolicyRef before = mesh_.policy(key);
  if (before && *before == *policy) return;
  relink(before, policy);
  mesh_.policies_.set(key, policy);
}

bool MeshBuilder::remove_policy(std::string_view key) {
  const PolicyRef before = mesh_.policy(key);
  if (!before) return false;
  relink(before, nullptr);
  mesh_.policies_.erase(key);
  return true;
}

void MeshBuilder::relink(const PolicyRef& before, const PolicyRef& after) {
  const auto edit = [&](const std::string& set, const PolicyRef& policy, auto change) {
    bool empty = false;
    mesh_.policy_sets_.change(set, [&](std::shared_ptr<const PolicySet>& slot) {
      auto next = slot ? std::make_shared<PolicySet>(*slot) : std::make_shared<PolicySet>();
      ((*next).*change)(policy);
      empty = next->count == 0;
      slot = std::move(next);
    });
    if (empty) mesh_.policy_sets_.erase(set);
  };
  const auto each_set = [&](const PolicyRef& policy, auto change) {
    if (!policy) return;
    edit(policy->key(), policy, change);
    if (policy->scope == Policy::Scope::kGlobal) edit("", policy, change);
    if (policy->scope == Policy::Scope::kNamespace) edit(policy->name_space + "/", policy, change);
  };
  each_set(before, &PolicySet::remove);
  each_set(after, &PolicySet::add);
}

}  // namespace culvert::model
