#include "tests/integration/explain/random_mesh.h"

#include "common/base/format.h"

namespace culvert::test {
namespace {

using model::StringMatch;

const std::vector<std::string> kNamespaces = {"a", "b", "istio-system"};
const std::vector<std::string> kAccounts = {"x", "y"};
const std::vector<std::uint16_t> kPorts = {80, 81, 8080, 9090};

StringMatch principal(Chance& chance) {
  switch (chance.below(6)) {
    case 0: return StringMatch::parse("*");
    case 1: return StringMatch::parse("cluster.local/ns/" + chance.of(kNamespaces) + "/*");
    case 2: return StringMatch::parse("*/sa/" + chance.of(kAccounts));
    default: return StringMatch::parse("cluster.local/ns/" + chance.of(kNamespaces) + "/sa/" + chance.of(kAccounts));
  }
}

StringMatch name_space(Chance& chance) {
  return chance.one_in(4) ? StringMatch::parse(chance.one_in(2) ? "*" : "a*") : StringMatch::parse(chance.of(kNamespaces));
}

Cidr range(Chance& chance) {
  static const std::vector<std::string> kRanges = {"10.0.0.0/29", "10.0.0.4/30", "0.0.0.0/0", "fd00::/64", "10.0.0.2/32"};
  return *Cidr::parse(chance.of(kRanges));
}

model::Match make_match(Chance& chance) {
  model::Match out;
  if (chance.one_in(3)) out.principals.push_back(principal(chance));
  if (chance.one_in(3)) out.principals.push_back(principal(chance));
  if (chance.one_in(8)) out.not_principals.push_back(principal(chance));
  if (chance.one_in(5)) out.namespaces.push_back(name_space(chance));
  if (chance.one_in(10)) out.not_namespaces.push_back(name_space(chance));
  if (chance.one_in(6)) out.service_accounts.push_back({chance.of(kNamespaces), chance.of(kAccounts)});
  if (chance.one_in(12)) out.not_service_accounts.push_back({chance.of(kNamespaces), chance.of(kAccounts)});
  if (chance.one_in(6)) out.source_ips.push_back(range(chance));
  if (chance.one_in(12)) out.not_source_ips.push_back(range(chance));
  if (chance.one_in(8)) out.destination_ips.push_back(range(chance));
  if (chance.one_in(12)) out.not_destination_ips.push_back(range(chance));
  if (chance.one_in(3)) out.destination_ports.push_back(chance.of(kPorts));
  if (chance.one_in(10)) out.not_destination_ports.push_back(chance.of(kPorts));
  return out;
}

model::Policy make_policy(Chance& chance, std::size_t number) {
  using Scope = model::Policy::Scope;
  model::Policy out;
  out.name = "p" + std::to_string(number);
  out.name_space = chance.of(kNamespaces);
  out.scope = chance.one_in(6) ? Scope::kGlobal : chance.one_in(2) ? Scope::kNamespace : Scope::kWorkloadSelector;
  out.action = chance.one_in(2) ? model::Policy::Action::kDeny : model::Policy::Action::kAllow;
  out.dry_run = chance.one_in(10);
  if (chance.one_in(40)) {  // as it is derived and travels
    out.action = model::Policy::Action::kDeny;
    out.invalid = "spec.action: unknown value";
    out.rules.emplace_back();
    return out;
  }
  for (std::size_t rules = chance.below(3); rules > 0; --rules) {
    model::Rule& rule = out.rules.emplace_back();
    for (std::size_t clauses = chance.below(3); clauses > 0; --clauses) {
      model::Clause& clause = rule.clauses.emplace_back();
      for (std::size_t matches = chance.below(3); matches > 0; --matches) clause.matches.push_back(make_match(chance));
    }
  }
  return out;
}

// Of somebody else, often.
Cidr claim(Chance& chance) {
  static const std::vector<std::string> kClaims = {"10.0.0.0/29", "0.0.0.0/0", "10.0.0.2/32", "10.96.0.1/32", "10.96.0.0/24"};
  return *Cidr::parse(chance.of(kClaims));
}

model::Service make_service(Chance& chance, std::size_t number) {
  using Balancing = model::LoadBalancing;
  model::Service out;
  out.name = "s" + std::to_string(number);
  out.name_space = chance.of(kNamespaces);
  out.hostname = out.name + "." + out.name_space + ".svc.cluster.local";
  out.vips.push_back({"", *Cidr::parse(culvert::format("10.96.0.{}/32", number + 1))});
  if (!chance.one_in(3))
    out.ip_families = model::IpFamilies::kDual;  // else a ServiceEntry's, whose author may have written anything
  else if (chance.one_in(2)) out.vips.front() = {"", claim(chance)};
  if (chance.one_in(3)) out.vips.push_back({"", *Cidr::parse(culvert::format("fd00:96::{}/128", number + 1))});
  out.ports = {{80, 8080}, {81, 0}};
  if (chance.one_in(4)) out.subject_alt_names = {"spiffe://cluster.local/ns/b/sa/other", "not spiffe"};
  if (chance.one_in(12)) out.waypoint = model::GatewayAddress{model::ServiceName{"a", "wp"}, 15008};
  if (chance.one_in(3)) {
    Balancing balancing;
    const std::vector<Balancing::Mode> modes = {Balancing::Mode::kUnspecified, Balancing::Mode::kStrict,
                                                Balancing::Mode::kFailover, Balancing::Mode::kPassthrough};
    balancing.mode = chance.of(modes);
    for (const auto scope : {Balancing::Scope::kNetwork, Balancing::Scope::kZone, Balancing::Scope::kNode})
      if (chance.one_in(2)) balancing.routing_preference.push_back(scope);
    if (chance.one_in(4)) balancing.health_policy = Balancing::HealthPolicy::kAllowAll;
    out.load_balancing = balancing;
  }
  if (chance.one_in(8)) out.visibility = model::Visibility::kNamespace;
  return out;
}

model::Workload make_workload(Chance& chance, std::size_t number, const RandomMesh& mesh) {
  model::Workload out;
  out.name = "w" + std::to_string(number);
  out.name_space = chance.of(kNamespaces);
  out.uid = "Kubernetes//Pod/" + out.name_space + "/" + out.name;
  out.service_account = chance.of(kAccounts);
  out.node = chance.one_in(2) ? "n1" : "n2";
  out.locality = {"r", chance.one_in(2) ? "z1" : "z2", ""};
  out.addresses.push_back(*IpAddress::parse(culvert::format("10.0.0.{}", number + 1)));
  if (chance.one_in(3)) out.addresses.push_back(*IpAddress::parse(culvert::format("fd00::{}", number + 1)));
  if (!chance.one_in(5)) out.protocol = model::TunnelProtocol::kHbone;
  if (chance.one_in(8)) out.health = model::Health::kUnhealthy;
  if (chance.one_in(8)) out.capacity = static_cast<std::uint32_t>(chance.below(4));
  if (chance.one_in(20)) out.network = "net2";
  if (chance.one_in(25)) out.native_tunnel = true;
  if (chance.one_in(25)) out.trust_domain = "other";
  if (chance.one_in(25)) out.waypoint = model::GatewayAddress{model::ServiceName{"a", "wp"}, 15008};
  if (chance.one_in(25)) out.application_tunnel = model::ApplicationTunnel{model::ApplicationTunnel::Protocol::kNone, 8080};
  for (const model::Service& service : mesh.services) {
    if (!chance.one_in(2)) continue;
    model::PortMap ports;
    if (chance.one_in(2)) ports[80] = 9090;
    if (chance.one_in(2)) ports[81] = chance.one_in(4) ? 0 : 8081;
    out.services[service.key()] = std::move(ports);
  }
  for (const model::Policy& policy : mesh.policies) {
    if (policy.scope == model::Policy::Scope::kWorkloadSelector && chance.one_in(2)) out.policies.push_back(policy.key());
  }
  if (chance.one_in(60)) out.policies.emplace_back("a/not-there");
  return out;
}

}  // namespace

RandomMesh make_mesh(Chance& chance) {
  RandomMesh out;
  for (std::size_t i = chance.below(6); i > 0; --i) out.policies.push_back(make_policy(chance, i));
  for (std::size_t i = 0; i < 1 + chance.below(3); ++i) out.services.push_back(make_service(chance, i));
  for (std::size_t i = 0; i < 3 + chance.below(6); ++i) out.workloads.push_back(make_workload(chance, i, out));
  return out;
}

Endpoint make_destination(Chance& chance, const RandomMesh& mesh) {
  static const std::vector<std::uint16_t> kServicePorts = {80, 80, 81, 90};
  static const std::vector<std::uint16_t> kPodPorts = {80, 8080, 9090, 15008, 15006};
  switch (chance.below(8)) {
    case 0: return {*IpAddress::parse("10.0.9.9"), 80};
    case 1: return {*IpAddress::parse("127.0.0.1"), chance.one_in(2) ? std::uint16_t{15001} : std::uint16_t{80}};
    case 2:
    case 3:
    case 4: return {chance.of(chance.of(mesh.workloads).addresses), chance.of(kPodPorts)};
    default: return {chance.of(chance.of(mesh.services).vips).range.address, chance.of(kServicePorts)};
  }
}

}  // namespace culvert::test
