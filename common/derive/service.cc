#include "common/derive/service.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "common/derive/waypoint.h"

namespace culvert::derive {
namespace {

using model::AppProtocol;
using model::LoadBalancing;
using Scope = LoadBalancing::Scope;

// appProtocol, else the first word of the port's name: "http-web" is http.
AppProtocol app_protocol(const config::ServicePort& port) {
  if (!port.app_protocol.empty()) return protocol_called(port.app_protocol);
  return protocol_called(port.name.starts_with("grpc-web") ? "grpc-web" : port.name.substr(0, port.name.find('-')));
}

// The API server writes them; a folder's author need not.
model::IpFamilies families(const config::Service& service) {
  const bool written = !service.ip_families.empty();
  const auto has = [&](config::IpFamily family, bool (IpAddress::*is)() const) {
    return written ? std::ranges::contains(service.ip_families, family) : std::ranges::any_of(service.cluster_ips, is);
  };
  const bool v4 = has(config::IpFamily::kIpv4, &IpAddress::is_v4);
  const bool v6 = has(config::IpFamily::kIpv6, &IpAddress::is_v6);
  if (v4 && v6) return model::IpFamilies::kDual;
  if (v4) return model::IpFamilies::kIpv4Only;
  return v6 ? model::IpFamilies::kIpv6Only : model::IpFamilies::kAutomatic;
}

std::optional<model::LoadBalancing> balancing(const config::Service& service, const Objects& objects) {
  model::LoadBalancing out;
  if (service.internal_traffic_local) {
    out.mode = LoadBalancing::Mode::kStrict;
    out.routing_preference = {Scope::kNode};
  } else {
    out = preference(service.metadata, service.traffic_distribution, objects);
  }
  if (service.publish_not_ready) out.health_policy = model::LoadBalancing::HealthPolicy::kAllowAll;
  if (out == model::LoadBalancing{}) return std::nullopt;
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

std::string hostname_of(const config::Metadata& service, const Settings& settings) {
  return service.name + "." + service.name_space + ".svc." + settings.cluster_domain;
}

AppProtocol protocol_called(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, AppProtocol>, 9> kWords = {{{"http", AppProtocol::kHttp11},
                                                                               {"kubernetes.io/ws", AppProtocol::kHttp11},
                                                                               {"http2", AppProtocol::kHttp2},
                                                                               {"kubernetes.io/h2c", AppProtocol::kHttp2},
                                                                               {"grpc", AppProtocol::kGrpc},
                                                                               {"tcp", AppProtocol::kTcp},
                                                                               {"tls", AppProtocol::kTls},
                                                                               {"https", AppProtocol::kTls},
                                                                               {"kubernetes.io/wss", AppProtocol::kTls}}};
  const std::string called = lower(word);
  const auto found = std::ranges::find(kWords, std::string_view(called), [](const auto& entry) { return entry.first; });
  return found == kWords.end() ? AppProtocol::kUnknown : found->second;
}

model::LoadBalancing preference(const config::Metadata& metadata, std::string_view wish, const Objects& objects) {
  constexpr std::string_view kAnnotation = "networking.istio.io/traffic-distribution";
  if (wish.empty()) wish = config::value_of(metadata.annotations, kAnnotation);
  const auto* name_space = objects.find<config::Namespace>(config::Kind::kNamespace, "", metadata.name_space);
  if (wish.empty() && name_space) wish = config::value_of(name_space->metadata.annotations, kAnnotation);
  const std::string called = lower(wish);
  model::LoadBalancing out;
  if (called == "preferclose" || called == "prefersamezone") {
    out.mode = LoadBalancing::Mode::kFailover;
    out.routing_preference = {Scope::kNetwork, Scope::kRegion, Scope::kZone};
  } else if (called == "prefersamenode") {
    out.mode = LoadBalancing::Mode::kFailover;
    out.routing_preference = {Scope::kNetwork, Scope::kRegion, Scope::kZone, Scope::kSubzone, Scope::kNode};
  }
  return out;
}

void set_waypoint(const config::Metadata& metadata, const Objects& objects, const Settings& settings, model::Service& out) {
  const Binding binding = waypoint_of(metadata, Traffic::kService, objects, settings);
  out.waypoint = binding.waypoint;
  out.weighted_waypoints = canary_of(metadata, binding, objects, settings).weighted;
  out.ingress_use_waypoint = out.waypoint && label_or_namespace(objects, metadata, "istio.io/ingress-use-waypoint") == "true";
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
  set_waypoint(metadata, objects, settings, out);
  return out;
}

}  // namespace culvert::derive
