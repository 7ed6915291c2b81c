#include "common/derive/peer_authentication.h"

#include <tuple>
#include <utility>

namespace culvert::derive {
namespace {

using config::PeerAuthentication;
using Mode = PeerAuthentication::Mode;

constexpr std::string_view kStaticStrict = "istio_converted_static_strict";
constexpr std::string_view kConverted = "converted_peer_authentication_";

// The oldest of those with these names, then the first by name.
template <class Names>
const PeerAuthentication* oldest(const Objects& objects, std::string_view name_space, const Names& names) {
  const PeerAuthentication* best = nullptr;
  for (const std::string_view name : names) {
    const auto* policy = objects.find<PeerAuthentication>(config::Kind::kPeerAuthentication, name_space, name);
    const auto age = [](const PeerAuthentication& one) { return std::tie(one.metadata.created, one.metadata.name); };
    if (!best || age(*policy) < age(*best)) best = policy;
  }
  return best;
}

Mode wide_mode(const Objects& objects, std::string_view name_space) {
  const PeerAuthentication* policy = wide_policy(objects, name_space);
  return policy ? policy->mode : Mode::kUnset;
}

// What holds for a namespace without looking at selectors.
bool namespace_is_strict(const Objects& objects, std::string_view name_space, const Settings& settings) {
  Mode mode = name_space == settings.root_namespace ? Mode::kUnset : wide_mode(objects, name_space);
  if (mode == Mode::kUnset) mode = wide_mode(objects, settings.root_namespace);
  return mode == Mode::kStrict;
}

bool is_strict(const PeerAuthentication& policy, const Objects& objects, const Settings& settings) {
  return policy.mode == Mode::kUnset ? namespace_is_strict(objects, policy.metadata.name_space, settings)
                                     : policy.mode == Mode::kStrict;
}

// Does the policy have ports whose mode is not the base?
bool has_exceptions(const PeerAuthentication& policy, bool strict) {
  for (const auto& [port, mode] : policy.ports) {
    if (mode != Mode::kUnset && (mode == Mode::kStrict) != strict) return true;
  }
  return false;
}

model::Match without_identity() {
  model::Match match;
  match.not_principals = {{model::StringMatch::Kind::kPresence, ""}};
  return match;
}

model::Policy deny(std::string name_space, std::string name, std::vector<model::Rule> rules) {
  model::Policy policy;
  policy.name = std::move(name);
  policy.name_space = std::move(name_space);
  policy.scope = model::Policy::Scope::kWorkloadSelector;
  policy.action = model::Policy::Action::kDeny;
  policy.rules = std::move(rules);
  return policy;
}

}  // namespace

const PeerAuthentication* wide_policy(const Objects& objects, std::string_view name_space) {
  return oldest(objects, name_space, objects.wide(config::Kind::kPeerAuthentication, name_space));
}

std::optional<model::Policy> static_strict_policy(const Objects& objects, const Settings& settings) {
  if (objects.namespaces(config::Kind::kPeerAuthentication).empty()) return std::nullopt;
  return deny(settings.root_namespace, std::string(kStaticStrict), {model::Rule{{model::Clause{{without_identity()}}}}});
}

std::optional<model::Policy> convert(const PeerAuthentication& policy, const Objects& objects, const Settings& settings) {
  if (policy.selector.empty() || policy.metadata.name_space == settings.root_namespace) return std::nullopt;
  const bool strict = is_strict(policy, objects, settings);
  if (!has_exceptions(policy, strict)) return std::nullopt;
  std::vector<model::Rule> rules;
  model::Match permissive;
  for (const auto& [port, mode] : policy.ports) {
    if (strict && mode != Mode::kUnset && mode != Mode::kStrict) permissive.not_destination_ports.push_back(port);
    if (strict || mode != Mode::kStrict) continue;
    model::Match match = without_identity();
    match.destination_ports = {port};
    rules.push_back({{model::Clause{{std::move(match)}}}});
  }
  if (strict) rules.push_back({{model::Clause{{without_identity()}}, model::Clause{{std::move(permissive)}}}});
  return deny(policy.metadata.name_space, std::string(kConverted) + policy.metadata.name, std::move(rules));
}

std::vector<std::string> peer_authentication_policies(const config::Metadata& workload, const Objects& objects,
                                                      const Settings& settings) {
  const std::string& name_space = workload.name_space;
  const PeerAuthentication* selecting = nullptr;
  if (name_space != settings.root_namespace) {
    selecting = oldest(objects, name_space, objects.selecting(config::Kind::kPeerAuthentication, name_space, workload.labels));
  }
  const bool strict = selecting ? is_strict(*selecting, objects, settings) : namespace_is_strict(objects, name_space, settings);
  if (selecting && has_exceptions(*selecting, strict))
    return {name_space + "/" + std::string(kConverted) + selecting->metadata.name};
  if (strict) return {settings.root_namespace + "/" + std::string(kStaticStrict)};
  return {};
}

}  // namespace culvert::derive
