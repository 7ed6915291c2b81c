#pragma once
// What the status of an object should say, and the patch that makes it so. Plain values and a pure function; no clock, no API server.
//
// What is ours in a status: conditions of the types named here; of `parents` and `ancestors` the entries with a controllerName of ours; `listeners` of
// Gateways of a class of ours. Everything else is somebody else's, and stays byte for byte.

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/config/folder.h"

namespace culvert::controlplane {

// As GatewayClasses, and the entries of routes, name us.
inline constexpr std::string_view kMeshController = "culvert.dev/mesh-controller";        // waypoints, and routes of Services
inline constexpr std::string_view kGatewayController = "culvert.dev/gateway-controller";  // ingress gateways

// Whether all of the object is in force. Reasons: Enforced, NotEnforcedYet, Ignored.
inline constexpr std::string_view kEnforced = "culvert.dev/Enforced";

struct Condition {
  enum class Is : std::uint8_t { kFalse, kTrue, kUnknown };
  std::string type;
  Is is = Is::kTrue;
  std::string reason;   // one word
  std::string message;  // for people
};

// One entry of a route's status.parents, or of a policy's status.ancestors.
struct Attachment {
  boost::json::object to;  // the parentRef as the route has it
  std::string controller;
  std::vector<Condition> conditions;
};

struct ListenerState {
  std::string name;
  std::size_t attached = 0;        // routes
  std::vector<std::string> kinds;  // of routes that it takes
  std::vector<Condition> conditions;
};

struct Wanted {
  std::vector<Condition> conditions;
  std::vector<std::string> retired;  // types of ours that must not be there
  std::string attached_as;           // "parents", "ancestors"; empty when the kind has neither
  std::vector<Attachment> attachments;
  std::optional<std::vector<ListenerState>> listeners;
};

struct Patch {
  boost::json::object status;  // the members to merge into the status
  bool urgent = false;         // says more than other numbers in a message: somebody may wait for it
};

// None when the status already says it. `now` in RFC 3339.
std::optional<Patch> patch_of(const Wanted& wanted, const config::Standing& standing, const std::string& now);

}  // namespace culvert::controlplane
