// What may attach to what (Gateway API: allowedRoutes, hostnames, ReferenceGrants).
#include <algorithm>
#include <array>

#include "controlplane/status/gateway.h"

namespace culvert::controlplane {
namespace {

using config::Kind;
using google::protobuf::RepeatedPtrField;

constexpr std::array kRoutes = {Kind::kHttpRoute, Kind::kGrpcRoute, Kind::kTlsRoute, Kind::kTcpRoute};
constexpr std::string_view kGroup = "gateway.networking.k8s.io";

template <class Backend>
void add_backend(const Backend& backend, Route& route) {
  const std::string& where = backend.namespace_().empty() ? route.metadata.name_space : backend.namespace_();
  route.backends.push_back({backend.kind().empty() ? "Service" : backend.kind(), where, backend.name()});
}

template <class Backends>
void add_backends(const Backends& backends, Route& route) {
  for (const auto& backend : backends) add_backend(backend, route);
}

// What gets a copy of the requests is a backend as well: of a rule, or of one of its backends.
template <class Holder>
void add_mirrors(const Holder& holder, Route& route) {
  if constexpr (requires { holder.filters(); }) {
    for (const auto& filter : holder.filters())
      if (filter.has_request_mirror()) add_backend(filter.request_mirror().backend_ref(), route);
  }
}

template <class Spec>
void fill(const Spec& spec, Route& route) {
  for (const auto& parent : spec.parent_refs()) route.parents.push_back(&parent);
  for (const auto& rule : spec.rules()) {
    add_backends(rule.backend_refs(), route);
    add_mirrors(rule, route);
    for (const auto& backend : rule.backend_refs()) add_mirrors(backend, route);
  }
  if constexpr (requires { spec.hostnames(); }) route.hostnames.assign(spec.hostnames().begin(), spec.hostnames().end());
}

// "*.shop.example" covers "a.shop.example" and "*.a.shop.example".
bool covers(std::string_view pattern, std::string_view host) {
  if (pattern == host || pattern.empty()) return true;
  return pattern.starts_with("*.") && host.size() >= pattern.size() && host.ends_with(pattern.substr(1)) &&
         host.size() > pattern.size() - 1;
}

bool hostnames_meet(const std::string& listener, const Route& route) {
  if (listener.empty() || route.hostnames.empty()) return true;
  return std::ranges::any_of(route.hostnames,
                             [&](const std::string& host) { return covers(listener, host) || covers(host, listener); });
}

bool allows_namespace(const gateway::Listener& listener, const std::string& where, const std::string& from, const View& view) {
  const auto& namespaces = listener.allowed_routes().namespaces();
  if (namespaces.from() == "All") return true;
  if (namespaces.from() != "Selector") return where == from;
  const auto* name_space = view.objects.find<config::Namespace>(Kind::kNamespace, "", from);
  return name_space != nullptr && selects(namespaces.selector(), name_space->metadata.labels);
}

bool is_meant(const gateway::ParentReference& parent, const gateway::Listener& listener) {
  return (parent.section_name().empty() || parent.section_name() == listener.name()) &&
         (parent.port() == 0 || parent.port() == listener.port());
}

// How well a listener fits a route: of several the best counts.
enum class Fit : std::uint8_t { kNotMeant, kOtherHost, kNotAllowed, kFits };
Fit fit_of(const gateway::Listener& listener, const std::string& where, const Route& route,
           const gateway::ParentReference& parent, const View& view) {
  if (!is_meant(parent, listener)) return Fit::kNotMeant;
  bool strange = false;
  if (!std::ranges::contains(kinds_of(listener, strange), config::name(route.kind)) ||
      !allows_namespace(listener, where, route.metadata.name_space, view))
    return Fit::kNotAllowed;
  return hostnames_meet(listener.hostname(), route) ? Fit::kFits : Fit::kOtherHost;
}

// The object that a parentRef names.
config::Key target_of(const gateway::ParentReference& parent, const Route& route) {
  const Kind kind = parent.kind() == "ListenerSet" ? Kind::kListenerSet : Kind::kGateway;
  return {kind, parent.namespace_().empty() ? route.metadata.name_space : parent.namespace_(), parent.name()};
}

}  // namespace

Route route_of(const config::Custom& object) {
  Route route{.kind = object.kind, .metadata = object.metadata, .parents = {}, .hostnames = {}, .backends = {}};
  const google::protobuf::Message* spec = object.spec.get();
  if (const auto* http = dynamic_cast<const gateway::HTTPRoute*>(spec)) fill(*http, route);
  if (const auto* grpc = dynamic_cast<const gateway::GRPCRoute*>(spec)) fill(*grpc, route);
  if (const auto* tls = dynamic_cast<const gateway::TLSRoute*>(spec)) fill(*tls, route);
  if (const auto* tcp = dynamic_cast<const gateway::TCPRoute*>(spec)) fill(*tcp, route);
  return route;
}

std::vector<std::string> kinds_for(std::string_view protocol) {
  if (protocol == "HTTP" || protocol == "HTTPS") return {"HTTPRoute", "GRPCRoute"};
  if (protocol == "TLS") return {"TLSRoute"};
  if (protocol == "TCP") return {"TCPRoute"};
  if (protocol == "HBONE") return {"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"};
  return {};
}

std::vector<std::string> kinds_of(const gateway::Listener& listener, bool& strange) {
  std::vector<std::string> can = kinds_for(listener.protocol());
  const auto& wanted = listener.allowed_routes().kinds();
  if (wanted.empty()) return can;
  std::vector<std::string> out;
  for (const auto& each : wanted) {
    const bool ours = (each.group().empty() || each.group() == kGroup) && std::ranges::contains(can, each.kind());
    if (ours) out.push_back(each.kind());
    else strange = true;
  }
  return out;
}

bool selects(const gateway::LabelSelector& selector, const config::Labels& labels) {
  for (const auto& [name, value] : selector.match_labels()) {
    if (const auto found = labels.find(name); found == labels.end() || found->second != value) return false;
  }
  for (const auto& wanted : selector.match_expressions()) {
    const auto found = labels.find(wanted.key());
    const bool there = found != labels.end();
    const bool among = there && std::ranges::contains(wanted.values(), found->second);
    if (wanted.operator_() == "In"       ? !among
        : wanted.operator_() == "NotIn"  ? among
        : wanted.operator_() == "Exists" ? !there
                                         : there)
      return false;
  }
  return true;
}

bool granted(const Target& to, std::string_view from_kind, const std::string& from_namespace, const View& view) {
  if (to.name_space == from_namespace) return true;
  for (const auto& [name, object] : view.objects.in(Kind::kReferenceGrant, to.name_space)) {
    const auto* grant = dynamic_cast<const gateway::ReferenceGrant*>(std::get<config::Custom>(*object).spec.get());
    const bool from = std::ranges::any_of(grant->from(), [&](const auto& each) {
      return each.group() == kGroup && each.kind() == from_kind && each.namespace_() == from_namespace;
    });
    const bool that = std::ranges::any_of(grant->to(), [&](const auto& each) {
      return each.group() == to.group && each.kind() == to.kind && (each.name().empty() || each.name() == to.name);
    });
    if (from && that) return true;
  }
  return false;
}

std::string refused_by(const RepeatedPtrField<gateway::Listener>& listeners, const std::string& where, const Route& route,
                       const gateway::ParentReference& parent, const View& view) {
  Fit best = Fit::kNotMeant;
  for (const gateway::Listener& listener : listeners) best = std::max(best, fit_of(listener, where, route, parent, view));
  switch (best) {
    case Fit::kNotMeant: return "NoMatchingParent";
    case Fit::kOtherHost: return "NoMatchingListenerHostname";
    case Fit::kNotAllowed: return "NotAllowedByListeners";
    case Fit::kFits: break;
  }
  return "";
}

std::vector<std::size_t> attached_to(const RepeatedPtrField<gateway::Listener>& listeners, const config::Key& owner,
                                     const View& view) {
  std::vector<std::size_t> out(static_cast<std::size_t>(listeners.size()));
  const auto count = [&](const Route& route) {
    ++view.looked_at;
    for (int i = 0; i < listeners.size(); ++i) {
      const bool attached = std::ranges::any_of(route.parents, [&](const gateway::ParentReference* parent) {
        return parent->kind() != "Service" && parent->kind() != "ServiceEntry" && target_of(*parent, route) == owner &&
               fit_of(listeners[i], owner.name_space, route, *parent, view) == Fit::kFits;
      });
      out[static_cast<std::size_t>(i)] += attached ? 1 : 0;
    }
  };
  for (const Kind kind : kRoutes) {
    for (const std::string& name_space : view.objects.namespaces(kind)) {
      for (const auto& [name, object] : view.objects.in(kind, name_space)) count(route_of(std::get<config::Custom>(*object)));
    }
  }
  return out;
}

Condition resolved_refs(const Route& route, const View& view) {
  using Is = Condition::Is;
  for (const Route::Backend& backend : route.backends) {
    const std::string what = backend.kind + " " + backend.name_space + "/" + backend.name;
    const bool entry = backend.kind == "ServiceEntry";
    if (backend.kind != "Service" && !entry)
      return {"ResolvedRefs", Is::kFalse, "InvalidKind", "a backend is a Service, not a " + backend.kind};
    const config::Key key{entry ? Kind::kServiceEntry : Kind::kService, backend.name_space, backend.name};
    const Target target{entry ? "networking.istio.io" : "", backend.kind, backend.name_space, backend.name};
    if (!granted(target, config::name(route.kind), route.metadata.name_space, view))
      return {"ResolvedRefs", Is::kFalse, "RefNotPermitted",
              what + " is in another namespace, and no ReferenceGrant there allows it"};
    if (!view.objects.in(key.kind, key.name_space).contains(key.name))
      return {"ResolvedRefs", Is::kFalse, "BackendNotFound", "there is no " + what};
  }
  return {"ResolvedRefs", Is::kTrue, "ResolvedRefs", "all references resolved"};
}

}  // namespace culvert::controlplane
