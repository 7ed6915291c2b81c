#include "controlplane/ca/certificate_caller.h"

#include <algorithm>

#include "common/tls/authority.h"

namespace culvert::controlplane {
namespace {

// The node of the account's pod that has this address; else the identity and the address.
std::string proxy_name(const Identity& identity, const IpAddress& peer, const derive::Objects& objects) {
  for (const auto& [name, object] : objects.in(config::Kind::kPod, identity.name_space)) {
    const auto& pod = std::get<config::Pod>(*object);
    if (pod.spec.service_account == identity.service_account && !pod.spec.node_name.empty() && !pod.is_terminal() &&
        std::ranges::contains(pod.addresses, peer))
      return pod.spec.node_name;
  }
  return identity.uri() + " at " + peer.text();
}

}  // namespace

Result<Caller> caller_by_certificate(std::string_view chain_pem, const IpAddress& peer, const CertificateDemand& demand,
                                     std::chrono::system_clock::time_point now) {
  constexpr std::string_view kDoing = "the caller's certificate";
  const auto chain = tls::Certificate::parse_all(chain_pem);
  if (!chain) return std::unexpected(Error(chain.error()).during(kDoing));
  const auto roots = tls::Certificate::parse_all(demand.roots_pem, tls::kMaxRoots);
  if (!roots) return std::unexpected(Error(roots.error()).during("the root certificates"));
  if (const auto good = tls::check_chain(*chain, *roots, now); !good) return std::unexpected(Error(good.error()).during(kDoing));
  const tls::Certificate& leaf = chain->front();
  if (leaf.is_ca()) return failure("the caller's certificate is a CA's");
  const auto identity = leaf.identity();
  if (!identity) return failure("the caller's certificate carries no identity");
  if (identity->trust_domain != demand.trust_domain)
    return failure("the caller's certificate is of " + identity->uri() + ", not of the trust domain " +
                   std::string(demand.trust_domain));
  Caller caller{.node = "", .own = identity};
  caller.certified = true;
  if (std::ranges::contains(demand.node_accounts, identity->name_space + "/" + identity->service_account))
    caller.proxy = proxy_name(*identity, peer, demand.objects);
  return caller;
}

}  // namespace culvert::controlplane
