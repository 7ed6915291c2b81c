#pragma once
// The objects in force, whatever source they came from, found by kind, namespace and name. Plain data on one thread.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/object.h"

namespace culvert::derive {

// How the mesh is called; what istiod takes from MeshConfig and its environment.
struct Settings {
  std::string cluster_id = "Kubernetes";
  std::string trust_domain = "cluster.local";
  std::string cluster_domain = "cluster.local";  // of service names: web.shop.svc.cluster.local
  std::string root_namespace = "istio-system";   // policies there apply to the whole mesh
  bool dry_run_policies = false;                 // send policies marked istio.io/dry-run (older proxies would enforce them)
};

class Objects {
 public:
  using ByName = std::map<std::string, config::ObjectPtr, std::less<>>;

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

  // Keys whose newest version cannot be read and that have no good one either.
  std::vector<config::Key> unreadable(std::string_view name_space) const;
  std::size_t size() const { return size_; }
  const std::set<config::Key>& invalid() const { return invalid_; }

 private:
  std::map<config::Kind, std::map<std::string, ByName, std::less<>>> kinds_;
  std::set<config::Key> invalid_;
  std::size_t size_ = 0;
};

// The network that is everybody's who names no other: a label of the root namespace. Empty when there is none.
std::string_view network_of_mesh(const Objects& objects, const Settings& settings);

// A label of the object, else of its namespace.
std::string_view label_or_namespace(const Objects& objects, const config::Metadata& metadata, std::string_view label);

}  // namespace culvert::derive
