#include "ztunnel/identity/authority.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/tls/authority.h"

namespace culvert::ztunnel {

Result<CredentialsRef> read_answer(const rpc::SignedChain& answer, const tls::PrivateKey& key, const Identity& identity) {
  const auto bad = [](std::string text) { return failure("the authority's answer: " + std::move(text), Reason::kIdentityError); };
  std::vector<tls::Certificate> chain;
  for (const auto& pem :
       answer.certificates) {  // one each from istiod's own CA; with a plugged-in one the first may hold them all
    auto certificates = tls::Certificate::parse_all(pem);
    if (!certificates) return bad(certificates.error().text);
    std::ranges::move(*certificates, std::back_inserter(chain));
  }
  if (chain.empty()) return bad("no certificate");
  const auto named = chain.front().identity();
  if (named != identity) return bad("a certificate for " + (named ? named->uri() : "nobody") + " instead of " + identity.uri());
  auto own = tls::KeyPair::make(std::move(chain), key);
  if (!own) return bad(own.error().text);
  auto roots = tls::Roots::parse(answer.roots);
  if (!roots) return bad("its roots: " + roots.error().text);
  return std::make_shared<const Credentials>(std::move(*own), std::move(*roots));
}

net::Task<Result<CredentialsRef>> fetch_certificate(std::shared_ptr<rpc::CaClient> ca, Identity identity,
                                                    std::chrono::seconds lifetime) {
  auto csr = tls::make_csr(identity);
  if (!csr) co_return std::unexpected(std::move(csr).error());
  const auto answer = co_await ca->sign({.csr_pem = csr->pem, .identity = identity.uri(), .lifetime = lifetime});
  if (!answer) co_return std::unexpected(answer.error());
  co_return read_answer(*answer, csr->key, identity);
}

}  // namespace culvert::ztunnel
