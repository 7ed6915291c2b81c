#include "controlplane/ca/signer.h"

#include <algorithm>
#include <span>
#include <utility>

namespace culvert::controlplane {

Result<SignedLeaf> check_signed(const std::string& chain_pem, const std::string& roots_pem, const LeafRequest& request,
                                tls::SystemTime now) {
  const auto bad = [&](const std::string& why) {
    return failure("what the signer sent for " + request.identity.uri() + ": " + why);
  };
  const auto chain = tls::Certificate::parse_all(chain_pem);
  if (!chain) return bad(chain.error().text);
  const auto roots = tls::Certificate::parse_all(roots_pem, tls::kMaxRoots);
  if (!roots) return bad("its roots: " + roots.error().text);
  const tls::Certificate& leaf = chain->front();
  if (!request.csr.is_key_of(leaf)) return bad("a certificate of another key");
  const std::vector<std::string> names = leaf.uri_sans();
  if (names.size() != 1 || names.front() != request.identity.uri() || !leaf.dns_sans().empty())
    return bad("a certificate for " + (names.empty() ? "nobody" : names.front()));
  if (leaf.is_ca()) return bad("a CA certificate");
  if (now < leaf.not_before() || now >= leaf.not_after()) return bad("a certificate that is not valid now");
  if (auto leads = tls::check_chain(*chain, *roots, now); !leads) return bad(leads.error().text);
  SignedLeaf out{.chain = {}, .roots_pem = roots_pem, .serial = leaf.serial(), .expires = leaf.expires_at()};
  for (const tls::Certificate& one : *chain)
    if (&one == &leaf || !one.is_self_issued()) out.chain.push_back(one.pem());
  return out;
}

}  // namespace culvert::controlplane
