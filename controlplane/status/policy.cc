// The status of policies that the L4 data plane enforces, and of those that it does not.
#include <algorithm>
#include <utility>

#include "common/derive/authorization.h"
#include "common/derive/peer_authentication.h"
#include "common/derive/unenforced.h"
#include "controlplane/status/decide.h"

namespace culvert::controlplane {
namespace {

using config::AuthorizationPolicy;
using config::Kind;
using config::PeerAuthentication;
using Is = Condition::Is;

constexpr std::string_view kZtunnel = "ZtunnelAccepted", kWaypoint = "WaypointAccepted";

// Policies of the root namespace reach the whole mesh.
std::string bound_text(const config::Key& key, const config::Labels& selector, const View& view) {
  const derive::Selected& selected = view.tally.selected;
  const bool root = key.name_space == view.settings.root_namespace;
  const auto& count = !selector.empty() ? selected.of(key) : root ? selected.everywhere() : selected.in(key.name_space);
  std::string out = "bound to " + std::to_string(count.bound) + (count.bound == 1 ? " workload" : " workloads");
  if (count.outside > 0)
    out += " (" + std::to_string(count.outside) + " more that it selects " + (count.outside == 1 ? "is" : "are") +
           " not in the mesh)";
  return out;
}

bool exists(const AuthorizationPolicy::TargetRef& target, const AuthorizationPolicy& policy, const View& view) {
  const auto is_there = [&](Kind kind, const std::string& name_space) {
    return view.objects.in(kind, name_space).contains(target.name);
  };
  const std::string& own = policy.metadata.name_space;
  if (target.kind == "Service") return is_there(Kind::kService, own);
  if (target.kind == "ServiceEntry") return is_there(Kind::kServiceEntry, own);
  if (target.kind == "Gateway") return is_there(Kind::kGateway, own);
  return target.kind == "GatewayClass" && own == view.settings.root_namespace && is_there(Kind::kGatewayClass, "");
}

Condition of_waypoint(const AuthorizationPolicy& policy, const View& view) {
  std::string missing;
  for (const auto& target : policy.target_refs) {
    if (!exists(target, policy, view)) missing += (missing.empty() ? "" : ", ") + target.kind + " " + target.name;
  }
  if (!missing.empty()) return {std::string(kWaypoint), Is::kFalse, "TargetNotFound", "there is no " + missing};
  return {std::string(kWaypoint), Is::kFalse, "NotEnforcedYet",
          "has targetRefs: it is for waypoints, which this version does not have"};
}

Wanted of(const AuthorizationPolicy& policy, const config::Object& object, const View& view) {
  const config::Key key = config::key_of(object);
  Wanted wanted;
  const bool for_waypoints = !policy.target_refs.empty();
  if (for_waypoints) {
    wanted.conditions.push_back(of_waypoint(policy, view));
  } else {
    const bool sent = derive::convert(policy, view.settings).policy.has_value();
    const bool whole = sent && !derive::unenforced(object).any();
    std::string message = sent ? "attached to ztunnel, " + bound_text(key, policy.selector, view) : "not sent to ztunnel";
    wanted.conditions.push_back({std::string(kZtunnel), sent ? Is::kTrue : Is::kFalse, whole ? "Accepted" : "UnsupportedValue",
                                 with_doubts(std::move(message), key, view)});
  }
  wanted.conditions.push_back(
      policy.dry_run ? Condition{std::string(kEnforced), Is::kFalse, "DryRun", "only says what it would do"} : enforced(object));
  wanted.retired = {std::string(for_waypoints ? kZtunnel : kWaypoint)};
  return wanted;
}

// Which of those for a whole namespace counts, and that selectors do not in the root namespace, doubts() says.
Wanted of(const PeerAuthentication& policy, const config::Key& key, const View& view) {
  Wanted wanted;
  const bool root = policy.metadata.name_space == view.settings.root_namespace;
  const PeerAuthentication* wide = derive::wide_policy(view.objects, policy.metadata.name_space);
  const bool overruled = policy.selector.empty() && wide != nullptr && wide->metadata.name != policy.metadata.name;
  const bool ignored = root && !policy.selector.empty();
  if (overruled || ignored) {
    wanted.conditions = {
        {"Accepted", Is::kFalse, overruled ? "Conflicted" : "UnsupportedValue", with_doubts("not in force", key, view)},
        {std::string(kEnforced), Is::kFalse, overruled ? "Conflicted" : "Ignored", "not in force"}};
  } else {
    wanted.conditions = {{"Accepted", Is::kTrue, "Accepted", with_doubts(bound_text(key, policy.selector, view), key, view)},
                         {std::string(kEnforced), Is::kTrue, "Enforced", ""}};
  }
  return wanted;
}

}  // namespace

Wanted of_policy(const config::Object& object, const View& view) {
  if (const auto* policy = std::get_if<AuthorizationPolicy>(&object)) return of(*policy, object, view);
  return of(std::get<PeerAuthentication>(object), config::key_of(object), view);
}

}  // namespace culvert::controlplane
