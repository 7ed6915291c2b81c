#include "controlplane/ca/upstream_signer.h"

#include <utility>

namespace culvert::controlplane {

net::Task<Result<SignedLeaf>> UpstreamSigner::sign(LeafRequest request) {
  const auto answer =
      co_await client_.sign({.csr_pem = request.csr_pem, .identity = request.identity.uri(), .lifetime = request.lifetime});
  if (!answer) co_return std::unexpected(answer.error());
  std::string chain;
  for (const std::string& pem : answer->certificates) chain += pem;
  co_return check_signed(chain, answer->roots, request, std::chrono::system_clock::now());
}

}  // namespace culvert::controlplane
