#pragma once
// Who signs the certificates of workloads: the CA that culvertd holds (Issuer), the Kubernetes API's signers (KubeSigner), or another CA that speaks
// Istio's protocol (UpstreamSigner). On the control thread.

#include <chrono>
#include <string>
#include <vector>

#include "common/base/identity.h"
#include "common/base/result.h"
#include "common/net/task.h"
#include "common/tls/authority.h"

namespace culvert::controlplane {

// What a caller may have: that is decided.
struct LeafRequest {
  std::string csr_pem;
  tls::CsrRequest csr;
  Identity identity;
  std::chrono::seconds lifetime{};
};

struct SignedLeaf {
  std::vector<std::string> chain;  // PEM, one certificate each: the leaf, then what lies between it and the roots
  std::string roots_pem;           // what its owner is to trust
  std::string serial;
  std::string expires;
};

class Signer {
 public:
  virtual ~Signer() = default;
  // Outlives the tasks it gives out.
  virtual net::Task<Result<SignedLeaf>> sign(LeafRequest request) = 0;
};

// Fails unless this chain is for the key and the identity of the request, for nothing else, and leads to its roots. Others' signers are not taken at
// their word. Pure; fills in serial and expires.
Result<SignedLeaf> check_signed(const std::string& chain_pem, const std::string& roots_pem, const LeafRequest& request,
                                tls::SystemTime now);

}  // namespace culvert::controlplane
