#include "common/tls/verify.h"

#include <algorithm>

#include "common/base/format.h"

namespace culvert::tls {
namespace {

// Of what a certificate says of itself: a peer that has proven nothing chooses it, and it goes into our log.
constexpr std::size_t kMostToldOfPeer = 300;

std::string cut(std::string text) {
  if (text.size() > kMostToldOfPeer) text.replace(kMostToldOfPeer, std::string::npos, "…");
  return text;
}

int demand_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string list(const std::vector<Identity>& identities) {
  std::string text;
  for (std::size_t i = 0; i < identities.size(); ++i) {
    if (i > 0) text += " or ";
    text += identities[i].uri();
  }
  return text.empty() ? "nobody" : text;
}

std::string presented(const std::vector<std::string>& uri_sans) {
  if (uri_sans.empty()) return "a certificate without a SPIFFE identity";
  std::string text = uri_sans.front();
  for (std::size_t i = 1; i < uri_sans.size() && text.size() <= kMostToldOfPeer; ++i) text.append(" and ").append(uri_sans[i]);
  return cut(std::move(text));
}

}  // namespace

bool satisfies(const std::vector<std::string>& uri_sans, Demand& demand) {
  std::vector<Identity> identities;
  for (const std::string& uri : uri_sans)
    if (auto identity = Identity::parse(uri)) identities.push_back(std::move(*identity));
  if (!identities.empty()) demand.identity = identities.front();

  switch (demand.kind) {
    case Demand::Kind::kChain: return true;
    case Demand::Kind::kExpected:
      if (std::ranges::any_of(identities, [&](const Identity& one) { return std::ranges::contains(demand.expected, one); }))
        return true;
      demand.complaint = culvert::format("the peer presented {}, expected {}", presented(uri_sans), list(demand.expected));
      return false;
    case Demand::Kind::kTrustDomain:
      // Policy is asked about the first identity, so it is the one that has to be of our domain.
      if (demand.identity && demand.identity->trust_domain == demand.trust_domain) return true;
      demand.complaint =
          culvert::format("the peer presented {}, expected trust domain {}", presented(uri_sans), demand.trust_domain);
      return false;
  }
  return false;
}

void attach(SSL* ssl, Demand* demand) { SSL_set_ex_data(ssl, demand_index(), demand); }

int verify_peer(int chain_is_good, X509_STORE_CTX* store) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* demand = static_cast<Demand*>(SSL_get_ex_data(ssl, demand_index()));
  X509* certificate = X509_STORE_CTX_get_current_cert(store);
  if (chain_is_good == 0) {
    if (demand->complaint.empty()) {
      const std::string subject = certificate == nullptr ? "none" : [&] {
        X509_up_ref(certificate);
        return cut(wrap(X509Ptr(certificate)).subject());
      }();
      demand->complaint = culvert::format("the peer's certificate ({}): {}", subject,
                                          X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    }
    return 0;
  }
  if (X509_STORE_CTX_get_error_depth(store) != 0) return 1;
  const Owned<GENERAL_NAMES, GENERAL_NAMES_free> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (satisfies(names_of(names.get(), GEN_URI), *demand)) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

}  // namespace culvert::tls
