#pragma once
// What the mesh knows of one service: its names, addresses and ports. Its endpoints are the workloads that name it (Mesh).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/address.h"
#include "common/model/workload.h"

namespace culvert::model {

enum class AppProtocol : std::uint8_t { kUnknown, kHttp11, kHttp2, kGrpc, kTcp, kTls };
enum class IpFamilies : std::uint8_t { kAutomatic, kIpv4Only, kIpv6Only, kDual };
enum class Visibility : std::uint8_t { kPublic, kNamespace };  // kNamespace: only clients of its own namespace see it

struct ServicePort {
  std::uint16_t service_port = 0;
  std::uint16_t target_port = 0;  // 0: a named port, each endpoint brings its own mapping
  AppProtocol app_protocol = AppProtocol::kUnknown;

  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

// An address of the service, or (ServiceEntry only) a whole range of them, in one network.
struct Vip {
  std::string network{};
  Cidr range{};

  bool is_host() const { return range.length == range.address.bytes().size() * 8; }

  friend auto operator<=>(const Vip&, const Vip&) = default;
};

// Which endpoints are preferred (protocols.md §6.3).
struct LoadBalancing {
  enum class Scope : std::uint8_t { kUnspecified, kRegion, kZone, kSubzone, kNode, kCluster, kNetwork };
  enum class Mode : std::uint8_t { kUnspecified, kStrict, kFailover, kPassthrough };
  enum class HealthPolicy : std::uint8_t { kOnlyHealthy, kAllowAll };

  std::vector<Scope> routing_preference{};
  Mode mode = Mode::kUnspecified;
  HealthPolicy health_policy = HealthPolicy::kOnlyHealthy;

  friend bool operator==(const LoadBalancing&, const LoadBalancing&) = default;
};

struct WeightedWaypoint {
  GatewayAddress destination{};
  std::uint32_t weight = 0;

  friend bool operator==(const WeightedWaypoint&, const WeightedWaypoint&) = default;
};

struct Service {
  std::string name{};
  std::string name_space{};
  std::string hostname{};   // fully qualified; "*.example.com" names every name below
  std::vector<Vip> vips{};  // none: headless
  std::vector<ServicePort> ports{};
  std::vector<std::string> subject_alt_names{};  // further identities that its endpoints may show
  std::optional<GatewayAddress> waypoint{};
  std::vector<WeightedWaypoint> weighted_waypoints{};
  std::optional<LoadBalancing> load_balancing{};
  IpFamilies ip_families = IpFamilies::kAutomatic;
  bool canonical = false;  // the preferred owner of the hostname
  bool ingress_use_waypoint = false;
  Visibility visibility = Visibility::kPublic;

  std::string key() const { return name_space + "/" + hostname; }
  // A Service of Kubernetes, whose addresses the cluster gave out, and not a ServiceEntry's, which says what its author likes. The wire has no other mark:
  // each Service of Kubernetes has families, no entry does (protocols.md §2.6).
  bool of_kubernetes() const { return ip_families != IpFamilies::kAutomatic; }
  const ServicePort* port(std::uint16_t service_port) const;  // null when it has no such port
  bool visible_to(std::string_view client_namespace) const {
    return visibility == Visibility::kPublic || name_space == client_namespace;
  }

  friend bool operator==(const Service&, const Service&) = default;
};

using ServiceRef = std::shared_ptr<const Service>;  // immutable, shared between threads; null is "none"

}  // namespace culvert::model
