#include <boost/json.hpp>

#include "common/dump/dump.h"

namespace culvert::dump {
namespace {

namespace json = boost::json;

template <class T, class Text>
json::array list(const std::vector<T>& values, Text text) {
  json::array out;
  for (const auto& value : values) out.emplace_back(text(value));
  return out;
}

void put_unless_empty(json::object& out, const char* key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}

json::object gateway(const model::GatewayAddress& address) {
  const auto* service = std::get_if<model::ServiceName>(&address.destination);
  const std::string where = service != nullptr ? service->text() : std::get<model::NetworkAddress>(address.destination).text();
  return {{"destination", where}, {"hboneMtlsPort", address.hbone_port}};
}

json::object ports_of(const model::PortMap& ports) {
  json::object out;
  for (const auto& [from, to] : ports) out[std::to_string(from)] = to;
  return out;
}

std::string_view text(model::Health health) { return health == model::Health::kHealthy ? "Healthy" : "Unhealthy"; }

json::object workload(const model::Workload& from) {
  json::object out;
  out["workloadIps"] = list(from.addresses, [](const IpAddress& address) { return json::value(address.text()); });
  if (from.waypoint) out["waypoint"] = gateway(*from.waypoint);
  if (from.network_gateway) out["networkGateway"] = gateway(*from.network_gateway);
  out["protocol"] = from.protocol == model::TunnelProtocol::kHbone ? "HBONE" : "TCP";
  out["networkMode"] = from.network_mode == model::NetworkMode::kHostNetwork ? "HostNetwork" : "Standard";
  put_unless_empty(out, "uid", from.uid);
  out["name"] = from.name;
  out["namespace"] = from.name_space;
  put_unless_empty(out, "trustDomain", from.trust_domain);
  put_unless_empty(out, "serviceAccount", from.service_account);
  put_unless_empty(out, "network", from.network);
  put_unless_empty(out, "workloadName", from.workload_name);
  out["workloadType"] = model::name(from.type);
  put_unless_empty(out, "canonicalName", from.canonical_name);
  put_unless_empty(out, "canonicalRevision", from.canonical_revision);
  put_unless_empty(out, "hostname", from.hostname);
  put_unless_empty(out, "node", from.node);
  if (from.native_tunnel) out["nativeTunnel"] = true;
  if (from.application_tunnel) {
    const bool proxy = from.application_tunnel->protocol == model::ApplicationTunnel::Protocol::kProxy;
    out["applicationTunnel"] = json::object{{"protocol", proxy ? "PROXY" : "NONE"}, {"port", from.application_tunnel->port}};
  }
  if (!from.policies.empty())
    out["authorizationPolicies"] = list(from.policies, [](const std::string& name) { return json::value(name); });
  out["status"] = text(from.health);
  out["clusterId"] = from.cluster_id;
  json::object locality;
  put_unless_empty(locality, "region", from.locality.region);
  put_unless_empty(locality, "zone", from.locality.zone);
  put_unless_empty(locality, "subzone", from.locality.subzone);
  if (!locality.empty()) out["locality"] = std::move(locality);
  json::array services;
  for (const auto& [name, ports] : from.services) services.emplace_back(name);
  if (!services.empty()) out["services"] = std::move(services);
  out["capacity"] = from.capacity;
  return out;
}

std::string_view text(model::LoadBalancing::Scope scope) {
  using Scope = model::LoadBalancing::Scope;
  switch (scope) {
    case Scope::kRegion: return "Region";
    case Scope::kZone: return "Zone";
    case Scope::kSubzone: return "Subzone";
    case Scope::kNode: return "Node";
    case Scope::kCluster: return "Cluster";
    case Scope::kNetwork: return "Network";
    case Scope::kUnspecified: break;
  }
  return "Unspecified";
}

json::object balancing(const model::LoadBalancing& from) {
  using Mode = model::LoadBalancing::Mode;
  json::object out;
  out["routingPreferences"] = list(from.routing_preference, [](auto scope) { return json::value(text(scope)); });
  out["mode"] = from.mode == Mode::kStrict        ? "Strict"
                : from.mode == Mode::kFailover    ? "Failover"
                : from.mode == Mode::kPassthrough ? "Passthrough"
                                                  : "Standard";
  out["healthPolicy"] = from.health_policy == model::LoadBalancing::HealthPolicy::kAllowAll ? "AllowAll" : "OnlyHealthy";
  return out;
}

json::object service(const model::Service& from, const model::ServiceState& state) {
  json::object out;
  out["name"] = from.name;
  out["namespace"] = from.name_space;
  out["hostname"] = from.hostname;
  json::array vips, ranges;
  for (const auto& vip : from.vips) {
    const std::string address = vip.network + "/" + vip.range.address.text();
    if (vip.is_host()) vips.emplace_back(address);
    else ranges.emplace_back(address + "/" + std::to_string(vip.range.length));
  }
  out["vips"] = std::move(vips);
  if (!ranges.empty()) out["cidrVips"] = std::move(ranges);
  json::object ports;
  for (const auto& port : from.ports) ports[std::to_string(port.service_port)] = port.target_port;
  out["ports"] = std::move(ports);
  json::object endpoints;
  state.endpoints.for_each([&](const std::string& uid, const model::ServiceEndpoint& endpoint) {
    endpoints[uid] =
        json::object{{"workloadUid", uid}, {"port", ports_of(endpoint.ports)}, {"status", text(endpoint.workload->health)}};
  });
  out["endpoints"] = std::move(endpoints);
  out["subjectAltNames"] = list(from.subject_alt_names, [](const std::string& name) { return json::value(name); });
  if (from.waypoint) out["waypoint"] = gateway(*from.waypoint);
  if (!from.weighted_waypoints.empty()) {
    out["weightedWaypoints"] = list(from.weighted_waypoints, [](const model::WeightedWaypoint& each) {
      return json::value{{"destination", gateway(each.destination)}, {"weight", each.weight}};
    });
  }
  if (from.load_balancing) out["loadBalancer"] = balancing(*from.load_balancing);
  if (from.ip_families != model::IpFamilies::kAutomatic) {
    using F = model::IpFamilies;
    out["ipFamilies"] = from.ip_families == F::kIpv4Only ? "IPv4" : from.ip_families == F::kIpv6Only ? "IPv6" : "Dual";
  }
  out["canonical"] = from.canonical;
  out["visibility"] = from.visibility == model::Visibility::kPublic ? "Public" : "Namespace";
  return out;
}

json::value string_match(const model::StringMatch& from) {
  using Kind = model::StringMatch::Kind;
  switch (from.kind) {
    case Kind::kExact: return {{"Exact", from.value}};
    case Kind::kPrefix: return {{"Prefix", from.value}};
    case Kind::kSuffix: return {{"Suffix", from.value}};
    case Kind::kPresence: break;
  }
  return json::object{{"Presence", json::array{}}};
}

json::object match(const model::Match& from) {
  const auto strings = [](const std::vector<model::StringMatch>& values) { return list(values, string_match); };
  const auto accounts = [](const std::vector<model::ServiceAccountMatch>& values) {
    return list(values, [](const model::ServiceAccountMatch& each) {
      return json::value{{"namespace", each.name_space}, {"serviceAccount", each.service_account}};
    });
  };
  const auto ranges = [](const std::vector<Cidr>& values) {
    return list(values, [](const Cidr& range) { return json::value(range.text()); });
  };
  const auto numbers = [](const std::vector<std::uint16_t>& values) {
    return list(values, [](std::uint16_t port) { return json::value(port); });
  };
  return {{"namespaces", strings(from.namespaces)},
          {"notNamespaces", strings(from.not_namespaces)},
          {"serviceAccounts", accounts(from.service_accounts)},
          {"notServiceAccounts", accounts(from.not_service_accounts)},
          {"principals", strings(from.principals)},
          {"notPrincipals", strings(from.not_principals)},
          {"sourceIps", ranges(from.source_ips)},
          {"notSourceIps", ranges(from.not_source_ips)},
          {"destinationIps", ranges(from.destination_ips)},
          {"notDestinationIps", ranges(from.not_destination_ips)},
          {"destinationPorts", numbers(from.destination_ports)},
          {"notDestinationPorts", numbers(from.not_destination_ports)}};
}

json::object policy(const model::Policy& from) {
  using Scope = model::Policy::Scope;
  json::object out;
  out["name"] = from.name;
  out["namespace"] = from.name_space;
  out["scope"] = from.scope == Scope::kGlobal ? "Global" : from.scope == Scope::kNamespace ? "Namespace" : "WorkloadSelector";
  out["action"] = from.action == model::Policy::Action::kAllow ? "Allow" : "Deny";
  out["rules"] = list(from.rules, [](const model::Rule& rule) {
    return json::value(list(rule.clauses, [](const model::Clause& clause) {
      return json::value(list(clause.matches, [](const model::Match& each) { return json::value(match(each)); }));
    }));
  });
  out["dryRun"] = from.dry_run;
  if (!from.invalid.empty()) out["invalid"] = from.invalid;
  return out;
}

}  // namespace

boost::json::object write(const model::Mesh& mesh) {
  json::array workloads, services, policies;
  json::object staged;
  mesh.each_workload([&](const model::WorkloadRef& each) { workloads.emplace_back(workload(*each)); });
  mesh.each_service([&](std::string_view key, const model::ServiceState& state) {
    if (state.service) {
      services.emplace_back(service(*state.service, state));
      return;
    }
    json::object waiting;
    state.endpoints.for_each(
        [&](const std::string& uid, const model::ServiceEndpoint& endpoint) { waiting[uid] = ports_of(endpoint.ports); });
    staged[key] = std::move(waiting);
  });
  mesh.each_policy([&](const model::PolicyRef& each) { policies.emplace_back(policy(*each)); });
  return {{"workloads", std::move(workloads)},
          {"services", std::move(services)},
          {"policies", std::move(policies)},
          {"stagedServices", std::move(staged)}};
}

}  // namespace culvert::dump
