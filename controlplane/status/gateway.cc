// The status of the Gateway API's objects, as far as they are ours.
#include "controlplane/status/gateway.h"

#include <algorithm>
#include <utility>

namespace culvert::controlplane {
namespace {

using config::Kind;
using Is = Condition::Is;
using google::protobuf::RepeatedPtrField;

constexpr std::string_view kIstioMeshController = "istio.io/mesh-controller";
constexpr std::string_view kNotYet = "this version runs no waypoints and no gateways yet";

std::string_view controller_of_class(const gateway::GatewayClass& spec) {
  for (const std::string_view ours : {kMeshController, kGatewayController}) {
    if (spec.controller_name() == ours) return ours;
  }
  return {};
}

Wanted of_class(const gateway::GatewayClass& spec) {
  Wanted wanted;
  if (spec.has_parameters_ref()) {
    wanted.conditions = {{"Accepted", Is::kFalse, "InvalidParameters", "spec.parametersRef is not read by this version"}};
  } else {
    wanted.conditions = {{"Accepted", Is::kTrue, "Accepted", "handled by Culvert"}};
  }
  wanted.conditions.push_back({std::string(kEnforced), Is::kFalse, "NotEnforcedYet", std::string(kNotYet)});
  return wanted;
}

// Of istiod's own class we lead connections to its waypoints, and say what we do of it. All else of its status is istiod's, which may be there beside us.
std::optional<Wanted> of_istios(const gateway::GatewayClass* spec) {
  if (!spec || spec->controller_name() != kIstioMeshController) return std::nullopt;
  Wanted wanted;
  wanted.conditions = {{std::string(kEnforced), Is::kFalse, "NotEnforcedYet", std::string(kNotYet)}};
  return wanted;
}

// Why the listener cannot be: reason and message; none when it can.
std::optional<std::pair<std::string, std::string>> unfit(const gateway::Listener& listener, std::string_view controller) {
  const bool waypoint = controller == kMeshController;
  if (waypoint && (listener.protocol() != "HBONE" || listener.port() != 15008))
    return std::pair{"UnsupportedProtocol", "a waypoint has one listener, of protocol HBONE on port 15008"};
  if (!waypoint && (listener.protocol() == "HBONE" || kinds_for(listener.protocol()).empty()))
    return std::pair{"UnsupportedProtocol", "protocol " + config::quote(listener.protocol()) + " is not HTTP, HTTPS, TLS or TCP"};
  return std::nullopt;
}

// Secrets are not watched: what is in one nobody can say yet.
Condition references_of(const gateway::Listener& listener, bool strange, std::string_view owner_kind, const std::string& where,
                        const View& view) {
  if (strange)
    return {"ResolvedRefs", Is::kFalse, "InvalidRouteKinds", "allowedRoutes.kinds names kinds that its protocol does not take"};
  for (const auto& reference : listener.tls().certificate_refs()) {
    if ((!reference.kind().empty() && reference.kind() != "Secret") || !reference.group().empty())
      return {"ResolvedRefs", Is::kFalse, "InvalidCertificateRef", "a certificate is a Secret, not a " + reference.kind()};
    const std::string& at = reference.namespace_().empty() ? where : reference.namespace_();
    if (!granted({"", "Secret", at, reference.name()}, owner_kind, where, view))
      return {"ResolvedRefs", Is::kFalse, "RefNotPermitted",
              "Secret " + at + "/" + reference.name() + " is in another namespace, and no ReferenceGrant there allows it"};
  }
  if (listener.tls().certificate_refs_size() > 0)
    return {"ResolvedRefs", Is::kUnknown, "NotEnforcedYet", "this version does not read the Secrets of listeners yet"};
  return {"ResolvedRefs", Is::kTrue, "ResolvedRefs", "all references resolved"};
}

// Of the same port: one protocol and hostname each (a rule of a Gateway's proto says the half of it; a ListenerSet's has none). The reason of the
// condition Conflicted; empty: none.
std::string_view conflict_of(const RepeatedPtrField<gateway::Listener>& listeners, int index) {
  std::string_view reason;
  for (int i = 0; i < listeners.size(); ++i) {
    if (i == index || listeners[i].port() != listeners[index].port()) continue;
    if (listeners[i].protocol() != listeners[index].protocol()) return "ProtocolConflict";
    if (listeners[i].hostname() == listeners[index].hostname()) reason = "HostnameConflict";
  }
  return reason;
}

// The listeners of a Gateway or a ListenerSet. Counts those that are accepted.
std::vector<ListenerState> states_of(const RepeatedPtrField<gateway::Listener>& listeners, const config::Key& owner,
                                     std::string_view controller, const View& view, std::size_t& good) {
  const std::vector<std::size_t> attached = attached_to(listeners, owner, view);
  std::vector<ListenerState> out;
  for (int i = 0; i < listeners.size(); ++i) {
    const gateway::Listener& listener = listeners[i];
    bool strange = false;
    ListenerState state{.name = listener.name(),
                        .attached = attached[static_cast<std::size_t>(i)],
                        .kinds = kinds_of(listener, strange),
                        .conditions = {}};
    const std::string_view conflict = conflict_of(listeners, i);
    const bool twice = !conflict.empty();
    const auto bad = unfit(listener, controller);
    if (bad) state.conditions.push_back({"Accepted", Is::kFalse, bad->first, bad->second});
    else if (twice)
      state.conditions.push_back({"Accepted", Is::kFalse, "PortUnavailable",
                                  conflict == "HostnameConflict" ? "another listener has the port and the hostname"
                                                                 : "another listener has the port, for another protocol"});
    else state.conditions.push_back({"Accepted", Is::kTrue, "Accepted", "valid"});
    state.conditions.push_back({"Programmed", Is::kFalse, bad || twice ? "Invalid" : "NotEnforcedYet", std::string(kNotYet)});
    state.conditions.push_back(references_of(listener, strange, config::name(owner.kind), owner.name_space, view));
    state.conditions.push_back({"Conflicted", twice ? Is::kTrue : Is::kFalse, std::string(twice ? conflict : "NoConflicts"), ""});
    good += bad || twice ? 0 : 1;
    out.push_back(std::move(state));
  }
  return out;
}

Wanted of_listeners(const RepeatedPtrField<gateway::Listener>& listeners, const config::Key& owner, std::string_view controller,
                    const View& view) {
  Wanted wanted;
  std::size_t good = 0;
  wanted.listeners = states_of(listeners, owner, controller, view, good);
  const bool crowd = controller == kMeshController && listeners.size() != 1;
  if (crowd) {
    wanted.conditions.push_back(
        {"Accepted", Is::kFalse, "ListenersNotValid", "a waypoint has one listener, of protocol HBONE on port 15008"});
  } else if (good < static_cast<std::size_t>(listeners.size())) {
    wanted.conditions.push_back({"Accepted", good > 0 ? Is::kTrue : Is::kFalse, "ListenersNotValid",
                                 std::to_string(good) + " of " + std::to_string(listeners.size()) + " listeners are valid"});
  } else {
    wanted.conditions.push_back({"Accepted", Is::kTrue, "Accepted", "valid"});
  }
  wanted.conditions.push_back(
      {"Programmed", Is::kFalse, good == 0 || crowd ? "Invalid" : "NotEnforcedYet", std::string(kNotYet)});
  return wanted;
}

std::optional<Wanted> of_gateway(const config::Custom& object, const gateway::Gateway& spec, const View& view) {
  const std::string_view controller = controller_of(spec, view);
  if (controller.empty())
    return of_istios(spec_of<gateway::GatewayClass>(Kind::kGatewayClass, "", spec.gateway_class_name(), view));
  return of_listeners(spec.listeners(), {object.kind, object.metadata.name_space, object.metadata.name}, controller, view);
}

bool allows_set(const gateway::Gateway& gateway, const std::string& where, const std::string& from, const View& view) {
  const auto& namespaces = gateway.allowed_listeners().namespaces();
  if (namespaces.from() == "All") return true;
  if (namespaces.from() == "Same") return where == from;
  if (namespaces.from() != "Selector") return false;
  const auto* name_space = view.objects.find<config::Namespace>(Kind::kNamespace, "", from);
  return name_space != nullptr && selects(namespaces.selector(), name_space->metadata.labels);
}

std::optional<Wanted> of_set(const config::Custom& object, const gateway::ListenerSet& spec, const View& view) {
  const std::string_view controller = controller_of(object.metadata, spec, view);
  if (controller.empty()) return std::nullopt;
  const config::Metadata& metadata = object.metadata;
  const std::string& where = spec.parent_ref().namespace_().empty() ? metadata.name_space : spec.parent_ref().namespace_();
  const auto* gateway = spec_of<gateway::Gateway>(Kind::kGateway, where, spec.parent_ref().name(), view);
  Wanted wanted = of_listeners(spec.listeners(), {object.kind, metadata.name_space, metadata.name}, controller, view);
  if (allows_set(*gateway, where, metadata.name_space, view)) return wanted;
  wanted.conditions = {
      {"Accepted", Is::kFalse, "NotAllowed",
       "allowedListeners of Gateway " + where + "/" + spec.parent_ref().name() + " leave out namespace " + metadata.name_space},
      {"Programmed", Is::kFalse, "NotAllowed", ""}};
  return wanted;
}

boost::json::object reference_of(const gateway::ParentReference& parent, const std::string& kind) {
  boost::json::object out{{"group", kind == "Service"        ? ""
                                    : kind == "ServiceEntry" ? "networking.istio.io"
                                                             : "gateway.networking.k8s.io"},
                          {"kind", kind},
                          {"name", parent.name()}};
  if (!parent.namespace_().empty()) out["namespace"] = parent.namespace_();
  if (!parent.section_name().empty()) out["sectionName"] = parent.section_name();
  if (parent.port() != 0) out["port"] = parent.port();
  return out;
}

std::string explained(const std::string& reason) {
  if (reason == "NoMatchingParent") return "no listener has that sectionName and port";
  if (reason == "NotAllowedByListeners") return "allowedRoutes of the listeners leave out the route's namespace or kind";
  return "no hostname of the route is one of the listeners'";
}

// A Service, or what stands for one: routes in the mesh.
std::optional<Attachment> to_service(const Route& route, const gateway::ParentReference& parent, const View& view) {
  const Kind kind = parent.kind() == "Service" ? Kind::kService : Kind::kServiceEntry;
  const std::string& where = parent.namespace_().empty() ? route.metadata.name_space : parent.namespace_();
  const auto& names = view.objects.in(kind, where);
  const auto found = names.find(parent.name());
  if (found == names.end()) return std::nullopt;  // whose mesh it would be in, nobody can say
  const auto bound = waypoint_bound(*found->second, view);
  const auto* name_space = view.objects.find<config::Namespace>(Kind::kNamespace, "", where);
  const bool in_mesh = name_space && config::value_of(name_space->metadata.labels, "istio.io/dataplane-mode") == "ambient";
  if (!bound && !in_mesh) return std::nullopt;
  Attachment out{.to = reference_of(parent, parent.kind()), .controller = std::string(kMeshController), .conditions = {}};
  out.conditions.push_back({"Accepted", Is::kTrue, "Accepted", "valid"});
  Condition waypoints =
      bound ? *bound : Condition{"", Is::kFalse, "NoWaypoint", "the service uses no waypoint (label istio.io/use-waypoint)"};
  waypoints.type = "ResolvedWaypoints";
  out.conditions.push_back(std::move(waypoints));
  return out;
}

std::optional<Attachment> to_listeners(const Route& route, const gateway::ParentReference& parent, const View& view) {
  const std::string kind = parent.kind().empty() ? "Gateway" : parent.kind();
  const std::string& where = parent.namespace_().empty() ? route.metadata.name_space : parent.namespace_();
  std::string_view controller;
  const RepeatedPtrField<gateway::Listener>* listeners = nullptr;
  if (kind == "Gateway") {
    const auto* gateway = spec_of<gateway::Gateway>(Kind::kGateway, where, parent.name(), view);
    if (!gateway) return std::nullopt;
    controller = controller_of(*gateway, view);
    listeners = &gateway->listeners();
  } else if (kind == "ListenerSet") {
    const auto* object = view.objects.find<config::Custom>(Kind::kListenerSet, where, parent.name());
    const auto* set = object ? dynamic_cast<const gateway::ListenerSet*>(object->spec.get()) : nullptr;
    if (!set) return std::nullopt;
    controller = controller_of(object->metadata, *set, view);
    listeners = &set->listeners();
  }
  if (controller.empty()) return std::nullopt;
  Attachment out{.to = reference_of(parent, kind), .controller = std::string(controller), .conditions = {}};
  const std::string why = refused_by(*listeners, where, route, parent, view);
  if (why.empty()) out.conditions.push_back({"Accepted", Is::kTrue, "Accepted", "attached"});
  else out.conditions.push_back({"Accepted", Is::kFalse, why, explained(why)});
  return out;
}

Wanted of_route(const config::Custom& object, const View& view) {
  const Route route = route_of(object);
  Wanted wanted{.conditions = {}, .retired = {}, .attached_as = "parents", .attachments = {}, .listeners = {}};
  for (const gateway::ParentReference* parent : route.parents) {
    const bool service = parent->kind() == "Service" || parent->kind() == "ServiceEntry";
    auto attachment = service ? to_service(route, *parent, view) : to_listeners(route, *parent, view);
    if (!attachment) continue;
    attachment->conditions.push_back(resolved_refs(route, view));
    attachment->conditions.push_back({std::string(kEnforced), Is::kFalse, "NotEnforcedYet", std::string(kNotYet)});
    wanted.attachments.push_back(std::move(*attachment));
  }
  return wanted;
}

// Of two for the same target and section the older one counts.
bool overruled(const config::Custom& object, const gateway::BackendTLSPolicy::Target& target, const View& view) {
  const auto before = [](const config::Metadata& a, const config::Metadata& b) {
    return std::pair(a.created, a.name) < std::pair(b.created, b.name);
  };
  for (const auto& [name, other] : view.objects.in(Kind::kBackendTlsPolicy, object.metadata.name_space)) {
    ++view.looked_at;
    const auto& custom = std::get<config::Custom>(*other);
    if (name == object.metadata.name || !before(custom.metadata, object.metadata)) continue;
    const auto* spec = dynamic_cast<const gateway::BackendTLSPolicy*>(custom.spec.get());
    for (const auto& each : spec->target_refs()) {
      if (each.kind() == target.kind() && each.name() == target.name() && each.section_name() == target.section_name())
        return true;
    }
  }
  return false;
}

Wanted of_backend_tls(const config::Custom& object, const gateway::BackendTLSPolicy& spec, const View& view) {
  Wanted wanted{.conditions = {}, .retired = {}, .attached_as = "ancestors", .attachments = {}, .listeners = {}};
  const auto* name_space = view.objects.find<config::Namespace>(Kind::kNamespace, "", object.metadata.name_space);
  if (!name_space || config::value_of(name_space->metadata.labels, "istio.io/dataplane-mode") != "ambient") return wanted;
  for (const auto& target : spec.target_refs()) {
    Attachment out{.to = {{"group", target.group()}, {"kind", target.kind()}, {"name", target.name()}},
                   .controller = std::string(kMeshController),
                   .conditions = {}};
    if (!target.section_name().empty()) out.to["sectionName"] = target.section_name();
    const bool service = target.kind() == "Service" && target.group().empty();
    const bool there = service && view.objects.in(Kind::kService, object.metadata.name_space).contains(target.name());
    if (!there) {
      out.conditions.push_back({"Accepted", Is::kFalse, "TargetNotFound", "there is no " + target.kind() + " " + target.name()});
    } else if (overruled(object, target, view)) {
      out.conditions.push_back({"Accepted", Is::kFalse, "Conflicted", "an older policy has the same target"});
    } else {
      out.conditions.push_back({"Accepted", Is::kTrue, "Accepted", "valid"});
    }
    const bool strange = std::ranges::any_of(spec.validation().ca_certificate_refs(), [](const auto& each) {
      return !each.group().empty() || (each.kind() != "ConfigMap" && each.kind() != "Secret");
    });
    if (strange)
      out.conditions.push_back({"ResolvedRefs", Is::kFalse, "InvalidKind", "a CA certificate is a ConfigMap or a Secret"});
    else if (spec.validation().ca_certificate_refs_size() >
             0)  // ConfigMaps and Secrets are not watched: whether they are there nobody can say
      out.conditions.push_back({"ResolvedRefs", Is::kUnknown, "NotEnforcedYet",
                                "this version does not read ConfigMaps and Secrets with CA certificates yet"});
    else out.conditions.push_back({"ResolvedRefs", Is::kTrue, "ResolvedRefs", "all references resolved"});
    out.conditions.push_back({std::string(kEnforced), Is::kFalse, "NotEnforcedYet", std::string(kNotYet)});
    wanted.attachments.push_back(std::move(out));
  }
  return wanted;
}

}  // namespace

std::string_view controller_of(const gateway::Gateway& spec, const View& view) {
  const auto* of_class = spec_of<gateway::GatewayClass>(Kind::kGatewayClass, "", spec.gateway_class_name(), view);
  return of_class ? controller_of_class(*of_class) : std::string_view{};
}

std::string_view controller_of(const config::Metadata& set, const gateway::ListenerSet& spec, const View& view) {
  const std::string& where = spec.parent_ref().namespace_().empty() ? set.name_space : spec.parent_ref().namespace_();
  const bool gateway = spec.parent_ref().kind().empty() || spec.parent_ref().kind() == "Gateway";
  const auto* parent = gateway ? spec_of<gateway::Gateway>(Kind::kGateway, where, spec.parent_ref().name(), view) : nullptr;
  return parent ? controller_of(*parent, view) : std::string_view{};
}

std::optional<Wanted> of_gateway_api(const config::Custom& object, const View& view) {
  const google::protobuf::Message* spec = object.spec.get();
  switch (object.kind) {
    case Kind::kGatewayClass: {
      const auto& of_kind = static_cast<const gateway::GatewayClass&>(*spec);
      if (controller_of_class(of_kind).empty()) return of_istios(&of_kind);
      return of_class(of_kind);
    }
    case Kind::kGateway: return of_gateway(object, static_cast<const gateway::Gateway&>(*spec), view);
    case Kind::kListenerSet: return of_set(object, static_cast<const gateway::ListenerSet&>(*spec), view);
    case Kind::kBackendTlsPolicy: return of_backend_tls(object, static_cast<const gateway::BackendTLSPolicy&>(*spec), view);
    case Kind::kHttpRoute:
    case Kind::kGrpcRoute:
    case Kind::kTlsRoute:
    case Kind::kTcpRoute: return of_route(object, view);
    default: return std::nullopt;
  }
}

}  // namespace culvert::controlplane
