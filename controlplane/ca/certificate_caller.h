#pragma once
// Callers by a certificate of the mesh, shown in the TLS handshake: one of istiod's ways (protocols.md §4.2). It proves an identity, and neither a pod nor a
// node. So it gets its owner the next certificate of the same identity, and a node proxy the mesh's configuration; it gets nobody another's certificate,
// and shows nobody the debug pages. Pure.

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/derive/objects.h"
#include "controlplane/ca/callers.h"

namespace culvert::controlplane {

struct CertificateDemand {
  std::string_view roots_pem;  // what is published now
  std::string_view trust_domain;
  const std::vector<std::string>& node_accounts;  // "namespace/account": those of node proxies
  const derive::Objects& objects;
};

// `chain_pem`: leaf first, of which the caller has the key. Fails when it does not chain to the roots, is not valid now, is a CA's, or carries no
// identity of the trust domain. `peer` tells which of the pods of a node proxy this may be: for its name among the streams, it proves nothing.
Result<Caller> caller_by_certificate(std::string_view chain_pem, const IpAddress& peer, const CertificateDemand& demand,
                                     std::chrono::system_clock::time_point now);

}  // namespace culvert::controlplane
