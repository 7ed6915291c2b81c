#include "common/derive/waypoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "common/derive/service.h"
#include "common/derive/workload_entry.h"
#include "proto/gateway/gateway.pb.h"

namespace culvert::derive {
namespace {

using config::Kind;
using config::Labels;
using config::value_of;
using culvert::gateway::Gateway;
using culvert::gateway::GatewayClass;
using culvert::gateway::Listener;

constexpr std::uint16_t kHbonePort = 15008;
constexpr std::string_view kFor = "istio.io/waypoint-for";
constexpr std::string_view kInbound = "ambient.istio.io/waypoint-inbound-binding";
constexpr std::string_view kGatewayName = "gateway.networking.k8s.io/gateway-name";

const config::Custom* custom(Kind kind, std::string_view name_space, std::string_view name, const Objects& objects) {
  return objects.find<config::Custom>(kind, name_space, name);
}

const Labels& labels_of_namespace(std::string_view name_space, const Objects& objects) {
  static const Labels kNone;
  const auto* found = objects.find<config::Namespace>(Kind::kNamespace, "", name_space);
  return found ? found->metadata.labels.get() : kNone;
}

bool is_waypoint(const Gateway& gateway, const config::Custom* its_class) {
  constexpr std::array<std::string_view, 3> kWaypoints = {"culvert-waypoint", "istio-waypoint", "istio-agentgateway-waypoint"};
  constexpr std::array<std::string_view, 5> kOthers = {"culvert", "istio", "istio-east-west", "istio-remote",
                                                       "istio-agentgateway"};
  const std::string_view name = gateway.gateway_class_name();
  if (std::ranges::contains(kWaypoints, name)) return true;
  if (std::ranges::contains(kOthers, name)) return false;
  const auto* spec = its_class ? dynamic_cast<const GatewayClass*>(its_class->spec.get()) : nullptr;
  if (spec && spec->controller_name() == "istio.io/mesh-controller") return true;
  return std::ranges::any_of(gateway.listeners(),
                             [](const Listener& one) { return one.protocol() == "HBONE" || one.protocol() == "istio.io/PROXY"; });
}

// "PROXY", "NONE", "PROXY/15088".
std::optional<model::ApplicationTunnel> parse_tunnel(std::string_view text) {
  model::ApplicationTunnel out;
  const std::string_view word = text.substr(0, text.find('/'));
  if (word == "PROXY") out.protocol = model::ApplicationTunnel::Protocol::kProxy;
  else if (word != "NONE") return std::nullopt;
  if (word.size() == text.size()) return out;
  const std::string_view port = text.substr(word.size() + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (error != std::errc() || end != port.data() + port.size()) return std::nullopt;
  return out;
}

std::optional<Waypoint::For> parse_for(std::string_view text) {
  constexpr std::array<std::string_view, 4> kWords = {"service", "workload", "all", "none"};
  const auto found = std::ranges::find(kWords, text);
  if (found == kWords.end()) return std::nullopt;
  return static_cast<Waypoint::For>(found - kWords.begin());
}

// A label or annotation of the Gateway, else of its class.
std::string_view of_gateway_or_class(config::Shared<Labels> config::Metadata::* where, const config::Custom& gateway,
                                     const config::Custom* its_class, std::string_view name) {
  if (const auto own = value_of(gateway.metadata.*where, name); !own.empty()) return own;
  return its_class ? value_of(its_class->metadata.*where, name) : std::string_view{};
}

// The listener that says who may attach: the one that the tunnel names, else that for HBONE.
const Listener* attaching(const Gateway& gateway, const std::optional<model::ApplicationTunnel>& tunnel) {
  const auto find = [&](auto fits) -> const Listener* {
    const auto found = std::ranges::find_if(gateway.listeners(), fits);
    return found == gateway.listeners().end() ? nullptr : &*found;
  };
  if (tunnel) {
    const Listener* named = find([&](const Listener& one) {
      if (tunnel->port != 0) return one.port() == tunnel->port;
      return tunnel->protocol == model::ApplicationTunnel::Protocol::kProxy && one.protocol() == "istio.io/PROXY";
    });
    if (named) return named;
  }
  return find([](const Listener& one) { return one.protocol() == "HBONE" && one.port() == kHbonePort; });
}

void set_from(const Gateway& gateway, Waypoint& out) {
  const Listener* listener = attaching(gateway, out.tunnel);
  if (!listener) return;
  const auto& namespaces = listener->allowed_routes().namespaces();
  if (namespaces.from() == "All") out.from = Waypoint::From::kAll;
  if (namespaces.from() != "Selector") return;
  out.from = Waypoint::From::kSelector;
  if (!namespaces.has_selector()) return;
  LabelQuery& query = out.namespaces.emplace();
  query.labels = {namespaces.selector().match_labels().begin(), namespaces.selector().match_labels().end()};
  for (const auto& one : namespaces.selector().match_expressions())
    query.requirements.push_back({one.key(), label_operator(one.operator_()), {one.values().begin(), one.values().end()}});
}

// By name where there is one: addresses change hands, and a name stands for all of them.
std::optional<model::GatewayAddress> address_of(const config::Custom& gateway, std::string_view network) {
  for (const config::StatusAddress& one : gateway.addresses) {
    if (one.type == "Hostname")
      return model::GatewayAddress{model::ServiceName{gateway.metadata.name_space, one.value}, kHbonePort};
  }
  for (const config::StatusAddress& one : gateway.addresses) {
    if (one.type != "IPAddress" && !one.type.empty()) continue;
    if (const auto address = IpAddress::parse(one.value))
      return model::GatewayAddress{model::NetworkAddress{std::string(network), *address}, kHbonePort};
  }
  return std::nullopt;
}

// What a waypoint's Service is called when nobody has said its address.
model::GatewayAddress conventional(std::string_view name_space, std::string_view name, const Settings& settings) {
  config::Metadata service;
  service.name = name;
  service.name_space = name_space;
  return {model::ServiceName{service.name_space, hostname_of(service, settings)}, kHbonePort};
}

struct Name {
  std::string_view name_space, name;
};

Name named_by(const Labels& labels, std::string_view label, std::string_view fallback) {
  const auto where = value_of(labels, std::string(label) + "-namespace");
  return {where.empty() ? fallback : where, value_of(labels, label)};
}

std::optional<Waypoint> find_waypoint(Name name, const Objects& objects, const Settings& settings) {
  const auto* gateway = custom(Kind::kGateway, name.name_space, name.name, objects);
  return gateway ? waypoint_from(*gateway, objects, settings) : std::nullopt;
}

// Belongs to a waypoint or an east-west gateway, so that it cannot have one itself.
bool is_of_gateway(const config::Metadata& metadata, Traffic traffic, Name wanted, const Objects& objects,
                   const Settings& settings) {
  const auto managed = value_of(metadata.labels, "gateway.istio.io/managed");
  if (managed == "istio.io-mesh-controller" || managed == "istio.io-eastwest-controller") return true;
  const std::string_view gateway =
      traffic == Traffic::kService ? std::string_view(metadata.name) : value_of(metadata.labels, kGatewayName);
  if (gateway.empty()) return false;
  if (gateway == wanted.name && metadata.name_space == wanted.name_space) return true;
  return find_waypoint({metadata.name_space, gateway}, objects, settings).has_value();
}

using Why = Binding::Why;

// Why a waypoint cannot be used.
Why why_not(Name name, const std::optional<Waypoint>& waypoint, Traffic traffic, const std::string& from,
            const Objects& objects) {
  if (!waypoint) return custom(Kind::kGateway, name.name_space, name.name, objects) ? Why::kNoWaypoint : Why::kNoGateway;
  if (!waypoint->takes(traffic)) return Why::kOtherTraffic;
  if (!waypoint->admits(from, objects)) return Why::kNotAdmitted;
  return waypoint->address ? Why::kUsable : Why::kNoAddress;
}

// In words; empty when it can.
std::string trouble_with(Why why, Name name, Traffic traffic, const std::string& from) {
  const std::string called = "Gateway " + std::string(name.name_space) + "/" + std::string(name.name);
  switch (why) {
    case Why::kUsable: return "";
    case Why::kNoGateway: return "there is no " + called;
    case Why::kNoWaypoint: return called + " is no waypoint";
    case Why::kOtherTraffic:
      return called + " is not for " + (traffic == Traffic::kService ? "services" : "workloads") + " (label " +
             std::string(kFor) + ")";
    case Why::kNotAdmitted: return called + " does not let namespace " + from + " attach (allowedRoutes)";
    case Why::kNoAddress: return called + " has no address yet";
  }
  return "";
}

}  // namespace

bool Waypoint::takes(Traffic traffic) const {
  return taken == For::kAll || taken == (traffic == Traffic::kService ? For::kService : For::kWorkload);
}

bool Waypoint::admits(std::string_view other, const Objects& objects) const {
  switch (from) {
    case From::kSame: return other == name_space;
    case From::kAll: return true;
    case From::kSelector: return namespaces && namespaces->matches(labels_of_namespace(other, objects));
  }
  return false;
}

std::optional<Waypoint> waypoint_from(const config::Custom& gateway, const Objects& objects, const Settings& settings) {
  const auto* spec = dynamic_cast<const Gateway*>(gateway.spec.get());
  if (!spec) return std::nullopt;
  const auto* its_class = custom(Kind::kGatewayClass, "", spec->gateway_class_name(), objects);
  if (!is_waypoint(*spec, its_class)) return std::nullopt;
  Waypoint out;
  out.name_space = gateway.metadata.name_space;
  out.name = gateway.metadata.name;
  const auto taken = of_gateway_or_class(&config::Metadata::labels, gateway, its_class, kFor);
  if (!taken.empty()) out.taken_text = taken;
  out.taken = taken.empty() ? Waypoint::For::kService : parse_for(taken).value_or(Waypoint::For::kUnknown);
  const auto tunnel = of_gateway_or_class(&config::Metadata::annotations, gateway, its_class, kInbound);
  if (!tunnel.empty()) out.tunnel = parse_tunnel(tunnel);
  set_from(*spec, out);
  out.address = address_of(gateway, network_of_mesh(objects, settings));
  return out;
}

std::vector<std::string> waypoint_doubts(const config::Custom& gateway, const Objects& objects, const Settings& settings) {
  std::vector<std::string> out;
  if (!waypoint_from(gateway, objects, settings)) return out;
  const auto taken = value_of(gateway.metadata.labels, kFor);
  if (!taken.empty() && !parse_for(taken)) {
    out.push_back("label " + std::string(kFor) + ": \"" + std::string(taken) +
                  "\" is none of service, workload, all, none: connections through this waypoint are refused");
  }
  const auto tunnel = value_of(gateway.metadata.annotations, kInbound);
  if (!tunnel.empty() && !parse_tunnel(tunnel)) {
    out.push_back("annotation " + std::string(kInbound) + ": \"" + std::string(tunnel) +
                  "\" is not read: write PROXY or NONE, and /PORT behind it if need be");
  }
  return out;
}

Binding waypoint_of(const config::Metadata& metadata, Traffic traffic, const Objects& objects, const Settings& settings) {
  constexpr std::string_view kUse = "istio.io/use-waypoint";
  Binding out;
  out.own = !value_of(metadata.labels, kUse).empty();
  const Labels& labels = out.own ? metadata.labels.get() : labels_of_namespace(metadata.name_space, objects);
  const Name name = named_by(labels, kUse, metadata.name_space);
  if (name.name.empty() || name.name == "none") return out;
  if (is_of_gateway(metadata, traffic, name, objects, settings)) return out;
  const auto waypoint = find_waypoint(name, objects, settings);
  // A namespace's waypoint is for what it says that it is for: for services when it is not there to ask, or says what nobody knows.
  const bool says = waypoint && waypoint->taken != Waypoint::For::kUnknown;
  const bool meant = says ? waypoint->takes(traffic) : traffic == Traffic::kService;
  out.name_space = name.name_space;
  out.name = name.name;
  if (waypoint) out.taken = waypoint->taken_text;
  out.why = why_not(name, waypoint, traffic, metadata.name_space, objects);
  if (!out.own && !meant) return out;
  out.trouble = trouble_with(out.why, name, traffic, metadata.name_space);
  out.waypoint = waypoint && waypoint->address ? *waypoint->address : conventional(name.name_space, name.name, settings);
  return out;
}

Binding waypoint_of(const config::Object& object, const Objects& objects, const Settings& settings) {
  if (const auto* custom = std::get_if<config::Custom>(&object); custom && custom->kind == Kind::kWorkloadEntry)
    return waypoint_of(labelled(*custom), Traffic::kWorkload, objects, settings);
  const bool pod = std::holds_alternative<config::Pod>(object);
  return waypoint_of(config::metadata_of(object), pod ? Traffic::kWorkload : Traffic::kService, objects, settings);
}

std::string waypoint_text(const Binding& binding) {
  std::string out = "names the waypoint " + binding.waypoint->text();
  if (binding.trouble.empty()) return out + ", and this version has no waypoints: connections to it are refused";
  return out + ", which cannot be used: " + binding.trouble + ": connections to it are refused";
}

Canary canary_of(const config::Metadata& metadata, const Binding& primary, const Objects& objects, const Settings& settings) {
  constexpr std::string_view kCanary = "istio.io/use-waypoint-canary", kWeight = "istio.io/use-waypoint-canary-weight";
  Canary out;
  if (!primary.waypoint || !primary.trouble.empty()) return out;
  const auto* its = objects.find<config::Namespace>(Kind::kNamespace, "", metadata.name_space);
  const config::Metadata* inherited = !primary.own && its ? &its->metadata : nullptr;
  const bool own = !value_of(metadata.labels, kCanary).empty() || !inherited;
  const Name name = named_by(own ? metadata.labels : inherited->labels, kCanary, metadata.name_space);
  if (name.name.empty() || name.name == "none") return out;
  auto weight = value_of(metadata.annotations, kWeight);
  if (weight.empty() && inherited) weight = value_of(inherited->annotations, kWeight);
  std::uint32_t percent = 0;
  const auto [end, error] = std::from_chars(weight.data(), weight.data() + weight.size(), percent);
  if (!weight.empty() && (error != std::errc() || end != weight.data() + weight.size() || percent > 100)) {
    out.trouble = "annotation " + std::string(kWeight) + ": \"" + std::string(weight) + "\" is no percentage";
    return out;
  }
  const auto canary = find_waypoint(name, objects, settings);
  const Why why = why_not(name, canary, Traffic::kService, metadata.name_space, objects);
  out.trouble = trouble_with(why, name, Traffic::kService, metadata.name_space);
  if (!out.trouble.empty()) return out;
  if (*canary->address == *primary.waypoint) {
    out.trouble = "label " + std::string(kCanary) + " names the waypoint that it has already";
    return out;
  }
  out.weighted = {{*primary.waypoint, 100 - percent}, {*canary->address, percent}};
  return out;
}

std::optional<model::ApplicationTunnel> tunnel_into(const config::Metadata& pod, const Objects& objects,
                                                    const Settings& settings) {
  const auto name = value_of(pod.labels, kGatewayName);
  if (name.empty()) return std::nullopt;
  const auto waypoint = find_waypoint({pod.name_space, name}, objects, settings);
  return waypoint ? waypoint->tunnel : std::nullopt;
}

}  // namespace culvert::derive
