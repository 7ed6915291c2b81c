// What a label binds to a waypoint, in the words of istiod: what derivation has decided of it (protocols.md §7.2).
#include "common/derive/waypoint.h"

#include <utility>

#include "controlplane/status/decide.h"

namespace culvert::controlplane {
namespace {

using Is = Condition::Is;
using Why = derive::Binding::Why;

std::string why_not(const derive::Binding& binding, bool workload) {
  switch (binding.why) {
    case Why::kNoGateway: return " is not ready: there is no such Gateway. Connections are refused until there is";
    case Why::kNoWaypoint:
      return " is not ready: it is a Gateway of a class that is no waypoint's. Connections are refused until it is";
    case Why::kNoAddress: return " is not ready: its status has no address. Connections are refused until it has";
    case Why::kOtherTraffic:
      return " is for traffic type \"" + binding.taken + "\" (label istio.io/waypoint-for), not \"" +
             (workload ? "workload" : "service") + "\"" + (binding.waypoint ? ". Connections are refused" : ". None is used");
    default: return "";
  }
}

}  // namespace

std::optional<Condition> waypoint_bound(const config::Object& object, const View& view) {
  const derive::Binding binding = derive::waypoint_of(object, view.objects, view.settings);
  const bool workload = std::holds_alternative<config::Custom>(object) && config::kind_of(object) == config::Kind::kWorkloadEntry;
  // A namespace names one for its services, as a rule: that it is not for workloads is no news.
  if (binding.name.empty() || (workload && !binding.waypoint)) return std::nullopt;
  const std::string waypoint = binding.name_space + "/" + binding.name, quoted = "waypoint \"" + waypoint + "\"";
  const std::string& from = config::metadata_of(object).name_space;
  const auto no = [](std::string reason, std::string message) {
    return Condition{"istio.io/WaypointBound", Is::kFalse, std::move(reason), std::move(message)};
  };
  if (binding.why == Why::kNotAdmitted)
    return no("AttachmentDenied", "not permitted to attach to " + quoted + ": its listener's allowedRoutes leave out namespace " +
                                      from + ". Connections are refused");
  if (binding.why != Why::kUsable)
    return no(binding.why == Why::kOtherTraffic ? "UnsupportedTrafficType" : "WaypointIsNotReady",
              quoted + why_not(binding, workload));
  std::string message = "Successfully attached to waypoint " + waypoint;
  const std::string_view ingress =
      derive::label_or_namespace(view.objects, config::metadata_of(object), "istio.io/ingress-use-waypoint");
  if (ingress == "true") message += ". Ingress traffic will traverse the waypoint";
  else if (!ingress.empty()) message += ". Ingress traffic is not using the waypoint";
  return Condition{"istio.io/WaypointBound", Is::kTrue, "WaypointAccepted", std::move(message)};
}

}  // namespace culvert::controlplane
