#include "common/derive/fingerprint.h"

#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "common/base/hash.h"

namespace culvert::derive {
namespace {

// Writes values one after the other, such that different ones give different bytes. Structures are taken apart by all of their fields: one that is
// added and not written here does not compile.
class Writer {
 public:
  template <class T>
    requires std::integral<T> || std::is_enum_v<T>
  void add(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void add(const std::string& text) {
    add(text.size());
    bytes_ += text;
  }
  void add(const IpAddress& address) { add(std::string(address.bytes().begin(), address.bytes().end())); }
  template <class T>
  void add(const std::vector<T>& all) {
    add(all.size());
    for (const T& one : all) add(one);
  }
  template <class Key, class Value>
  void add(const std::map<Key, Value>& all) {
    add(all.size());
    for (const auto& [key, value] : all) add_all(key, value);
  }
  template <class T>
  void add(const std::optional<T>& one) {
    add(one.has_value());
    if (one) add(*one);
  }
  template <class... T>
  void add(const std::variant<T...>& one) {
    add(one.index());
    std::visit([this](const auto& what) { this->add(what); }, one);
  }
  void add(const model::ServiceName& name) {
    const auto& [name_space, hostname] = name;
    add_all(name_space, hostname);
  }
  void add(const model::NetworkAddress& where) {
    const auto& [network, address] = where;
    add_all(network, address);
  }
  void add(const model::GatewayAddress& gateway) {
    const auto& [destination, hbone_port] = gateway;
    add_all(destination, hbone_port);
  }
  void add(const model::Locality& locality) {
    const auto& [region, zone, subzone] = locality;
    add_all(region, zone, subzone);
  }
  void add(const model::ApplicationTunnel& tunnel) {
    const auto& [protocol, port] = tunnel;
    add_all(protocol, port);
  }
  void add_all(const auto&... values) { (add(values), ...); }

  std::uint64_t hash() const { return keyed_hash(own_hash_key(), bytes_); }

 private:
  std::string bytes_;
};

}  // namespace

std::uint64_t fingerprint(const model::Workload& workload) {
  const auto& [uid, name, name_space, addresses, hostname, network, network_mode, protocol, native_tunnel, trust_domain,
               service_account, node, cluster_id, canonical_name, canonical_revision, type, workload_name, locality, health,
               capacity, waypoint, network_gateway, application_tunnel, services, policies] = workload;
  Writer out;
  out.add_all(uid, name, name_space, addresses, hostname, network, network_mode, protocol, native_tunnel, trust_domain);
  out.add_all(service_account, node, cluster_id, canonical_name, canonical_revision, type, workload_name, locality, health);
  out.add_all(capacity, waypoint, network_gateway, application_tunnel, services, policies);
  return out.hash();
}

}  // namespace culvert::derive
