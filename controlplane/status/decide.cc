#include "controlplane/status/decide.h"

#include <algorithm>
#include <utility>

#include "common/config/kinds.h"
#include "common/derive/service_entry.h"
#include "common/derive/unenforced.h"
#include "proto/istio/networking/v1alpha3/service_entry.pb.h"

namespace culvert::controlplane {
namespace {

using config::Kind;
using Is = Condition::Is;

constexpr std::string_view kBound = "istio.io/WaypointBound", kMissing = "istio.io/WaypointMissing";

bool is_gateway_api(Kind kind) {
  const config::CustomKind* row = config::find_kind(kind);
  return row != nullptr && row->group == "gateway.networking.k8s.io";
}

const config::Object* find(const config::Key& key, const View& view) {
  const auto& names = view.objects.in(key.kind, key.name_space);
  const auto found = names.find(key.name);
  return found == names.end() ? nullptr : found->second.get();
}

// A type that its good versions have as well, so that mending it ends this.
std::string accepted_type(const config::Key& key, const config::Object* good) {
  if (key.kind != Kind::kAuthorizationPolicy) return "Accepted";
  const auto* policy = good ? std::get_if<config::AuthorizationPolicy>(good) : nullptr;
  return policy && !policy->target_refs.empty() ? "WaypointAccepted" : "ZtunnelAccepted";
}

Wanted unreadable(const config::Key& key, const config::Object* good, const std::string& why) {
  std::string message = why;
  if (good) message += ". The last good version stays in force";
  else if (config::is_policy(key.kind))
    message += ". Inbound connections of its namespace are denied until it is corrected or removed";
  else message += ". It is left out";
  Wanted wanted;
  wanted.conditions.push_back({accepted_type(key, good), Is::kFalse, "Invalid", std::move(message)});
  if (!good) wanted.retired = {std::string(kEnforced)};
  return wanted;
}

// As istiod says it of an entry with a wildcard.
void say_missing(const config::Object& object, bool led, Wanted& wanted) {
  const auto* spec = derive::spec_of<istio::networking::v1alpha3::ServiceEntry>(&object);
  if (led || !spec || std::ranges::none_of(spec->hosts(), derive::is_wildcard)) wanted.retired.emplace_back(kMissing);
  else
    wanted.conditions.push_back(
        {std::string(kMissing), Is::kTrue, "NoWaypointForWildcardService",
         "a host with a wildcard takes a waypoint (label istio.io/use-waypoint), and there is none that it may use"});
}

Wanted of_istio(const config::Key& key, const config::Object& object, const View& view) {
  Wanted wanted;
  wanted.conditions.push_back({"Accepted", Is::kTrue, "Accepted", with_doubts("valid", key, view)});
  wanted.conditions.push_back(enforced(object));
  if (key.kind != Kind::kServiceEntry && key.kind != Kind::kWorkloadEntry) return wanted;
  auto bound = waypoint_bound(object, view);
  const bool led = bound && bound->is == Is::kTrue;
  if (bound) wanted.conditions.push_back(std::move(*bound));
  else wanted.retired.emplace_back(kBound);
  if (key.kind == Kind::kServiceEntry) say_missing(object, led, wanted);
  return wanted;
}

}  // namespace

Condition enforced(const config::Object& object) {
  constexpr std::size_t kMostFields = 10;
  const derive::Unenforced what = derive::unenforced(object);
  if (!what.any()) return {std::string(kEnforced), Is::kTrue, "Enforced", ""};
  if (what.never)
    return {std::string(kEnforced), Is::kFalse, "Ignored", "has no meaning in a mesh without sidecars, and is never read"};
  std::string fields;
  for (std::size_t i = 0; i < what.fields.size() && i < kMostFields; ++i) fields += (i > 0 ? ", " : "") + what.fields[i];
  if (what.fields.size() > kMostFields) fields += " and " + std::to_string(what.fields.size() - kMostFields) + " more";
  std::string message = "checked and kept";
  if (what.all && fields.empty()) message += "; this version enforces nothing of it yet";
  else if (what.all) message += "; this version enforces nothing of it yet, because of " + fields;
  else message += "; this version does not enforce " + fields + " yet";
  return {std::string(kEnforced), Is::kFalse, "NotEnforcedYet", std::move(message)};
}

std::string with_doubts(std::string message, const config::Key& key, const View& view) {
  for (const std::string& doubt : derive::doubts(key, view.objects, view.settings, view.tally)) message += "; " + doubt;
  return message;
}

std::optional<Wanted> wanted_of(const config::Key& key, const View& view) {
  const config::Object* good = find(key, view);
  const bool ours = view.objects.invalid().contains(key);  // and not of a namespace that is not in the mesh
  if (const std::string& why = view.board.trouble(key); ours && !why.empty()) {
    if (key.kind == Kind::kService || (is_gateway_api(key.kind) && !good)) return std::nullopt;  // whose it is, nobody can see
    if (is_gateway_api(key.kind) && !of_gateway_api(std::get<config::Custom>(*good), view)) return std::nullopt;
    return unreadable(key, good, why);
  }
  if (!good) return std::nullopt;
  if (config::is_policy(key.kind)) return of_policy(*good, view);
  if (is_gateway_api(key.kind)) return of_gateway_api(std::get<config::Custom>(*good), view);
  if (config::is_custom(key.kind)) return of_istio(key, *good, view);
  if (key.kind != Kind::kService) return std::nullopt;
  Wanted wanted;
  if (auto bound = waypoint_bound(*good, view)) wanted.conditions = {std::move(*bound)};
  else wanted.retired = {std::string(kBound)};
  return wanted;
}

}  // namespace culvert::controlplane
