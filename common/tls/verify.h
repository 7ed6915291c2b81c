#pragma once
// Who the peer is, and whether we want it. Of this folder.

#include <optional>
#include <string>
#include <vector>

#include "common/tls/openssl.h"

namespace culvert::tls {

// What one handshake demands of the peer's certificate, and what it found. Hangs on the SSL.
struct Demand {
  enum class Kind : std::uint8_t {
    kChain,        // that it chains to the roots (and the host name, which OpenSSL checks)
    kExpected,     // one of `expected`
    kTrustDomain,  // of `trust_domain`
  };
  Kind kind = Kind::kChain;
  std::vector<Identity> expected;
  std::string trust_domain;

  std::optional<Identity> identity;  // of the peer: its first SPIFFE URI SAN
  std::string complaint;             // why it was refused
};

// Decides whether the identities of a certificate satisfy the demand; writes identity and complaint.
bool satisfies(const std::vector<std::string>& uri_sans, Demand& demand);

void attach(SSL* ssl, Demand* demand);
// For SSL_CTX_set_verify.
int verify_peer(int chain_is_good, X509_STORE_CTX* store);

}  // namespace culvert::tls
