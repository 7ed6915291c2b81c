#pragma once
// The objects in force, whatever source they came from, found by kind, namespace and name, and by what derivation asks for. Plain data on one
// thread.

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "common/config/object.h"
#include "common/derive/label_query.h"
#include "common/derive/selectors.h"

namespace culvert::derive {

// Who may see the services of ServiceEntries: the first policy counts whose queries all match the labels of the entry's namespace.
struct EntryVisibility {
  enum class Level : std::uint8_t { kPublic, kNamespace, kNone };
  struct Policy {
    Level level = Level::kPublic;
    std::vector<LabelQuery> namespaces{};

    friend bool operator==(const Policy&, const Policy&) = default;
  };
  Level otherwise = Level::kPublic;
  std::vector<Policy> policies{};

  friend bool operator==(const EntryVisibility&, const EntryVisibility&) = default;
};

// How the mesh is called; what istiod takes from MeshConfig and its environment.
struct Settings {
  std::string cluster_id = "Kubernetes";
  std::string trust_domain = "cluster.local";
  std::vector<std::string> trust_domain_aliases{};  // whoever is of one of them, is of trust_domain
  std::string cluster_domain = "cluster.local";     // of service names: web.shop.svc.cluster.local
  std::string root_namespace = "istio-system";      // policies there apply to the whole mesh
  std::string system_namespace{};                   // where MeshConfig and the mesh's network stand; empty: the root namespace
  bool dry_run_policies = false;                    // send policies marked istio.io/dry-run (older proxies would enforce them)
  bool allocate_addresses = false;  // give ServiceEntries addresses that no status has: where nobody can write one (a folder)
  EntryVisibility entry_visibility{};
  std::vector<LabelQuery> discovery{};  // namespaces that any of them selects belong to the mesh; empty: all
  std::string root_trust_domain{};      // what the CA's root names, and thereby the only one that it can sign for; empty: any

  const std::string& system() const { return system_namespace.empty() ? root_namespace : system_namespace; }
  friend bool operator==(const Settings&, const Settings&) = default;
};

class Objects {
 public:
  using ByName = std::map<std::string_view, config::ObjectPtr>;  // the names stand in the objects
  using Names = std::set<std::string, std::less<>>;

  // `key` is the object's own.
  void put(const config::Key& key, config::ObjectPtr object);
  void erase(const config::Key& key);
  // The newest version of `key` cannot be read. What was put before stays in force; put and erase end this.
  void invalidate(const config::Key& key);

  // Null when there is none. Cluster-scoped kinds have the namespace "".
  template <class T>
  const T* find(config::Kind kind, std::string_view name_space, std::string_view name) const {
    const ByName& names = in(kind, name_space);
    const auto found = names.find(name);
    return found == names.end() ? nullptr : std::get_if<T>(found->second.get());
  }
  // All of one kind in one namespace; empty when there are none.
  const ByName& in(config::Kind kind, std::string_view name_space) const;
  // Namespaces that hold objects of this kind.
  std::vector<std::string> namespaces(config::Kind kind) const;
  // Namespaces that hold anything, readable or not; not "".
  std::vector<std::string> namespaces() const;
  // All that stands in a namespace, readable or not.
  std::vector<config::Key> keys(std::string_view name_space) const;

  // Names of the Services, ServiceEntries, AuthorizationPolicies or PeerAuthentications of a namespace whose selector selects these labels: in no
  // order, valid until something is put or erased. wide(): of those that have no selector.
  std::vector<std::string_view> selecting(config::Kind kind, std::string_view name_space, const config::Labels& labels) const;
  const Names& wide(config::Kind kind, std::string_view name_space) const;
  // Names of the EndpointSlices of a Service.
  const Names& slices_of(std::string_view name_space, std::string_view service) const;
  // The ServiceEntries that name a host, by namespace, each namespace's in order of age.
  struct Claim {
    std::int64_t created = 0;
    std::string name;
    friend auto operator<=>(const Claim&, const Claim&) = default;
  };
  using Claims = std::map<std::string, std::set<Claim>, std::less<>>;
  const Claims& claims(std::string_view host) const;
  // The Gateways whose label topology.istio.io/network says this, by age, namespace and name, whatever their class.
  using Placed = std::set<std::tuple<std::int64_t, std::string, std::string>>;
  const Placed& gateways_of(std::string_view network) const;
  std::vector<std::string> gateway_networks() const;  // for which there are such

  // The VirtualServices that leave routes to this one, there or not.
  const std::set<config::Key>& delegating_to(const config::Key& virtual_service) const;

  // Keys whose newest version cannot be read and that have no good one either.
  std::vector<config::Key> unreadable(std::string_view name_space) const;
  std::size_t size() const { return size_; }
  const std::set<config::Key>& invalid() const { return invalid_; }

 private:
  void index(const config::Key& key, const config::Object& object);
  void unindex(const config::Key& key, const config::Object& object);

  std::map<config::Kind, std::map<std::string, ByName, std::less<>>> kinds_;
  std::map<config::Kind, std::map<std::string, Selectors, std::less<>>> selectors_;       // by namespace
  std::map<std::string, std::map<std::string, Names, std::less<>>, std::less<>> slices_;  // by namespace and service
  std::map<std::string, Claims, std::less<>> claims_;                                     // by host
  std::map<std::string, Placed, std::less<>> gateways_;                                   // by network
  std::map<config::Key, std::set<config::Key>> delegating_;                               // by who is named
  std::set<config::Key> invalid_;
  std::size_t size_ = 0;
};

// The spec of an object of one of the kinds that a proto describes. Null when `object` is null or of another kind.
template <class Spec>
const Spec* spec_of(const config::Object* object) {
  const auto* custom = object ? std::get_if<config::Custom>(object) : nullptr;
  return custom ? dynamic_cast<const Spec*>(custom->spec.get()) : nullptr;
}

// By which labels it selects workloads; nothing for kinds that select nothing.
std::optional<config::Labels> selector_of(const config::Object& object);

// Whether something is derived from objects of this kind as such. Of Gateways only what others need to know of them is.
bool derives_from(config::Kind kind);

// Null when there is none.
const config::Object* object_of(const config::Key& key, const Objects& objects);

inline constexpr std::string_view kNetworkLabel = "topology.istio.io/network";

// The network that is everybody's who names no other: a label of the system namespace. Empty when there is none.
std::string_view network_of_mesh(const Objects& objects, const Settings& settings);

// A label of the object, else of its namespace.
std::string_view label_or_namespace(const Objects& objects, const config::Metadata& metadata, std::string_view label);

}  // namespace culvert::derive
