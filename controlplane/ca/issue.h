#pragma once
// May this caller have that certificate, and for how long? Pure (protocols.md §4.2, §4.3).

#include <chrono>
#include <string>

#include "common/base/identity.h"
#include "common/base/result.h"
#include "common/derive/objects.h"
#include "controlplane/ca/callers.h"

namespace culvert::controlplane {

struct IssuePolicy {
  std::string trust_domain = "cluster.local";
  std::chrono::seconds default_lifetime = std::chrono::hours(24);
  std::chrono::seconds max_lifetime = std::chrono::hours(24);
};

// Who names no identity asks for its own, in the mesh's trust domain: with a certificate only while there is something of that identity, else a key that was
// stolen once would be good for ever. A node proxy asks on behalf of the pods of its node only: `requested` must be the identity of a service
// account that has a pod there which has not failed. The error is for our log; the caller is told less.
Result<Identity> may_have(const Caller& caller, std::string_view requested, const derive::Objects& objects,
                          const IssuePolicy& policy);

// Not positive: the default. At most the maximum: nothing revokes a certificate before its end, and who renews goes by the one that he got. Fails past
// the 90 days that istiod bears.
Result<std::chrono::seconds> lifetime_of(std::int64_t requested_seconds, const IssuePolicy& policy);

}  // namespace culvert::controlplane
