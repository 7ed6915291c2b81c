#pragma once
// PeerAuthentications -> DENY policies against connections without a mesh identity (protocols.md §3.5). Pure.
//
// The mode of a port is that of the first that sets it: the port in a selector policy of the pod's namespace, that policy, the namespace's
// policy, the mesh's; PERMISSIVE when none does. Among equals the oldest wins, then the first by name. DISABLE counts as PERMISSIVE.

#include <optional>
#include <string>
#include <vector>

#include "common/derive/objects.h"
#include "common/model/policy.h"

namespace culvert::derive {

// The one that holds for a whole namespace, or in the root namespace for the mesh: the oldest of those without a selector. Null when there is none.
const config::PeerAuthentication* wide_policy(const Objects& objects, std::string_view name_space);

// "istio-system/istio_converted_static_strict": denies everything without identity. Exists whenever a PeerAuthentication does.
std::optional<model::Policy> static_strict_policy(const Objects& objects, const Settings& settings);

// "ns/converted_peer_authentication_<name>", when its ports differ from what holds otherwise.
std::optional<model::Policy> convert(const config::PeerAuthentication& policy, const Objects& objects, const Settings& settings);

// Which of the two apply to a workload with these labels: none or one, except that a permissive base with strict ports names the converted one alone.
std::vector<std::string> peer_authentication_policies(const config::Metadata& workload, const Objects& objects,
                                                      const Settings& settings);

}  // namespace culvert::derive
