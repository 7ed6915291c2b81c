#pragma once
// Waypoints: which Gateways are some, and which one an object's traffic goes through (protocols.md §7.1, §7.2). Pure.
//
// The labels of the object say which, else those of its namespace; name and namespace are read from one place. Fails closed: a waypoint that an
// object names and that it cannot use (there is none, it has no address yet, it does not let this namespace attach, ...) is named all the same, so that
// connections are refused and do not pass L7 policy by. A waypoint must therefore refuse what is not attached to it. Where Istio differs: there such
// an object has no waypoint. Only what a namespace's label asks for and the waypoint is not for (istio.io/waypoint-for) has none, as in Istio.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/derive/objects.h"
#include "common/model/service.h"
#include "common/model/workload.h"

namespace culvert::derive {

enum class Traffic : std::uint8_t { kService, kWorkload };  // addressed to a service, to a workload itself

// What an object's labels come to.
struct Binding {
  enum class Why : std::uint8_t { kUsable, kNoGateway, kNoWaypoint, kOtherTraffic, kNotAdmitted, kNoAddress };
  std::optional<model::GatewayAddress> waypoint{};  // none: it has none
  Why why = Why::kUsable;
  std::string trouble{};             // `why` in words: connections are refused though it is named; empty when it can be used
  std::string name_space{}, name{};  // of the Gateway that the labels name; empty: they name none that could be meant
  std::string taken{};               // what that says that it is for, if there is one
  bool own = false;                  // its own label says so, not its namespace's
};
// `metadata` of a Service, ServiceEntry, Pod or WorkloadEntry.
Binding waypoint_of(const config::Metadata& metadata, Traffic traffic, const Objects& objects, const Settings& settings);

// Of an object that may have one: a Service, ServiceEntry, Pod or WorkloadEntry.
Binding waypoint_of(const config::Object& object, const Objects& objects, const Settings& settings);

// What its user should know of a binding that has a waypoint.
std::string waypoint_text(const Binding& binding);

// Two waypoints that share a service's connections by weight, where istio.io/use-waypoint-canary names a second one that can be used.
struct Canary {
  std::vector<model::WeightedWaypoint> weighted{};  // empty: all go to the first
  std::string trouble{};                            // why not, though the label is there
};
Canary canary_of(const config::Metadata& metadata, const Binding& primary, const Objects& objects, const Settings& settings);

// How an instance of a waypoint wants its traffic (ambient.istio.io/waypoint-inbound-binding); none for everybody else.
std::optional<model::ApplicationTunnel> tunnel_into(const config::Metadata& pod, const Objects& objects,
                                                    const Settings& settings);

// A Gateway as far as attaching to it goes.
struct Waypoint {
  enum class For : std::uint8_t { kService, kWorkload, kAll, kNone, kUnknown };  // kUnknown: a word that nobody knows
  enum class From : std::uint8_t { kSame, kAll, kSelector };
  std::string name_space{}, name{};
  For taken = For::kService;
  std::string taken_text = "service";              // as it is written
  std::optional<model::GatewayAddress> address{};  // none: it is not ready
  std::optional<model::ApplicationTunnel> tunnel{};
  From from = From::kSame;
  std::optional<LabelQuery> namespaces{};  // From::kSelector

  bool takes(Traffic traffic) const;
  bool admits(std::string_view name_space, const Objects& objects) const;
  friend bool operator==(const Waypoint&, const Waypoint&) = default;
};
// Nothing for Gateways that are no waypoints.
std::optional<Waypoint> waypoint_from(const config::Custom& gateway, const Objects& objects, const Settings& settings);

// What is wrong with a Gateway's labels and annotations about waypoints.
std::vector<std::string> waypoint_doubts(const config::Custom& gateway, const Objects& objects, const Settings& settings);

}  // namespace culvert::derive
