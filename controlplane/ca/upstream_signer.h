#pragma once
// Another CA signs, which speaks the protocol that ztunnels speak with us (CA_ADDR): we decide who may have what, and ask on his behalf. It must trust us
// to: culvertd calls that CULVERT_TRUSTED_AUTHORITIES, or a token of the node "*".

#include <memory>

#include "common/rpc/ca_client.h"
#include "controlplane/ca/signer.h"

namespace culvert::controlplane {

class UpstreamSigner final : public Signer {
 public:
  UpstreamSigner(net::Loop& loop, rpc::CaOptions options) : client_(loop, std::move(options)) {}
  net::Task<Result<SignedLeaf>> sign(LeafRequest request) override;

 private:
  rpc::CaClient client_;
};

}  // namespace culvert::controlplane
