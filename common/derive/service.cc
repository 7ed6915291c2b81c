#include "common/derive/service.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace culvert::derive {
namespace {

using model::AppProtocol;
using Scope = model::LoadBalancing::Scope;
using Mode = model::LoadBalancing::Mode;

constexpr std::uint16_t kHbonePort = 15008;

// appProtocol, else the first word of the port's name: "http-web" is http.
AppProtocol app_protocol(const config::ServicePort& port) {
  std::string word = port.app_protocol;
  if (word.empty()) word = port.name.starts_with("grpc-web") ? "grpc-web" : port.name.substr(0, port.name.find('-'));
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::array<std::pair<std::string_view, AppProtocol>, 9> kWords = {{{"http", AppProtocol::kHttp11},
                                                                               {"kubernetes.io/ws", AppProtocol::kHttp11},
                                                                               {"http2", AppProtocol::kHttp2},
                                                                               {"kubernetes.io/h2c", AppProtocol::kHttp2},
                                                                               {"grpc", AppProtocol::kGrpc},
                                                                               {"tcp", AppProtocol::kTcp},
                                                                               {"tls", AppProtocol::kTls},
                                                                               {"https", AppProtocol::kTls},
                                                                               {"kubernetes.io/wss", AppProtocol::kTls}}};
  const auto found = std::ranges::find(kWords, std::string_view(word), [](const auto& entry) { return entry.first; });
  return found == kWords.end() ? AppProtocol::kUnknown : found->second;
}

model::IpFamilies families(const config::Service& service) {
  const bool v4 = std::ranges::contains(service.ip_families, config::IpFamily::kIpv4);
  const bool v6 = std::ranges::contains(service.ip_families, config::IpFamily::kIpv6);
  if (v4 && v6) return model::IpFamilies::kDual;
  if (v4) return model::IpFamilies::kIpv4Only;
  return v6 ? model::IpFamilies::kIpv6Only : model::IpFamilies::kAutomatic;
}

std::optional<model::LoadBalancing> balancing(const config::Service& service, const Objects& objects) {
  model::LoadBalancing out;
  std::string_view wish = service.traffic_distribution;
  if (wish.empty()) wish = config::value_of(service.metadata.annotations, "networking.istio.io/traffic-distribution");
  if (wish.empty()) {
    const auto* name_space = objects.find<config::Namespace>(config::Kind::kNamespace, "", service.metadata.name_space);
    if (name_space) wish = config::value_of(name_space->metadata.annotations, "networking.istio.io/traffic-distribution");
  }
  if (service.internal_traffic_local) {
    out.mode = Mode::kStrict;
    out.routing_preference = {Scope::kNode};
  } else if (wish == "PreferClose" || wish == "PreferSameZone") {
    out.mode = Mode::kFailover;
    out.routing_preference = {Scope::kNetwork, Scope::kRegion, Scope::kZone};
  } else if (wish == "PreferSameNode") {
    out.mode = Mode::kFailover;
    out.routing_preference = {Scope::kNetwork, Scope::kRegion, Scope::kZone, Scope::kSubzone, Scope::kNode};
  }
  if (service.publish_not_ready) out.health_policy = model::LoadBalancing::HealthPolicy::kAllowAll;
  if (out == model::LoadBalancing{}) return std::nullopt;
  return out;
}

// The labels are read together from one place: the service's own, else its namespace's.
std::optional<model::GatewayAddress> waypoint_of(const config::Metadata& metadata, const Objects& objects,
                                                 const Settings& settings) {
  const config::Labels* labels = &metadata.labels;
  if (config::value_of(*labels, "istio.io/use-waypoint").empty()) {
    const auto* name_space = objects.find<config::Namespace>(config::Kind::kNamespace, "", metadata.name_space);
    if (!name_space) return std::nullopt;
    labels = &name_space->metadata.labels;
  }
  const std::string_view name = config::value_of(*labels, "istio.io/use-waypoint");
  std::string_view where = config::value_of(*labels, "istio.io/use-waypoint-namespace");
  if (where.empty()) where = metadata.name_space;
  const bool itself = name == metadata.name && where == metadata.name_space;
  return itself ? std::nullopt : waypoint_named(name, where, settings);
}

}  // namespace

std::string hostname_of(const config::Metadata& service, const Settings& settings) {
  return service.name + "." + service.name_space + ".svc." + settings.cluster_domain;
}

std::optional<model::GatewayAddress> waypoint_named(std::string_view name, std::string_view name_space,
                                                    const Settings& settings) {
  if (name.empty() || name == "none") return std::nullopt;
  config::Metadata waypoint;
  waypoint.name = name;
  waypoint.name_space = name_space;
  return model::GatewayAddress{model::ServiceName{waypoint.name_space, hostname_of(waypoint, settings)}, kHbonePort};
}

std::vector<const config::ServicePort*> tcp_ports(const config::Service& service) {
  std::vector<const config::ServicePort*> out;
  for (const config::ServicePort& port : service.ports) {
    if (port.transport == config::Transport::kTcp) out.push_back(&port);
  }
  return out;
}

std::optional<model::Service> service_of(const config::Service& service, const Objects& objects, const Settings& settings) {
  if (service.type == config::Service::Type::kExternalName) return std::nullopt;
  const config::Metadata& metadata = service.metadata;
  model::Service out;
  out.name = metadata.name;
  out.name_space = metadata.name_space;
  out.hostname = hostname_of(metadata, settings);
  const std::string network(network_of_mesh(objects, settings));
  for (const IpAddress& address : service.cluster_ips) {
    out.vips.push_back({network, {address, static_cast<std::uint8_t>(address.bytes().size() * 8)}});
  }
  for (const config::ServicePort* port : tcp_ports(service)) {
    out.ports.push_back({port->port, port->target.number, app_protocol(*port)});
  }
  out.canonical = true;
  out.ip_families = families(service);
  out.load_balancing = balancing(service, objects);
  out.ingress_use_waypoint = label_or_namespace(objects, metadata, "istio.io/ingress-use-waypoint") == "true";

  out.waypoint = waypoint_of(metadata, objects, settings);
  return out;
}

}  // namespace culvert::derive
