// The format of LOCAL_XDS_PATH: what its keys mean.
#include <array>
#include <charconv>
#include <set>

#include "common/base/format.h"
#include "common/xds/local_file.h"
#include "common/xds/yaml.h"

namespace culvert::xds {
namespace {

using model::LoadBalancing;
using model::StringMatch;
using yaml::Node;
using yaml::Object;
using yaml::Reader;

constexpr std::size_t kMaxSize = 64 << 20;

// Puts a parsed value into `out`, or says what is wrong with it.
template <class T>
void take(Reader& reader, const Node& node, const std::string& path, Result<T> value, auto&& out) {
  if (value) out(std::move(*value));
  else reader.fail(node, path, value.error().text);
}

std::uint16_t port_of(Reader& reader, const Node& node, const std::string& path) {
  return static_cast<std::uint16_t>(yaml::number(reader, node, path, 65535));
}

std::uint16_t port_key(Reader& reader, const Node& node, const std::string& key, const std::string& path) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), port);
  if (error != std::errc() || end != key.data() + key.size() || port == 0) reader.fail(node, path, "the key must be a port");
  return port;
}

void read_gateway(Reader& reader, const Node& node, const std::string& path, model::GatewayAddress& out) {
  Object object(reader, node, path);
  const std::string destination = object.required("destination");
  out.hbone_port = object.number<std::uint16_t>("hboneMtlsPort", 15008);
  object.finish();
  if (auto address = model::NetworkAddress::parse(destination)) out.destination = std::move(*address);
  else
    take(reader, node, path + ".destination", model::ServiceName::parse(destination),
         [&](auto name) { out.destination = std::move(name); });
}

void read_ports(Reader& reader, Object& object, std::string_view key, auto&& add) {
  object.each_pair(key, [&](const std::string& from, const Node& node, const std::string& path) {
    add(port_key(reader, node, from, path), port_of(reader, node, path));
  });
}

void read_places(Reader& reader, Object& object, model::Workload& out) {
  object.each("workloadIps", [&](const Node& node, const std::string& path) {
    take(reader, node, path, IpAddress::parse(yaml::scalar(reader, node, path)),
         [&](auto address) { out.addresses.push_back(address); });
  });
  object.with("waypoint",
              [&](const Node& node, const std::string& path) { read_gateway(reader, node, path, out.waypoint.emplace()); });
  object.with("networkGateway", [&](const Node& node, const std::string& path) {
    read_gateway(reader, node, path, out.network_gateway.emplace());
  });
  object.with("applicationTunnel", [&](const Node& node, const std::string& path) {
    Object tunnel(reader, node, path);
    auto& to = out.application_tunnel.emplace();
    to.protocol = static_cast<model::ApplicationTunnel::Protocol>(tunnel.choice("protocol", {"NONE", "PROXY"}));
    to.port = tunnel.number<std::uint16_t>("port", 0);
    tunnel.finish();
  });
  object.with("locality", [&](const Node& node, const std::string& path) {
    Object locality(reader, node, path);
    out.locality = {locality.text("region"), locality.text("zone"), locality.text("subzone")};
    locality.finish();
  });
}

void read_memberships(Reader& reader, Object& object, model::Workload& out) {
  object.each_pair("services", [&](const std::string& key, const Node& node, const std::string& path) {
    if (auto name = model::ServiceName::parse(key); !name) reader.fail(node, path, name.error().text);
    auto& ports = out.services[key];
    if (node.kind == Node::Kind::kNull) return;
    if (node.kind != Node::Kind::kMap) return reader.fail(node, path, "must be a map of service port to target port");
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      ports[port_key(reader, node.items[i], node.keys[i], path)] = port_of(reader, node.items[i], path + "." + node.keys[i]);
    }
  });
  object.each("authorizationPolicies",
              [&](const Node& node, const std::string& path) { out.policies.push_back(yaml::scalar(reader, node, path)); });
}

model::Workload read_workload(Reader& reader, const Node& node, const std::string& path) {
  Object object(reader, node, path);
  model::Workload out;
  out.uid = object.required("uid");
  out.name = object.text("name");
  out.name_space = object.text("namespace");
  out.hostname = object.text("hostname");
  out.network = object.text("network");
  out.network_mode = static_cast<model::NetworkMode>(object.choice("networkMode", {"Standard", "HostNetwork"}));
  out.protocol = static_cast<model::TunnelProtocol>(object.choice("protocol", {"TCP", "HBONE"}));
  out.native_tunnel = object.flag("nativeTunnel");
  out.trust_domain = object.text("trustDomain", model::kDefaultTrustDomain);
  out.service_account = object.text("serviceAccount", model::kDefaultServiceAccount);
  out.node = object.text("node");
  out.cluster_id = object.text("clusterId", model::kDefaultCluster);
  out.canonical_name = object.text("canonicalName");
  out.canonical_revision = object.text("canonicalRevision");
  out.type = static_cast<model::WorkloadType>(object.choice("workloadType", {"deployment", "cronjob", "pod", "job"}));
  out.workload_name = object.text("workloadName");
  out.health = static_cast<model::Health>(object.choice("status", {"Healthy", "Unhealthy"}));
  out.capacity = object.number<std::uint32_t>("capacity", 1);
  read_places(reader, object, out);
  read_memberships(reader, object, out);
  object.finish();
  return out;
}

// "network/address" or "network/address/length".
Result<model::Vip> parse_vip(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == text.npos) return failure("\"" + std::string(text) + "\" is not network/address");
  auto range = Cidr::parse(text.substr(slash + 1));
  if (!range) return std::unexpected(range.error());
  return model::Vip{std::string(text.substr(0, slash)), *range};
}

void read_balancing(Reader& reader, const Node& node, const std::string& path, LoadBalancing& out) {
  Object object(reader, node, path);
  constexpr std::array<std::string_view, 7> kScopes{"Unspecified", "Region", "Zone", "Subzone", "Node", "Cluster", "Network"};
  object.each("routingPreferences", [&](const Node& item, const std::string& at) {
    const auto found = std::ranges::find(kScopes, yaml::scalar(reader, item, at));
    if (found == kScopes.end())
      return reader.fail(item, at, "\"" + item.scalar + "\" is none of Region, Zone, Subzone, Node, Cluster, Network");
    out.routing_preference.push_back(static_cast<LoadBalancing::Scope>(found - kScopes.begin()));
  });
  out.mode = static_cast<LoadBalancing::Mode>(object.choice("mode", {"Standard", "Strict", "Failover", "Passthrough"}));
  out.health_policy = static_cast<LoadBalancing::HealthPolicy>(object.choice("healthPolicy", {"OnlyHealthy", "AllowAll"}));
  object.finish();
}

model::Service read_service(Reader& reader, const Node& node, const std::string& path) {
  Object object(reader, node, path);
  model::Service out;
  out.name = object.text("name");
  out.name_space = object.required("namespace");
  out.hostname = object.required("hostname");
  for (const std::string_view key : {"vips", "cidrVips"}) {
    object.each(key, [&](const Node& item, const std::string& at) {
      take(reader, item, at, parse_vip(yaml::scalar(reader, item, at)), [&](auto vip) { out.vips.push_back(std::move(vip)); });
    });
  }
  read_ports(reader, object, "ports", [&](std::uint16_t from, std::uint16_t to) { out.ports.push_back({from, to}); });
  object.each("subjectAltNames",
              [&](const Node& item, const std::string& at) { out.subject_alt_names.push_back(yaml::scalar(reader, item, at)); });
  object.with("waypoint",
              [&](const Node& item, const std::string& at) { read_gateway(reader, item, at, out.waypoint.emplace()); });
  object.each("weightedWaypoints", [&](const Node& item, const std::string& at) {
    Object weighted(reader, item, at);
    auto& added = out.weighted_waypoints.emplace_back();
    weighted.with("destination",
                  [&](const Node& to, const std::string& where) { read_gateway(reader, to, where, added.destination); });
    added.weight = weighted.number<std::uint32_t>("weight", 0);
    weighted.finish();
  });
  object.with("loadBalancer",
              [&](const Node& item, const std::string& at) { read_balancing(reader, item, at, out.load_balancing.emplace()); });
  out.ip_families = static_cast<model::IpFamilies>(object.choice("ipFamilies", {"Automatic", "IPv4", "IPv6", "Dual"}));
  out.canonical = object.flag("canonical");
  out.visibility = static_cast<model::Visibility>(object.choice("visibility", {"Public", "Namespace"}));
  object.finish();
  return out;
}

// {Exact: x}, {Prefix: x}, {Suffix: x}, {Presence: []}; or a text as AuthorizationPolicy writes it.
StringMatch read_string_match(Reader& reader, const Node& node, const std::string& path) {
  if (node.kind == Node::Kind::kScalar) return StringMatch::parse(node.scalar);
  Object object(reader, node, path);
  if (node.keys.size() != 1) reader.fail(node, path, "must be one of Exact, Prefix, Suffix, Presence");
  StringMatch out;
  object.with("Exact", [&](const Node& value, const std::string& at) {
    out = {StringMatch::Kind::kExact, yaml::scalar(reader, value, at)};
  });
  object.with("Prefix", [&](const Node& value, const std::string& at) {
    out = {StringMatch::Kind::kPrefix, yaml::scalar(reader, value, at)};
  });
  object.with("Suffix", [&](const Node& value, const std::string& at) {
    out = {StringMatch::Kind::kSuffix, yaml::scalar(reader, value, at)};
  });
  object.with("Presence", [&](const Node&, const std::string&) { out = {StringMatch::Kind::kPresence, ""}; });
  object.finish();
  return out;
}

model::ServiceAccountMatch read_account(Reader& reader, const Node& node, const std::string& path) {
  if (node.kind == Node::Kind::kScalar) {
    const auto slash = node.scalar.find('/');
    if (slash == std::string::npos) reader.fail(node, path, "must be namespace/serviceAccount");
    else return {node.scalar.substr(0, slash), node.scalar.substr(slash + 1)};
    return {};
  }
  Object object(reader, node, path);
  model::ServiceAccountMatch out{object.required("namespace"), object.required("serviceAccount")};
  object.finish();
  return out;
}

model::Match read_match(Reader& reader, const Node& node, const std::string& path) {
  Object object(reader, node, path);
  model::Match out;
  const auto strings = [&](std::string_view key, std::vector<StringMatch>& to) {
    object.each(key, [&](const Node& item, const std::string& at) { to.push_back(read_string_match(reader, item, at)); });
  };
  const auto accounts = [&](std::string_view key, std::vector<model::ServiceAccountMatch>& to) {
    object.each(key, [&](const Node& item, const std::string& at) { to.push_back(read_account(reader, item, at)); });
  };
  const auto ranges = [&](std::string_view key, std::vector<Cidr>& to) {
    object.each(key, [&](const Node& item, const std::string& at) {
      take(reader, item, at, Cidr::parse(yaml::scalar(reader, item, at)), [&](auto range) { to.push_back(range); });
    });
  };
  const auto ports = [&](std::string_view key, std::vector<std::uint16_t>& to) {
    object.each(key, [&](const Node& item, const std::string& at) { to.push_back(port_of(reader, item, at)); });
  };
  strings("namespaces", out.namespaces), strings("notNamespaces", out.not_namespaces);
  strings("principals", out.principals), strings("notPrincipals", out.not_principals);
  accounts("serviceAccounts", out.service_accounts), accounts("notServiceAccounts", out.not_service_accounts);
  ranges("sourceIps", out.source_ips), ranges("notSourceIps", out.not_source_ips);
  ranges("destinationIps", out.destination_ips), ranges("notDestinationIps", out.not_destination_ips);
  ports("destinationPorts", out.destination_ports), ports("notDestinationPorts", out.not_destination_ports);
  object.finish();
  return out;
}

model::Policy read_policy(Reader& reader, const Node& node, const std::string& path) {
  Object object(reader, node, path);
  model::Policy out;
  out.name = object.required("name");
  out.name_space = object.text("namespace");
  out.scope = static_cast<model::Policy::Scope>(object.choice("scope", {"Global", "Namespace", "WorkloadSelector"}));
  out.action = static_cast<model::Policy::Action>(object.choice("action", {"Allow", "Deny"}));
  out.dry_run = object.flag("dryRun");
  object.each("rules", [&](const Node& rule, const std::string& rule_path) {
    auto& clauses = out.rules.emplace_back().clauses;
    yaml::each_item(reader, rule, rule_path, [&](const Node& clause, const std::string& clause_path) {
      auto& matches = clauses.emplace_back().matches;
      yaml::each_item(reader, clause, clause_path,
                      [&](const Node& match, const std::string& at) { matches.push_back(read_match(reader, match, at)); });
    });
  });
  // What a policy does when nobody says it is too important to guess.
  for (const std::string_view key : {"scope", "action"}) {
    if (std::ranges::find(node.keys, key) == node.keys.end()) reader.fail(node, path, "\"" + std::string(key) + "\" is missing");
  }
  object.finish();
  return out;
}

}  // namespace

Result<LocalConfig> parse_local(std::string_view yaml, std::string_view origin) {
  if (yaml.size() > kMaxSize)
    return failure(culvert::format("{}: {} bytes are too many for a file of configuration", origin, yaml.size()));
  auto root = yaml::parse(yaml, origin);
  if (!root) return std::unexpected(root.error());
  Reader reader(origin);
  Object object(reader, *root, "");
  LocalConfig out;
  std::set<std::string> seen;
  const auto once = [&](const Node& node, const std::string& path, std::string what) {
    if (const auto [at, added] = seen.insert(std::move(what)); !added) reader.fail(node, path, *at + " occurs twice");
  };
  object.each("workloads", [&](const Node& node, const std::string& path) {
    once(node, path, "workload " + out.workloads.emplace_back(read_workload(reader, node, path)).uid);
  });
  object.each("services", [&](const Node& node, const std::string& path) {
    once(node, path, "service " + out.services.emplace_back(read_service(reader, node, path)).key());
  });
  object.each("policies", [&](const Node& node, const std::string& path) {
    once(node, path, "policy " + out.policies.emplace_back(read_policy(reader, node, path)).key());
  });
  object.finish();
  if (reader.problem()) return std::unexpected(*reader.problem());
  return out;
}

}  // namespace culvert::xds
