#pragma once
// What the mesh knows of one workload: a pod, or anything else that has an address and an identity (protocols.md §2.4).
// Plain values: whoever makes one owns it; the Mesh shares immutable ones between threads.

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/address.h"
#include "common/base/identity.h"
#include "common/base/result.h"

namespace culvert::model {

inline constexpr std::string_view kDefaultTrustDomain = "cluster.local";
inline constexpr std::string_view kDefaultServiceAccount = "default";
inline constexpr std::string_view kDefaultCluster = "Kubernetes";

// How a workload is reached: as it is, or through a tunnel to its port 15008.
enum class TunnelProtocol : std::uint8_t { kNone, kHbone };
enum class NetworkMode : std::uint8_t { kStandard, kHostNetwork };
enum class WorkloadType : std::uint8_t { kDeployment, kCronJob, kPod, kJob };
enum class Health : std::uint8_t { kHealthy, kUnhealthy };

std::string_view name(WorkloadType type);  // "deployment", "cronjob", "pod", "job"

// An address is only meaningful within its network; "" is the default network.
struct NetworkAddress {
  std::string network{};
  IpAddress address{};

  // "network/address"; "/10.0.0.1" in the default network.
  static Result<NetworkAddress> parse(std::string_view text);
  std::string text() const;

  friend auto operator<=>(const NetworkAddress&, const NetworkAddress&) = default;
};

// Names a service: "namespace/hostname" in resource names, in files and in logs.
struct ServiceName {
  std::string name_space{};
  std::string hostname{};

  static Result<ServiceName> parse(std::string_view text);
  std::string text() const;

  friend auto operator<=>(const ServiceName&, const ServiceName&) = default;
};

// A waypoint or a network gateway: a service or workload by hostname, or an address.
struct GatewayAddress {
  std::variant<ServiceName, NetworkAddress> destination{};
  std::uint16_t hbone_port = 0;  // the port for tunnels, 15008 in practice

  std::string text() const;  // "ns/host:15008", "network/ip:15008"

  friend bool operator==(const GatewayAddress&, const GatewayAddress&) = default;
};

struct Locality {
  std::string region{};
  std::string zone{};
  std::string subzone{};

  friend bool operator==(const Locality&, const Locality&) = default;
};

// The workload wants its traffic inside another tunnel: only instances of a waypoint that takes the PROXY protocol.
struct ApplicationTunnel {
  enum class Protocol : std::uint8_t { kNone, kProxy };
  Protocol protocol = Protocol::kNone;
  std::uint16_t port = 0;  // 0 keeps the original port

  friend bool operator==(const ApplicationTunnel&, const ApplicationTunnel&) = default;
};

// Service port -> port of one endpoint; 0 says that the endpoint does not have that (named) port.
using PortMap = std::map<std::uint16_t, std::uint16_t>;

struct Workload {
  std::string uid{};  // "<cluster>//Pod/<ns>/<pod>", unique in the mesh
  std::string name{};
  std::string name_space{};
  std::vector<IpAddress> addresses{};  // may be empty; then hostname or network_gateway says how it is reached
  std::string hostname{};
  std::string network{};
  NetworkMode network_mode = NetworkMode::kStandard;
  TunnelProtocol protocol = TunnelProtocol::kNone;
  bool native_tunnel = false;  // terminates HBONE itself
  std::string trust_domain{kDefaultTrustDomain};
  std::string service_account{kDefaultServiceAccount};
  std::string node{};
  std::string cluster_id{kDefaultCluster};
  std::string canonical_name{};
  std::string canonical_revision{};
  WorkloadType type = WorkloadType::kDeployment;
  std::string workload_name{};  // of the owner: the deployment, the job
  Locality locality{};
  Health health = Health::kHealthy;
  std::uint32_t capacity = 1;  // weight in load balancing
  std::optional<GatewayAddress> waypoint{};
  std::optional<GatewayAddress> network_gateway{};
  std::optional<ApplicationTunnel> application_tunnel{};
  std::map<std::string, PortMap> services{};  // "namespace/hostname" of each service it is an endpoint of
  std::vector<std::string> policies{};        // "namespace/name" of the selector policies that apply to it

  Identity identity() const { return {trust_domain, name_space, service_account}; }
  // A pod, whose addresses the cluster gave out: all others have what their author wrote.
  bool is_pod() const;
  bool owns(const IpAddress& address) const;

  friend bool operator==(const Workload&, const Workload&) = default;
};

using WorkloadRef = std::shared_ptr<const Workload>;  // immutable, shared between threads; null is "none"

}  // namespace culvert::model

template <>
struct std::hash<culvert::model::NetworkAddress> {
  std::size_t operator()(const culvert::model::NetworkAddress& key) const noexcept {
    return std::hash<std::string_view>{}(key.network) * 31 + std::hash<culvert::IpAddress>{}(key.address);
  }
};
