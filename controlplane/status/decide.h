#pragma once
// What the status of an object should say: pure functions from the objects in force, and what is wrong with those that are not. The names of
// conditions and reasons are those of istiod's ambient controller and of the Gateway API (protocols.md §7.1, §7.2); docs/operations.md lists them.

#include <optional>

#include "common/derive/doubts.h"
#include "common/derive/objects.h"
#include "controlplane/status/board.h"
#include "controlplane/status/wanted.h"

namespace culvert::controlplane {

struct View {
  const derive::Objects& objects;
  const derive::Settings& settings;
  const Board& board;
  const derive::Tally& tally;  // of `objects`
  std::size_t& looked_at;      // grows with each object that is looked at besides: what a status costs, without a clock
};

// None: nothing of ours to say, since there is no such object or it is somebody else's.
std::optional<Wanted> wanted_of(const config::Key& key, const View& view);

// --- parts of it -------------------------------------------------------------------------------------------------

// The condition istio.io/WaypointBound of what a label, or that of its namespace, binds to a waypoint; none when nothing does.
// Of a Service, ServiceEntry or WorkloadEntry.
std::optional<Condition> waypoint_bound(const config::Object& object, const View& view);

// AuthorizationPolicy, PeerAuthentication.
Wanted of_policy(const config::Object& object, const View& view);
// GatewayClass, Gateway, ListenerSet, routes, BackendTLSPolicy. None when it is not ours.
std::optional<Wanted> of_gateway_api(const config::Custom& object, const View& view);

Condition enforced(const config::Object& object);
// What is probably not meant, joined: "; "-separated behind a first part.
std::string with_doubts(std::string message, const config::Key& key, const View& view);

}  // namespace culvert::controlplane
