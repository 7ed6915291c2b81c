// What a label binds to a waypoint, and whether the waypoint takes it (protocols.md §7.2).
#include <algorithm>
#include <utility>

#include "controlplane/status/gateway.h"

namespace culvert::controlplane {
namespace {

using config::Kind;
using Is = Condition::Is;

// Where the two labels stand that count: the object's own, else its namespace's. Workloads have only their own.
const config::Labels* labels_that_bind(const config::Metadata& metadata, std::string_view traffic, const View& view) {
  if (!config::value_of(metadata.labels, "istio.io/use-waypoint").empty()) return &metadata.labels;
  if (traffic == "workload") return nullptr;
  const auto* name_space = view.objects.find<config::Namespace>(Kind::kNamespace, "", metadata.name_space);
  return name_space ? &name_space->metadata.labels : nullptr;
}

bool has_address(const config::Key& gateway, const View& view) {
  const config::Standing* standing = view.board.standing(gateway);
  if (standing == nullptr || standing->status.empty()) return false;
  boost::system::error_code error;
  const boost::json::value status = boost::json::parse(standing->status, error);
  const auto* addresses = !error && status.is_object() ? status.as_object().if_contains("addresses") : nullptr;
  return addresses != nullptr && addresses->is_array() && !addresses->as_array().empty();
}

std::string quoted(const std::string& waypoint) { return "waypoint \"" + waypoint + "\""; }

bool allows(const gateway::Gateway& waypoint, const std::string& where, const std::string& from, const View& view) {
  return std::ranges::any_of(waypoint.listeners(), [&](const gateway::Listener& listener) {
    const auto& namespaces = listener.allowed_routes().namespaces();
    if (namespaces.from() == "All") return true;
    if (namespaces.from() != "Selector") return where == from;
    const auto* name_space = view.objects.find<config::Namespace>(Kind::kNamespace, "", from);
    return name_space != nullptr && selects(namespaces.selector(), name_space->metadata.labels);
  });
}

// What it is for: its own label, else its class's, else services.
std::string waypoint_for(const config::Custom& object, const gateway::Gateway& spec, const View& view) {
  constexpr std::string_view kLabel = "istio.io/waypoint-for";
  std::string_view out = config::value_of(object.metadata.labels, kLabel);
  const auto* of_class = view.objects.find<config::Custom>(Kind::kGatewayClass, "", spec.gateway_class_name());
  if (out.empty() && of_class) out = config::value_of(of_class->metadata.labels, kLabel);
  return out.empty() ? "service" : std::string(out);
}

}  // namespace

std::optional<Condition> waypoint_bound(const config::Metadata& metadata, std::string_view traffic, const View& view) {
  const config::Labels* labels = labels_that_bind(metadata, traffic, view);
  if (labels == nullptr) return std::nullopt;
  const std::string name(config::value_of(*labels, "istio.io/use-waypoint"));
  std::string where(config::value_of(*labels, "istio.io/use-waypoint-namespace"));
  if (where.empty()) where = metadata.name_space;
  if (name.empty() || name == "none" || (name == metadata.name && where == metadata.name_space)) return std::nullopt;

  const std::string waypoint = where + "/" + name;
  const auto no = [](std::string reason, std::string message) {
    return Condition{"istio.io/WaypointBound", Is::kFalse, std::move(reason), std::move(message)};
  };
  const auto* object = view.objects.find<config::Custom>(Kind::kGateway, where, name);
  const auto* spec = object ? dynamic_cast<const gateway::Gateway*>(object->spec.get()) : nullptr;
  if (spec == nullptr)
    return no("WaypointIsNotReady",
              quoted(waypoint) + " is not ready: there is no such Gateway. Connections are refused until there is");
  if (!allows(*spec, where, metadata.name_space, view))
    return no("AttachmentDenied", "not permitted to attach to " + quoted(waypoint) +
                                      ": its listener's allowedRoutes leave out namespace " + metadata.name_space);
  const std::string taken = waypoint_for(*object, *spec, view);
  if (taken != "all" && taken != traffic)
    return no("UnsupportedTrafficType", quoted(waypoint) + " is for traffic type \"" + taken +
                                            "\" (label istio.io/waypoint-for), not \"" + std::string(traffic) + "\"");
  if (!has_address({Kind::kGateway, where, name}, view))
    return no("WaypointIsNotReady",
              quoted(waypoint) + " is not ready: its status has no address. Connections are refused until it has");
  std::string message = "Successfully attached to waypoint " + waypoint;
  const std::string_view ingress = derive::label_or_namespace(view.objects, metadata, "istio.io/ingress-use-waypoint");
  if (ingress == "true") message += ". Ingress traffic will traverse the waypoint";
  else if (!ingress.empty()) message += ". Ingress traffic is not using the waypoint";
  return Condition{"istio.io/WaypointBound", Is::kTrue, "WaypointAccepted", std::move(message)};
}

}  // namespace culvert::controlplane
