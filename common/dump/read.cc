#include <boost/json.hpp>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/format.h"
#include "common/dump/dump.h"

namespace culvert::dump {
namespace {

namespace json = boost::json;

// One object of the dump, and where it stands. The first mistake is kept; what is read after it is of no use.
class Fields {
 public:
  Fields(const json::object& in, std::string path, std::optional<Error>& wrong)
      : in_(in), path_(std::move(path)), wrong_(wrong) {}

  void refuse(std::string_view name, std::string_view why) const {
    if (!wrong_) wrong_ = Error{culvert::format("{}.{}: {}", path_, name, why)};
  }
  const json::value* find(std::string_view name) const {
    const auto* value = in_.if_contains(name);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  std::string text(std::string_view name, std::string_view fallback = "") const {
    const auto* value = find(name);
    if (value == nullptr) return std::string(fallback);
    if (!value->is_string()) return refuse(name, "is no text"), "";
    return std::string(value->as_string());
  }
  bool flag(std::string_view name) const {
    const auto* value = find(name);
    if (value == nullptr) return false;
    if (!value->is_bool()) refuse(name, "is neither true nor false");
    return value->is_bool() && value->as_bool();
  }
  std::uint64_t number(std::string_view name, std::uint64_t most, std::uint64_t fallback = 0) const {
    const auto* value = find(name);
    if (value == nullptr) return fallback;
    boost::system::error_code error;
    const auto got = value->to_number<std::uint64_t>(error);
    if (error || got > most) return refuse(name, culvert::format("is no number up to {}", most)), 0;
    return got;
  }
  // One of the words; `fallback` when it is not there.
  template <class T>
  T word(std::string_view name, T fallback, std::initializer_list<std::pair<std::string_view, T>> words) const {
    if (find(name) == nullptr) return fallback;
    const std::string said = text(name);
    for (const auto& [word, value] : words)
      if (said == word) return value;
    refuse(name, "\"" + said + "\" is not known");
    return fallback;
  }
  // Each item of an array, with its own path.
  template <class Each>
  void each(std::string_view name, Each visit) const {
    const auto* value = find(name);
    if (value == nullptr) return;
    if (!value->is_array()) return refuse(name, "is no array");
    for (std::size_t i = 0; i < value->as_array().size(); ++i) visit(value->as_array()[i], culvert::format("{}[{}]", name, i));
  }
  template <class Each>
  void each_object(std::string_view name, Each visit) const {
    each(name, [&](const json::value& one, const std::string& its) {
      if (!one.is_object()) return refuse(its, "is no object");
      visit(Fields(one.as_object(), path_ + "." + its, wrong_));
    });
  }
  // Each member of an object.
  template <class Each>
  void members(std::string_view name, Each visit) const {
    const auto* value = find(name);
    if (value == nullptr) return;
    if (!value->is_object()) return refuse(name, "is no object");
    for (const auto& [key, one] : value->as_object())
      visit(std::string(key), one, culvert::format("{}.{}", name, std::string_view(key)));
  }
  std::vector<std::string> texts(std::string_view name) const {
    std::vector<std::string> out;
    each(name, [&](const json::value& one, const std::string& its) {
      if (one.is_string()) out.emplace_back(one.as_string());
      else refuse(its, "is no text");
    });
    return out;
  }
  // Each text of an array, read by `parse`.
  template <class T>
  std::vector<T> parsed(std::string_view name, Result<T> (*parse)(std::string_view)) const {
    std::vector<T> out;
    each(name, [&](const json::value& one, const std::string& its) {
      auto value = one.is_string() ? parse(std::string_view(one.as_string())) : failure("is no text");
      if (value) out.push_back(std::move(*value));
      else refuse(its, value.error().text);
    });
    return out;
  }
  std::optional<Fields> object(std::string_view name) const {
    const auto* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) return refuse(name, "is no object"), std::nullopt;
    return Fields(value->as_object(), path_ + "." + std::string(name), wrong_);
  }
  Fields of(const json::value& one, const std::string& its) const {
    static const json::object kNone;
    if (!one.is_object()) refuse(its, "is no object");
    return {one.is_object() ? one.as_object() : kNone, path_ + "." + its, wrong_};
  }

 private:
  const json::object& in_;
  std::string path_;
  std::optional<Error>& wrong_;
};

constexpr std::uint64_t kMostPort = 65535;

model::PortMap ports_of(const Fields& in, std::string_view name) {
  model::PortMap out;
  in.members(name, [&](const std::string& key, const json::value& value, const std::string& its) {
    std::uint16_t from = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), from);
    boost::system::error_code bad;
    const auto to = value.to_number<std::uint64_t>(bad);
    if (error != std::errc() || end != key.data() + key.size() || bad || to > kMostPort)
      return in.refuse(its, "is no pair of ports");
    out[from] = static_cast<std::uint16_t>(to);
  });
  return out;
}

std::optional<model::GatewayAddress> gateway_of(const Fields& in, std::string_view name) {
  const auto fields = in.object(name);
  if (!fields) return std::nullopt;
  model::GatewayAddress out;
  out.hbone_port = static_cast<std::uint16_t>(fields->number("hboneMtlsPort", kMostPort));
  const std::string where = fields->text("destination");
  if (auto address = model::NetworkAddress::parse(where)) out.destination = std::move(*address);
  else if (auto service = model::ServiceName::parse(where)) out.destination = std::move(*service);
  else fields->refuse("destination", "\"" + where + "\" is neither NAMESPACE/HOST nor NETWORK/ADDRESS");
  return out;
}

model::Workload workload_of(const Fields& in) {
  model::Workload out;
  out.uid = in.text("uid");
  if (out.uid.empty()) in.refuse("uid", "is missing");
  out.name = in.text("name");
  out.name_space = in.text("namespace");
  out.addresses = in.parsed<IpAddress>("workloadIps", IpAddress::parse);
  out.hostname = in.text("hostname");
  out.network = in.text("network");
  using Mode = model::NetworkMode;
  out.network_mode =
      in.word("networkMode", Mode::kStandard, {{"Standard", Mode::kStandard}, {"HostNetwork", Mode::kHostNetwork}});
  using Tunnel = model::TunnelProtocol;
  out.protocol = in.word("protocol", Tunnel::kNone, {{"TCP", Tunnel::kNone}, {"HBONE", Tunnel::kHbone}});
  out.native_tunnel = in.flag("nativeTunnel");
  out.trust_domain = in.text("trustDomain", model::kDefaultTrustDomain);
  out.service_account = in.text("serviceAccount", model::kDefaultServiceAccount);
  out.node = in.text("node");
  out.cluster_id = in.text("clusterId", model::kDefaultCluster);
  out.canonical_name = in.text("canonicalName");
  out.canonical_revision = in.text("canonicalRevision");
  using Type = model::WorkloadType;
  out.type = in.word("workloadType", Type::kDeployment,
                     {{"deployment", Type::kDeployment}, {"cronjob", Type::kCronJob}, {"pod", Type::kPod}, {"job", Type::kJob}});
  out.workload_name = in.text("workloadName");
  if (const auto locality = in.object("locality"))
    out.locality = {locality->text("region"), locality->text("zone"), locality->text("subzone")};
  using Health = model::Health;
  out.health = in.word("status", Health::kHealthy, {{"Healthy", Health::kHealthy}, {"Unhealthy", Health::kUnhealthy}});
  out.capacity = static_cast<std::uint32_t>(in.number("capacity", 0xffffffff, 1));
  out.waypoint = gateway_of(in, "waypoint");
  out.network_gateway = gateway_of(in, "networkGateway");
  if (const auto tunnel = in.object("applicationTunnel")) {
    using Protocol = model::ApplicationTunnel::Protocol;
    out.application_tunnel = {tunnel->word("protocol", Protocol::kNone, {{"NONE", Protocol::kNone}, {"PROXY", Protocol::kProxy}}),
                              static_cast<std::uint16_t>(tunnel->number("port", kMostPort))};
  }
  out.policies = in.texts("authorizationPolicies");
  for (const std::string& service : in.texts("services")) out.services[service];
  return out;
}

std::optional<model::LoadBalancing> balancing_of(const Fields& in) {
  using Balancing = model::LoadBalancing;
  using Scope = Balancing::Scope;
  const auto fields = in.object("loadBalancer");
  if (!fields) return std::nullopt;
  Balancing out;
  static const std::map<std::string, Scope, std::less<>> kScopes = {
      {"Region", Scope::kRegion},   {"Zone", Scope::kZone},       {"Subzone", Scope::kSubzone},        {"Node", Scope::kNode},
      {"Cluster", Scope::kCluster}, {"Network", Scope::kNetwork}, {"Unspecified", Scope::kUnspecified}};
  for (const std::string& said : fields->texts("routingPreferences")) {
    const auto scope = kScopes.find(said);
    if (scope == kScopes.end()) fields->refuse("routingPreferences", "\"" + said + "\" is not known");
    else out.routing_preference.push_back(scope->second);
  }
  using Mode = Balancing::Mode;
  out.mode = fields->word("mode", Mode::kUnspecified,
                          {{"Standard", Mode::kUnspecified},
                           {"Strict", Mode::kStrict},
                           {"Failover", Mode::kFailover},
                           {"Passthrough", Mode::kPassthrough}});
  using Policy = Balancing::HealthPolicy;
  out.health_policy = fields->word("healthPolicy", Policy::kOnlyHealthy,
                                   {{"OnlyHealthy", Policy::kOnlyHealthy}, {"AllowAll", Policy::kAllowAll}});
  return out;
}

std::vector<model::Vip> vips_of(const Fields& in) {
  std::vector<model::Vip> out;
  for (const std::string& text : in.texts("vips")) {
    const auto address = model::NetworkAddress::parse(text);
    const auto host = address ? Cidr::make(address->address, static_cast<unsigned>(address->address.bytes().size() * 8))
                              : failure("\"" + text + "\" is not NETWORK/ADDRESS");
    if (host) out.push_back({address->network, *host});
    else in.refuse("vips", host.error().text);
  }
  for (const std::string& text : in.texts("cidrVips")) {
    const auto slash = text.find('/');
    const auto range = slash == text.npos ? failure("") : Cidr::parse(std::string_view(text).substr(slash + 1));
    if (range) out.push_back({text.substr(0, slash), *range});
    else in.refuse("cidrVips", "\"" + text + "\" is not NETWORK/ADDRESS/LENGTH");
  }
  return out;
}

model::Service service_of(const Fields& in) {
  model::Service out;
  out.name = in.text("name");
  out.name_space = in.text("namespace");
  out.hostname = in.text("hostname");
  if (out.hostname.empty()) in.refuse("hostname", "is missing");
  out.vips = vips_of(in);
  for (const auto& [from, to] : ports_of(in, "ports")) out.ports.push_back({from, to});
  out.subject_alt_names = in.texts("subjectAltNames");
  out.waypoint = gateway_of(in, "waypoint");
  in.each_object("weightedWaypoints", [&](const Fields& one) {
    if (const auto destination = gateway_of(one, "destination"))
      out.weighted_waypoints.push_back({*destination, static_cast<std::uint32_t>(one.number("weight", 0xffffffff))});
  });
  out.load_balancing = balancing_of(in);
  using Families = model::IpFamilies;
  out.ip_families = in.word("ipFamilies", Families::kAutomatic,
                            {{"IPv4", Families::kIpv4Only}, {"IPv6", Families::kIpv6Only}, {"Dual", Families::kDual}});
  out.canonical = in.flag("canonical");
  using Visibility = model::Visibility;
  out.visibility =
      in.word("visibility", Visibility::kPublic, {{"Public", Visibility::kPublic}, {"Namespace", Visibility::kNamespace}});
  return out;
}

std::vector<model::StringMatch> matches_of(const Fields& in, std::string_view name) {
  using Kind = model::StringMatch::Kind;
  std::vector<model::StringMatch> out;
  in.each_object(name, [&](const Fields& one) {
    if (one.find("Exact")) out.push_back({Kind::kExact, one.text("Exact")});
    else if (one.find("Prefix")) out.push_back({Kind::kPrefix, one.text("Prefix")});
    else if (one.find("Suffix")) out.push_back({Kind::kSuffix, one.text("Suffix")});
    else if (one.find("Presence")) out.push_back({Kind::kPresence, ""});
    else one.refuse("Exact", "and Prefix, Suffix and Presence are missing");
  });
  return out;
}

std::vector<model::ServiceAccountMatch> accounts_of(const Fields& in, std::string_view name) {
  std::vector<model::ServiceAccountMatch> out;
  in.each_object(name, [&](const Fields& one) { out.push_back({one.text("namespace"), one.text("serviceAccount")}); });
  return out;
}

std::vector<std::uint16_t> ports_list(const Fields& in, std::string_view name) {
  std::vector<std::uint16_t> out;
  in.each(name, [&](const json::value& one, const std::string& its) {
    boost::system::error_code error;
    const auto port = one.to_number<std::uint64_t>(error);
    if (error || port > kMostPort) in.refuse(its, "is no port");
    else out.push_back(static_cast<std::uint16_t>(port));
  });
  return out;
}

model::Match match_of(const Fields& in) {
  model::Match out;
  out.namespaces = matches_of(in, "namespaces"), out.not_namespaces = matches_of(in, "notNamespaces");
  out.principals = matches_of(in, "principals"), out.not_principals = matches_of(in, "notPrincipals");
  out.service_accounts = accounts_of(in, "serviceAccounts"), out.not_service_accounts = accounts_of(in, "notServiceAccounts");
  out.source_ips = in.parsed<Cidr>("sourceIps", Cidr::parse), out.not_source_ips = in.parsed<Cidr>("notSourceIps", Cidr::parse);
  out.destination_ips = in.parsed<Cidr>("destinationIps", Cidr::parse);
  out.not_destination_ips = in.parsed<Cidr>("notDestinationIps", Cidr::parse);
  out.destination_ports = ports_list(in, "destinationPorts"), out.not_destination_ports = ports_list(in, "notDestinationPorts");
  return out;
}

model::Policy policy_of(const Fields& in) {
  using Scope = model::Policy::Scope;
  using Action = model::Policy::Action;
  model::Policy out;
  out.name = in.text("name");
  out.name_space = in.text("namespace");
  out.scope =
      in.word("scope", Scope::kGlobal,
              {{"Global", Scope::kGlobal}, {"Namespace", Scope::kNamespace}, {"WorkloadSelector", Scope::kWorkloadSelector}});
  out.action = in.word("action", Action::kAllow, {{"Allow", Action::kAllow}, {"Deny", Action::kDeny}});
  for (const char* needed : {"name", "scope", "action"})
    if (!in.find(needed)) in.refuse(needed, "is missing");
  out.dry_run = in.flag("dryRun");
  out.invalid = in.text("invalid");
  in.each("rules", [&](const json::value& rule, const std::string& its_rule) {
    model::Rule& made = out.rules.emplace_back();
    if (!rule.is_array()) return in.refuse(its_rule, "is no array");
    for (std::size_t c = 0; c < rule.as_array().size(); ++c) {
      const json::value& clause = rule.as_array()[c];
      const std::string its_clause = culvert::format("{}[{}]", its_rule, c);
      model::Clause& filled = made.clauses.emplace_back();
      if (!clause.is_array()) return in.refuse(its_clause, "is no array");
      for (std::size_t m = 0; m < clause.as_array().size(); ++m)
        filled.matches.push_back(match_of(in.of(clause.as_array()[m], culvert::format("{}[{}]", its_clause, m))));
    }
  });
  return out;
}

// Which ports a workload maps stands with its services, and with names of services that are not there.
void add_ports(const Fields& all, std::map<std::string, model::Workload>& workloads) {
  const auto put = [&](const std::string& uid, const std::string& service, model::PortMap ports) {
    const auto workload = workloads.find(uid);
    if (workload != workloads.end()) workload->second.services[service] = std::move(ports);
  };
  all.each_object("services", [&](const Fields& service) {
    const std::string key = service.text("namespace") + "/" + service.text("hostname");
    service.members("endpoints", [&](const std::string& uid, const json::value& endpoint, const std::string& its) {
      put(uid, key, ports_of(service.of(endpoint, its), "port"));
    });
  });
  all.members("stagedServices", [&](const std::string& key, const json::value& waiting, const std::string& its) {
    const Fields one = all.of(waiting, its);
    if (!waiting.is_object()) return;
    for (const auto& [uid, ports] : waiting.as_object()) {
      // Ours maps ports at once; Istio's holds an endpoint.
      const bool endpoint = ports.is_object() && ports.as_object().contains("port");
      put(std::string(uid), key, endpoint ? ports_of(one.of(ports, std::string(uid)), "port") : ports_of(one, uid));
    }
  });
}

}  // namespace

Result<std::shared_ptr<const model::Mesh>> read(std::string_view text) {
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) return failure("the dump is no JSON object");
  std::optional<Error> wrong;
  const Fields all(value.as_object(), "dump", wrong);
  for (const char* part : {"workloads", "services", "policies"})
    if (!all.find(part)) all.refuse(part, "is missing (is it a dump of a ztunnel, or culvertd's /debug/config_dump?)");
  std::string preferred;
  if (const auto* config = all.find("config"); config && config->is_object())
    preferred = all.object("config")->text("PREFERED_SERVICE_NAMESPACE");
  model::MeshBuilder builder(preferred);
  std::map<std::string, model::Workload> workloads;
  all.each_object("workloads", [&](const Fields& one) {
    model::Workload workload = workload_of(one);
    const std::string uid = workload.uid;
    workloads.insert_or_assign(uid, std::move(workload));
  });
  add_ports(all, workloads);
  all.each_object("services", [&](const Fields& one) { builder.upsert(service_of(one)); });
  all.each_object("policies", [&](const Fields& one) { builder.upsert(policy_of(one)); });
  for (auto& [uid, workload] : workloads) builder.upsert(std::move(workload));
  if (wrong) return std::unexpected(std::move(*wrong));
  return builder.build();
}

}  // namespace culvert::dump
