#pragma once
// Which trust domain the CA is to be of: that of the root in use where there is one that names any, else MeshConfig's, else the setting (protocols.md §4.3).
// MeshConfig may change at any time: whoever follows the CA asks each time.

#include <functional>
#include <string>

#include "common/derive/objects.h"
#include "common/kube/client.h"
#include "controlplane/ca/root.h"

namespace culvert::controlplane {

struct TrustDomainWanted {
  std::string trust_domain;
  Of of = Of::
      kThis;  // kAny: MeshConfig says it, or cannot be read. It may be edited at any time, and nobody is to be kept from starting by that

  // Of which a root that is there must be, if it names one; empty: of any.
  std::string demanded() const { return of == Of::kThis ? trust_domain : ""; }
};
// As it is now, with everything that the configuration says.
using AskTrustDomain = std::function<TrustDomainWanted()>;

TrustDomainWanted trust_domain_wanted(const derive::Objects& objects, const derive::Settings& settings);

// The same, asking the API server for MeshConfig. Fails when it cannot be asked.
net::Task<Result<TrustDomainWanted>> ask_trust_domain(kube::Client& client, derive::Settings settings);

}  // namespace culvert::controlplane
