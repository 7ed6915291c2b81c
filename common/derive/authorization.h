#pragma once
// AuthorizationPolicies -> what an L4 proxy enforces of them (protocols.md §3.4). Pure.

#include <optional>
#include <string>
#include <vector>

#include "common/derive/objects.h"
#include "common/model/policy.h"

namespace culvert::derive {

struct Converted {
  std::optional<model::Policy> policy;  // none: nothing of it is for an L4 proxy
  std::vector<std::string> warnings;    // what of it is not enforced, or not as it reads
};
Converted convert(const config::AuthorizationPolicy& policy, const Settings& settings);

// Whether something of the policy is for an L4 proxy.
bool is_sent(const config::AuthorizationPolicy& policy, const Settings& settings);

// "namespace/name" of the selector policies that are sent and apply to a workload with these labels, sorted: those of its namespace and of the root
// namespace.
std::vector<std::string> selecting_policies(const config::Metadata& workload, const Objects& objects, const Settings& settings);

// Stands for the policies of a namespace that cannot be read and have no good predecessor: denies everything there. In the root namespace it denies
// in the whole mesh, which is how far such a policy reaches, and stands also for policies whose namespace cannot be read (""). None when all can be.
std::optional<model::Policy> unreadable_policy(std::string_view name_space, const Objects& objects, const Settings& settings);

}  // namespace culvert::derive
