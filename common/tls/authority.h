#pragma once
// Asking for certificates and signing them (protocols.md section 4). Pure but for randomness and the clock that is passed in.

#include <chrono>

#include "common/base/address.h"
#include "common/tls/certificate.h"

namespace culvert::tls {

// A request as Istio's CA expects it: P-256, empty subject, one critical SAN URI.
struct Csr {
  std::string pem;
  PrivateKey key;
};
Result<Csr> make_csr(const Identity& identity);

// A CSR as received: its signature proves that the sender has the key. The names in it are wishes, never granted as such.
// Refuses keys that are weak (under 112 bits of strength, which is RSA 2048) or so long that checking them is work.
class CsrRequest {
 public:
  static Result<CsrRequest> parse(std::string_view pem);
  const std::vector<std::string>& uri_sans() const { return uri_sans_; }
  evp_pkey_st* public_key() const { return key_.get(); }
  bool is_key_of(const Certificate& certificate) const;
  // Asks for nothing but this URI: no subject, no other names, no other extensions. Who hands a request on to another signer must know that: he may
  // grant what is in it.
  bool asks_only_for(std::string_view uri) const { return plain_ && uri_sans_.size() == 1 && uri_sans_.front() == uri; }

 private:
  std::shared_ptr<evp_pkey_st> key_;
  std::vector<std::string> uri_sans_;
  bool plain_ = false;
};

using SystemTime = std::chrono::system_clock::time_point;

// Certificates are dated back by this, for clocks that differ.
inline constexpr std::chrono::seconds kBackdate{120};

// Fails unless whoever trusts these roots, and no other, trusts the first certificate of the chain; what lies between is behind it.
Status check_chain(std::span<const Certificate> chain, std::span<const Certificate> roots,
                   SystemTime now = std::chrono::system_clock::now());

inline constexpr std::string_view kRootCommonName = "Culvert root CA";

// A signing certificate with its key.
class Authority {
 public:
  // A new self-signed root: P-256, CN "Culvert root CA", O the trust domain, and the trust domain as SAN URI.
  static Result<Authority> make_root(std::string_view trust_domain, std::chrono::seconds lifetime = std::chrono::hours(24 * 3650),
                                     SystemTime now = std::chrono::system_clock::now());
  // A signing certificate under this one, which may sign leaves only.
  Result<Authority> make_intermediate(std::string_view common_name, std::chrono::seconds lifetime,
                                      SystemTime now = std::chrono::system_clock::now()) const;
  // Fails if the key is not the certificate's, or the certificate may not sign. `chain_pem` lies between it and the roots, may be empty.
  static Result<Authority> load(std::string_view certificate_pem, std::string_view key_pem, std::string_view chain_pem = {});

  // A workload's leaf: SAN `identity` (critical, empty subject), serverAuth + clientAuth, ends with the authority at the latest.
  Result<Certificate> sign(const CsrRequest& request, const Identity& identity, std::chrono::seconds lifetime,
                           SystemTime now = std::chrono::system_clock::now()) const;
  // The same as text, which is all that its owner gets: a third less work.
  struct LeafText {
    std::string pem, serial, expires;
  };
  Result<LeafText> sign_text(const CsrRequest& request, const Identity& identity, std::chrono::seconds lifetime,
                             SystemTime now = std::chrono::system_clock::now()) const;
  // A server's leaf of `key` for host names and addresses: what gRPC clients of the control plane verify.
  Result<KeyPair> sign_server(PrivateKey key, std::span<const std::string> dns_names, std::span<const IpAddress> addresses,
                              std::chrono::seconds lifetime, SystemTime now = std::chrono::system_clock::now()) const;
  // The same with a new key.
  Result<KeyPair> make_server(std::span<const std::string> dns_names, std::span<const IpAddress> addresses,
                              std::chrono::seconds lifetime, SystemTime now = std::chrono::system_clock::now()) const;
  // make_csr and sign in one: tests, and programs that are their own authority.
  Result<KeyPair> make_workload(const Identity& identity, std::chrono::seconds lifetime,
                                SystemTime now = std::chrono::system_clock::now()) const;

  // Fails unless whoever trusts these roots, and no other, trusts what we sign.
  Status check_roots(std::span<const Certificate> roots, SystemTime now = std::chrono::system_clock::now()) const;

  // True when the certificate bears our signature.
  bool has_signed(const Certificate& certificate) const;

  const Certificate& certificate() const { return pair_.leaf(); }
  const KeyPair& key_pair() const { return pair_; }
  // What leaves need between themselves and a root: empty for a self-signed authority.
  std::vector<Certificate> intermediates() const;

 private:
  explicit Authority(KeyPair pair) : pair_(std::move(pair)) {}
  KeyPair pair_;
};

}  // namespace culvert::tls
