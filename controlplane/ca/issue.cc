#include "controlplane/ca/issue.h"

#include <algorithm>

#include "common/base/format.h"

namespace culvert::controlplane {

namespace {

constexpr std::chrono::seconds kMostAskedFor = std::chrono::hours(24 * 90);  // istiod's MAX_WORKLOAD_CERT_TTL

// A pod with the service account; of a namespace with machines outside the cluster, whatever it has: which accounts they have is their own affair.
bool is_used(const Identity& identity, const derive::Objects& objects) {
  for (const auto& [name, object] : objects.in(config::Kind::kPod, identity.name_space)) {
    const auto& pod = std::get<config::Pod>(*object);
    if (pod.spec.service_account == identity.service_account && pod.phase != config::PodPhase::kFailed) return true;
  }
  return !objects.in(config::Kind::kWorkloadEntry, identity.name_space).empty() ||
         !objects.in(config::Kind::kWorkloadGroup, identity.name_space).empty();
}

}  // namespace

Result<Identity> may_have(const Caller& caller, std::string_view requested, const derive::Objects& objects,
                          const IssuePolicy& policy) {
  if (requested.empty()) {
    if (caller.certified && !is_used(*caller.own, objects))
      return failure(caller.text() + " has no pod any more: its certificate gets it no other");
    if (caller.own) return Identity{policy.trust_domain, caller.own->name_space, caller.own->service_account};
    return failure("the request names no identity, and a node has none of its own (ImpersonatedIdentity is missing)");
  }
  auto identity = Identity::parse(requested);
  if (!identity) return std::unexpected(std::move(identity).error().during("reading the identity asked for"));
  if (identity->trust_domain != policy.trust_domain) {
    return failure(identity->uri() + " is not of the trust domain " + policy.trust_domain);
  }
  if (caller.any) return identity;
  if (caller.node.empty())
    return failure(caller.text() + " may not ask for " + identity->uri() + ": its account is not trusted to act for others");
  for (const auto& [name, object] : objects.in(config::Kind::kPod, identity->name_space)) {
    const auto& pod = std::get<config::Pod>(*object);
    if (pod.spec.node_name == caller.node && pod.spec.service_account == identity->service_account &&
        pod.phase != config::PodPhase::kFailed) {
      return identity;
    }
  }
  return failure("no pod with the identity " + identity->uri() + " is on node " + caller.node);
}

Result<std::chrono::seconds> lifetime_of(std::int64_t requested_seconds, const IssuePolicy& policy) {
  const auto wanted = requested_seconds > 0 ? std::chrono::seconds(requested_seconds) : policy.default_lifetime;
  if (wanted > std::max(policy.max_lifetime, kMostAskedFor))
    return failure(culvert::format("a lifetime of {} s is longer than anybody may ask for", requested_seconds));
  return std::min(wanted, policy.max_lifetime);
}

}  // namespace culvert::controlplane
