#pragma once
// Objects of the Gateway API as their status needs them: what they refer to, and what may attach to what. Pure; private to controlplane/status.

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "controlplane/status/decide.h"
#include "proto/gateway/gateway.pb.h"
#include "proto/gateway/route.pb.h"

namespace culvert::controlplane {

// The spec of an object that is there and of this type; null otherwise.
template <class Spec>
const Spec* spec_of(config::Kind kind, std::string_view name_space, std::string_view name, const View& view) {
  const auto* custom = view.objects.find<config::Custom>(kind, name_space, name);
  return custom ? dynamic_cast<const Spec*>(custom->spec.get()) : nullptr;
}

// Which of our controllers a Gateway is of, by its class; empty: somebody else's, or nobody's.
std::string_view controller_of(const gateway::Gateway& spec, const View& view);
// That of its Gateway, for a ListenerSet.
std::string_view controller_of(const config::Metadata& set, const gateway::ListenerSet& spec, const View& view);

// A route of any of the four kinds.
struct Route {
  struct Backend {
    std::string kind, name_space, name;  // "Service" when the route names none
  };
  config::Kind kind{};
  config::Metadata metadata;
  std::vector<const gateway::ParentReference*> parents;
  std::vector<std::string> hostnames;
  std::vector<Backend> backends;
};
Route route_of(const config::Custom& object);

// The kinds of routes that a listener of this protocol takes, in the order in which they are shown; none for an unknown protocol.
std::vector<std::string> kinds_for(std::string_view protocol);
// Those of `listener`, and whether allowedRoutes.kinds asks for others.
std::vector<std::string> kinds_of(const gateway::Listener& listener, bool& strange);

bool selects(const gateway::LabelSelector& selector, const config::Labels& labels);
// What a reference names, whatever kind it is.
struct Target {
  std::string_view group, kind;
  std::string name_space, name;
};
// May something of the Gateway API refer to it from there? In its own namespace always, else by a ReferenceGrant.
bool granted(const Target& to, std::string_view from_kind, const std::string& from_namespace, const View& view);

// Why the route cannot attach there, as a reason of the condition Accepted; empty when it can. `where` is the namespace of the Gateway or set.
std::string refused_by(const google::protobuf::RepeatedPtrField<gateway::Listener>& listeners, const std::string& where,
                       const Route& route, const gateway::ParentReference& parent, const View& view);
// How many routes are attached to each listener of this Gateway or ListenerSet.
std::vector<std::size_t> attached_to(const google::protobuf::RepeatedPtrField<gateway::Listener>& listeners,
                                     const config::Key& owner, const View& view);

Condition resolved_refs(const Route& route, const View& view);

}  // namespace culvert::controlplane
