#include "tests/golden/print.h"

#include <string_view>

#include "common/base/format.h"

namespace culvert::golden {
namespace {

void field(std::string& out, std::string_view name, const std::string& value) {
  if (!value.empty()) out += culvert::format("  {}: {}\n", name, value);
}

template <class List, class Text>
std::string join(const List& list, Text text) {
  std::string out;
  for (const auto& one : list) out.append(out.empty() ? "" : ", ").append(text(one));
  return out;
}

std::string ports(const model::PortMap& map) {
  return join(map, [](const auto& entry) { return culvert::format("{}->{}", entry.first, entry.second); });
}

std::string_view name(model::AppProtocol protocol) {
  constexpr std::string_view kNames[] = {"", " http", " http2", " grpc", " tcp", " tls"};
  return kNames[static_cast<int>(protocol)];
}

std::string tunnel(const model::ApplicationTunnel& wish) {
  std::string out = wish.protocol == model::ApplicationTunnel::Protocol::kProxy ? "proxy" : "none";
  return wish.port == 0 ? out : out + " to port " + std::to_string(wish.port);
}

std::string vip(const model::Vip& one) {
  return one.network + "/" + (one.is_host() ? one.range.address.text() : one.range.text());
}

std::string balancing(const model::LoadBalancing& wish) {
  constexpr std::string_view kModes[] = {"", "strict", "failover", "passthrough"};
  constexpr std::string_view kScopes[] = {"", "region", "zone", "subzone", "node", "cluster", "network"};
  std::string out(kModes[static_cast<int>(wish.mode)]);
  for (const auto scope : wish.routing_preference) out.append(" ").append(kScopes[static_cast<int>(scope)]);
  if (wish.health_policy == model::LoadBalancing::HealthPolicy::kAllowAll) out += " allow-all";
  return out;
}

}  // namespace

std::string print(const model::Workload& workload) {
  const bool hbone = workload.protocol == model::TunnelProtocol::kHbone;
  std::string out = "workload " + workload.uid + ":\n";
  field(out, "name", workload.name_space + "/" + workload.name);
  field(out, "addresses", join(workload.addresses, [](const IpAddress& address) { return address.text(); }));
  field(out, "hostname", workload.hostname);
  field(out, "network", workload.network);
  if (workload.network_gateway) field(out, "gateway", workload.network_gateway->text());
  field(out, "mode", workload.network_mode == model::NetworkMode::kHostNetwork ? "host network" : "");
  field(out, "tunnel", workload.native_tunnel ? "hbone, native" : hbone ? "hbone" : "");
  field(out, "identity", workload.service_account.empty() ? "none" : workload.identity().uri());
  field(out, "node", workload.node);
  field(out, "cluster", workload.cluster_id == model::kDefaultCluster ? "" : workload.cluster_id);
  field(out, "canonical", workload.canonical_name.empty() ? "" : workload.canonical_name + ":" + workload.canonical_revision);
  field(out, "workload",
        workload.workload_name.empty() ? "" : std::string(model::name(workload.type)) + " " + workload.workload_name);
  if (workload.locality != model::Locality{}) {
    field(out, "locality",
          culvert::format("{}/{}/{}", workload.locality.region, workload.locality.zone, workload.locality.subzone));
  }
  field(out, "capacity", workload.capacity == 1 ? "" : std::to_string(workload.capacity));
  field(out, "health", workload.health == model::Health::kUnhealthy ? "unhealthy" : "");
  field(out, "waypoint", workload.waypoint ? workload.waypoint->text() : "");
  if (workload.application_tunnel) field(out, "application tunnel", tunnel(*workload.application_tunnel));
  for (const auto& [key, map] : workload.services) field(out, "endpoint of", key + " " + ports(map));
  field(out, "policies", join(workload.policies, [](const std::string& one) { return one; }));
  return out;
}

std::string print(const model::Service& service) {
  std::string out = "service " + service.key() + ":\n";
  field(out, "vips", join(service.vips, vip));
  field(out, "ports", join(service.ports, [](const model::ServicePort& port) {
          return culvert::format("{}->{}{}", port.service_port, port.target_port, name(port.app_protocol));
        }));
  constexpr std::string_view kFamilies[] = {"", "IPv4", "IPv6", "dual"};
  field(out, "families", std::string(kFamilies[static_cast<int>(service.ip_families)]));
  field(out, "balancing", service.load_balancing ? balancing(*service.load_balancing) : "");
  field(out, "subject alt names", join(service.subject_alt_names, [](const std::string& one) { return one; }));
  field(out, "waypoint", service.waypoint ? service.waypoint->text() : "");
  field(out, "weighted", join(service.weighted_waypoints, [](const model::WeightedWaypoint& one) {
          return culvert::format("{} {}", one.weight, one.destination.text());
        }));
  field(out, "ingress", service.ingress_use_waypoint ? "through the waypoint" : "");
  field(out, "visibility", service.visibility == model::Visibility::kNamespace ? "its namespace" : "");
  field(out, "canonical", service.canonical ? "" : "false");
  return out;
}

std::string print(const model::Policy& policy) {
  constexpr std::string_view kScopes[] = {"global", "namespace", "selector"};
  std::string out = "policy " + policy.key() + ":\n";
  field(out, "scope", std::string(kScopes[static_cast<int>(policy.scope)]));
  field(out, "action", policy.action == model::Policy::Action::kAllow ? "allow" : "deny");
  for (const model::Rule& rule : policy.rules) {
    out += "  rule:\n";
    for (const model::Clause& clause : rule.clauses) {
      out += "    any of: [" +
             join(clause.matches,
                  [](const model::Match& match) { return match.empty() ? std::string("{never}") : "{" + match.text() + "}"; }) +
             "]\n";
    }
    if (rule.clauses.empty()) out += "    everything\n";
  }
  if (policy.rules.empty()) out += "  rule: none, matches nothing\n";
  field(out, "dry run", policy.dry_run ? "true" : "");
  field(out, "invalid", policy.invalid);
  return out;
}

}  // namespace culvert::golden
