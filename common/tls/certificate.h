#pragma once
// Certificates and keys as values: cheap to copy (shared, immutable), usable on any thread, readable only through this folder.
// Private keys are wiped when the last copy goes; they are never logged, and leave as text only through private_pem().

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/identity.h"
#include "common/base/result.h"

struct evp_pkey_st;
struct x509_st;

namespace culvert::tls {

// PEM text is refused past these, whoever sent it.
inline constexpr std::size_t kMaxPemBytes = 1024 * 1024;
inline constexpr std::size_t kMaxChainLength = 16;
inline constexpr std::size_t kMaxRoots = 512;

class Certificate {
 public:
  // Exactly one "-----BEGIN CERTIFICATE-----" block.
  static Result<Certificate> parse(std::string_view pem);
  static Result<Certificate> parse_der(std::span<const std::byte> der);
  // Every certificate of the text, in its order; at least one, at most `limit`.
  static Result<std::vector<Certificate>> parse_all(std::string_view pem, std::size_t limit = kMaxChainLength);

  std::string pem() const;                   // with a newline at the end
  std::optional<Identity> identity() const;  // the first URI SAN that is a SPIFFE identity
  std::vector<std::string> uri_sans() const;
  std::vector<std::string> dns_sans() const;
  std::string serial() const;  // decimal, as istioctl prints it
  std::chrono::system_clock::time_point not_before() const;
  std::chrono::system_clock::time_point not_after() const;
  std::string valid_from() const;  // RFC 3339, UTC
  std::string expires_at() const;
  bool is_ca() const;
  bool is_self_issued() const;      // as roots are
  std::string subject() const;      // for messages
  std::string common_name() const;  // empty: none

  x509_st* native() const { return x509_.get(); }
  explicit Certificate(std::shared_ptr<x509_st> x509) : x509_(std::move(x509)) {}

 private:
  std::shared_ptr<x509_st> x509_;
};

class PrivateKey {
 public:
  static Result<PrivateKey> generate();                   // ECDSA P-256
  static Result<PrivateKey> parse(std::string_view pem);  // PKCS#8, SEC1 or PKCS#1; not encrypted
  // The secret itself, PKCS#8: only for writing our own CA's 0600 file and for tests.
  std::string private_pem() const;

  evp_pkey_st* native() const { return key_.get(); }
  explicit PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

// What a peer's chain must end in. May hold several while a root is being replaced.
class Roots {
 public:
  Roots() = default;
  static Result<Roots> parse(std::string_view pem);
  explicit Roots(std::vector<Certificate> certificates) : certificates_(std::move(certificates)) {}
  const std::vector<Certificate>& certificates() const { return certificates_; }
  std::string pem() const;  // all of them, one after the other: a trust bundle

 private:
  std::vector<Certificate> certificates_;
};

// Who we are: the chain (leaf first) and its key.
class KeyPair {
 public:
  // Fails if the key is not the leaf's.
  static Result<KeyPair> make(std::vector<Certificate> chain, PrivateKey key);
  static Result<KeyPair> parse(std::string_view chain_pem, std::string_view key_pem);

  const std::vector<Certificate>& chain() const { return chain_; }
  const Certificate& leaf() const { return chain_.front(); }
  const PrivateKey& key() const { return key_; }

 private:
  KeyPair(std::vector<Certificate> chain, PrivateKey key) : chain_(std::move(chain)), key_(std::move(key)) {}
  std::vector<Certificate> chain_;
  PrivateKey key_;
};

}  // namespace culvert::tls
