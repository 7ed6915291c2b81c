#include "common/tls/authority.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "common/base/format.h"
#include "common/tls/openssl.h"

namespace culvert::tls {
namespace {

using RequestPtr = Owned<X509_REQ, X509_REQ_free>;
using ExtensionPtr = Owned<X509_EXTENSION, X509_EXTENSION_free>;
using NamesPtr = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;

// Signature algorithms that hash by themselves take no digest.
const EVP_MD* digest_for(EVP_PKEY* key) {
  return EVP_PKEY_is_a(key, "ED25519") == 1 || EVP_PKEY_is_a(key, "ED448") == 1 ? nullptr : EVP_sha256();
}

bool add_text_name(GENERAL_NAMES* names, int type, std::string_view text) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
  GENERAL_NAME_set0_value(name, type, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

bool add_address(GENERAL_NAMES* names, const IpAddress& address) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_OCTET_STRING* value = ASN1_OCTET_STRING_new();
  ASN1_OCTET_STRING_set(value, address.bytes().data(), static_cast<int>(address.bytes().size()));
  GENERAL_NAME_set0_value(name, GEN_IPADD, value);
  return sk_GENERAL_NAME_push(names, name) > 0;
}

NamesPtr uri_names(std::string_view uri) {
  NamesPtr names(sk_GENERAL_NAME_new_null());
  add_text_name(names.get(), GEN_URI, uri);
  return names;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Names the issuer's key if the issuer does: somebody else's CA may not.
bool add_issuer_key(X509* leaf, X509* issuer) {
  const ASN1_OCTET_STRING* id = X509_get0_subject_key_id(issuer);
  if (id == nullptr) return true;
  const Owned<AUTHORITY_KEYID, AUTHORITY_KEYID_free> key(AUTHORITY_KEYID_new());
  key->keyid = ASN1_OCTET_STRING_dup(id);
  return X509_add1_ext_i2d(leaf, NID_authority_key_identifier, key.get(), 0, X509V3_ADD_DEFAULT) == 1;
}

// What every leaf has: made from text once, which takes as long as a signature.
std::span<const ExtensionPtr> leaf_extensions() {
  static const std::vector<ExtensionPtr> all = [] {
    std::vector<ExtensionPtr> made;
    for (const auto& [nid, value] : {std::pair(NID_basic_constraints, "critical,CA:FALSE"),
                                     std::pair(NID_key_usage, "critical,digitalSignature,keyEncipherment"),
                                     std::pair(NID_ext_key_usage, "serverAuth,clientAuth")})
      made.emplace_back(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
    return made;
  }();
  return all;
}

bool add_leaf_extensions(X509* leaf) {
  return std::ranges::all_of(leaf_extensions(),
                             [&](const ExtensionPtr& one) { return one && X509_add_ext(leaf, one.get(), -1) == 1; });
}

bool set_random_serial(X509* certificate) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // positive, always of full length
  const Owned<BIGNUM, BN_free> number(BN_bin2bn(bytes, sizeof bytes, nullptr));
  return BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_times(X509* certificate, SystemTime from, SystemTime until) {
  return ASN1_TIME_set(X509_getm_notBefore(certificate), std::chrono::system_clock::to_time_t(from)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), std::chrono::system_clock::to_time_t(until)) != nullptr;
}

// OpenSSL looks for an encoder for each key anew, which takes longer than a signature. A point of P-256, which all proxies send, needs none; but a
// certificate that is made so does not know its key until it is read again.
bool write_key(X509* leaf, EVP_PKEY* key) {
  char group[32] = {};
  if (EVP_PKEY_is_a(key, "EC") != 1 || EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1 ||
      std::string_view(group) != SN_X9_62_prime256v1)
    return X509_set_pubkey(leaf, key) == 1;
  unsigned char* point = nullptr;
  const std::size_t size = EVP_PKEY_get1_encoded_public_key(key, &point);
  if (size == 0) return false;
  if (X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(leaf), OBJ_nid2obj(NID_X9_62_id_ecPublicKey), V_ASN1_OBJECT,
                             OBJ_nid2obj(NID_X9_62_prime256v1), point, static_cast<int>(size)) == 1)
    return true;
  OPENSSL_free(point);
  return false;
}

// An unsigned leaf of `key` for `names`; an empty subject makes the SAN critical (RFC 5280 section 4.2.1.6).
X509Ptr unsigned_leaf(auto set_key, X509* issuer, GENERAL_NAMES* names, SystemTime from, SystemTime until) {
  X509Ptr leaf(X509_new());
  const bool made = leaf && X509_set_version(leaf.get(), X509_VERSION_3) == 1 && set_random_serial(leaf.get()) &&
                    set_times(leaf.get(), from, until) && set_key(leaf.get()) &&
                    X509_set_issuer_name(leaf.get(), X509_get_subject_name(issuer)) == 1 && add_leaf_extensions(leaf.get()) &&
                    add_issuer_key(leaf.get(), issuer) &&
                    X509_add1_ext_i2d(leaf.get(), NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) == 1;
  return made ? std::move(leaf) : nullptr;
}

Result<Certificate> sign_leaf(const KeyPair& issuer, auto set_key, GENERAL_NAMES* names, std::chrono::seconds lifetime,
                              SystemTime now) {
  const SystemTime until = std::min(now + lifetime, issuer.leaf().not_after());
  if (until <= now) return failure("signing a certificate: the signing certificate has expired, or the lifetime is not positive");
  X509Ptr leaf = unsigned_leaf(set_key, issuer.leaf().native(), names, now - kBackdate, until);
  if (!leaf || X509_sign(leaf.get(), issuer.key().native(), digest_for(issuer.key().native())) == 0)
    return openssl_failure("signing a certificate");
  return wrap(std::move(leaf));
}

Result<Certificate> sign_leaf(const KeyPair& issuer, EVP_PKEY* key, GENERAL_NAMES* names, std::chrono::seconds lifetime,
                              SystemTime now) {
  return sign_leaf(issuer, [key](X509* leaf) { return X509_set_pubkey(leaf, key) == 1; }, names, lifetime, now);
}

RequestPtr request_for(const Identity& identity, EVP_PKEY* key) {
  RequestPtr request(X509_REQ_new());
  const NamesPtr names = uri_names(identity.uri());
  unsigned char* der = nullptr;
  const int size = i2d_GENERAL_NAMES(names.get(), &der);
  if (size < 0) return nullptr;
  ASN1_OCTET_STRING* octets = ASN1_OCTET_STRING_new();
  ASN1_STRING_set0(octets, der, size);
  const ExtensionPtr extension(X509_EXTENSION_create_by_NID(nullptr, NID_subject_alt_name, 1, octets));
  ASN1_OCTET_STRING_free(octets);
  const Owned<STACK_OF(X509_EXTENSION), [](STACK_OF(X509_EXTENSION) * s) { sk_X509_EXTENSION_free(s); }> extensions(
      sk_X509_EXTENSION_new_null());
  sk_X509_EXTENSION_push(extensions.get(), extension.get());
  const bool made =
      X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 && X509_REQ_set_pubkey(request.get(), key) == 1 &&
      X509_REQ_add_extensions(request.get(), extensions.get()) == 1 && X509_REQ_sign(request.get(), key, EVP_sha256()) > 0;
  return made ? std::move(request) : nullptr;
}

// The URIs that it asks for, and whether it asks for nothing else: no subject, no other names, no other extensions.
struct Asked {
  std::vector<std::string> uris;
  bool plain = false;
};
Asked asked_in(X509_REQ* request) {
  const Owned<STACK_OF(X509_EXTENSION), [](STACK_OF(X509_EXTENSION) * s) { sk_X509_EXTENSION_pop_free(s, X509_EXTENSION_free); }>
      extensions(X509_REQ_get_extensions(request));
  const NamesPtr names(static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
  Asked asked{.uris = names_of(names.get(), GEN_URI)};
  asked.plain = sk_X509_EXTENSION_num(extensions.get()) == 1 && sk_GENERAL_NAME_num(names.get()) == std::ssize(asked.uris) &&
                X509_NAME_entry_count(X509_REQ_get_subject_name(request)) == 0;
  return asked;
}

// Strong enough, and quick enough to check.
Status check_key(EVP_PKEY* key) {
  constexpr int kLeastStrength = 112;
  constexpr int kMostBits = 8192;
  const bool known = EVP_PKEY_is_a(key, "EC") == 1 || EVP_PKEY_is_a(key, "RSA") == 1 || EVP_PKEY_is_a(key, "ED25519") == 1 ||
                     EVP_PKEY_is_a(key, "ED448") == 1;
  if (!known)
    return failure("reading a certificate request: a key of a type that is not signed (EC, RSA, Ed25519 and Ed448 are)");
  if (EVP_PKEY_get_security_bits(key) < kLeastStrength || EVP_PKEY_get_bits(key) > kMostBits)
    return failure(culvert::format("reading a certificate request: a key of {} bits, which is too weak or too long (take P-256)",
                                   EVP_PKEY_get_bits(key)));
  return {};
}

bool add_subject(X509_NAME* name, const char* field, std::string_view text) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.data()),
                                    static_cast<int>(text.size()), -1, 0) == 1;
}

}  // namespace

Result<Csr> make_csr(const Identity& identity) {
  auto key = PrivateKey::generate();
  if (!key) return std::unexpected(key.error());
  const RequestPtr request = request_for(identity, key->native());
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (!request || PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) return openssl_failure("making a certificate request");
  return Csr{.pem = text_of(bio.get()), .key = std::move(*key)};
}

Result<CsrRequest> CsrRequest::parse(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) return failure("reading a certificate request: too long");
  ERR_clear_error();
  const BioPtr bio = bio_of(pem);
  const RequestPtr request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (!request) return openssl_failure("reading a certificate request");
  KeyPtr key(X509_REQ_get_pubkey(request.get()));
  if (!key) return openssl_failure("reading a certificate request: its public key");
  if (auto fit = check_key(key.get()); !fit) return std::unexpected(std::move(fit).error());
  if (X509_REQ_verify(request.get(), key.get()) != 1) return openssl_failure("reading a certificate request: its signature");
  CsrRequest result;
  Asked asked = asked_in(request.get());
  result.uri_sans_ = std::move(asked.uris);
  result.plain_ = asked.plain;
  result.key_ = std::shared_ptr<EVP_PKEY>(key.release(), EVP_PKEY_free);
  ERR_clear_error();
  return result;
}

bool CsrRequest::is_key_of(const Certificate& certificate) const {
  const bool same = EVP_PKEY_eq(X509_get0_pubkey(certificate.native()), key_.get()) == 1;
  ERR_clear_error();
  return same;
}

Result<Authority> Authority::make_root(std::string_view trust_domain, std::chrono::seconds lifetime, SystemTime now) {
  auto key = PrivateKey::generate();
  if (!key) return std::unexpected(key.error());
  X509Ptr root(X509_new());
  X509* certificate = root.get();
  X509_NAME* name = X509_get_subject_name(certificate);
  const NamesPtr names = uri_names(culvert::format("spiffe://{}", trust_domain));
  const bool made = X509_set_version(certificate, X509_VERSION_3) == 1 && set_random_serial(certificate) &&
                    set_times(certificate, now - kBackdate, now + lifetime) && X509_set_pubkey(certificate, key->native()) == 1 &&
                    add_subject(name, "O", trust_domain) && add_subject(name, "CN", kRootCommonName) &&
                    X509_set_issuer_name(certificate, name) == 1 &&
                    add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE") &&
                    add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
                    X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) == 1 &&
                    X509_sign(certificate, key->native(), EVP_sha256()) > 0;
  if (!made) return openssl_failure("making a root certificate");
  auto pair = KeyPair::make({wrap(std::move(root))}, std::move(*key));
  if (!pair) return std::unexpected(pair.error());
  return Authority(std::move(*pair));
}

Result<Authority> Authority::make_intermediate(std::string_view common_name, std::chrono::seconds lifetime,
                                               SystemTime now) const {
  auto key = PrivateKey::generate();
  if (!key) return std::unexpected(key.error());
  X509Ptr made(X509_new());
  X509* certificate = made.get();
  X509* issuer = pair_.leaf().native();
  const SystemTime until = std::min(now + lifetime, pair_.leaf().not_after());
  const bool good = X509_set_version(certificate, X509_VERSION_3) == 1 && set_random_serial(certificate) &&
                    set_times(certificate, now - kBackdate, until) && X509_set_pubkey(certificate, key->native()) == 1 &&
                    add_subject(X509_get_subject_name(certificate), "CN", common_name) &&
                    X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
                    add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    add_extension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    add_extension(certificate, certificate, NID_subject_key_identifier, "hash") &&
                    add_issuer_key(certificate, issuer) &&
                    X509_sign(certificate, pair_.key().native(), digest_for(pair_.key().native())) > 0;
  if (!good) return openssl_failure("making an intermediate certificate");
  std::vector<Certificate> chain = intermediates();
  chain.insert(chain.begin(), wrap(std::move(made)));
  auto pair = KeyPair::make(std::move(chain), std::move(*key));
  if (!pair) return std::unexpected(pair.error());
  return Authority(std::move(*pair));
}

Result<Authority> Authority::load(std::string_view certificate_pem, std::string_view key_pem, std::string_view chain_pem) {
  auto certificate = Certificate::parse(certificate_pem);
  if (!certificate) return std::unexpected(certificate.error());
  std::vector<Certificate> chain = {std::move(*certificate)};
  if (!chain_pem.empty()) {
    auto rest = Certificate::parse_all(chain_pem);
    if (!rest) return std::unexpected(rest.error());
    chain.insert(chain.end(), rest->begin(), rest->end());
  }
  auto key = PrivateKey::parse(key_pem);
  if (!key) return std::unexpected(key.error());
  auto pair = KeyPair::make(std::move(chain), std::move(*key));
  if (!pair) return std::unexpected(pair.error());
  if (!pair->leaf().is_ca()) return failure(culvert::format("{} is not a CA certificate", pair->leaf().subject()));
  return Authority(std::move(*pair));
}

Result<Certificate> Authority::sign(const CsrRequest& request, const Identity& identity, std::chrono::seconds lifetime,
                                    SystemTime now) const {
  return sign_leaf(pair_, request.public_key(), uri_names(identity.uri()).get(), lifetime, now);
}

Result<Authority::LeafText> Authority::sign_text(const CsrRequest& request, const Identity& identity,
                                                 std::chrono::seconds lifetime, SystemTime now) const {
  const auto leaf = sign_leaf(
      pair_, [&](X509* made) { return write_key(made, request.public_key()); }, uri_names(identity.uri()).get(), lifetime, now);
  if (!leaf) return std::unexpected(leaf.error());
  return LeafText{.pem = leaf->pem(), .serial = leaf->serial(), .expires = leaf->expires_at()};
}

Result<KeyPair> Authority::sign_server(PrivateKey key, std::span<const std::string> dns_names,
                                       std::span<const IpAddress> addresses, std::chrono::seconds lifetime,
                                       SystemTime now) const {
  const NamesPtr names(sk_GENERAL_NAME_new_null());
  for (const std::string& name : dns_names) add_text_name(names.get(), GEN_DNS, name);
  for (const IpAddress& address : addresses) add_address(names.get(), address);
  auto leaf = sign_leaf(pair_, key.native(), names.get(), lifetime, now);
  if (!leaf) return std::unexpected(leaf.error());
  std::vector<Certificate> chain = intermediates();
  chain.insert(chain.begin(), std::move(*leaf));
  return KeyPair::make(std::move(chain), std::move(key));
}

Result<KeyPair> Authority::make_server(std::span<const std::string> dns_names, std::span<const IpAddress> addresses,
                                       std::chrono::seconds lifetime, SystemTime now) const {
  auto key = PrivateKey::generate();
  if (!key) return std::unexpected(key.error());
  return sign_server(std::move(*key), dns_names, addresses, lifetime, now);
}

Status check_chain(std::span<const Certificate> chain, std::span<const Certificate> roots, SystemTime now) {
  const Owned<X509_STORE, X509_STORE_free> store(X509_STORE_new());
  for (const Certificate& root : roots) X509_STORE_add_cert(store.get(), root.native());
  // A stack that does not own them.
  const Owned<STACK_OF(X509), [](STACK_OF(X509) * s) { sk_X509_free(s); }> above(sk_X509_new_null());
  for (const Certificate& one : chain) sk_X509_push(above.get(), one.native());
  const Owned<X509_STORE_CTX, X509_STORE_CTX_free> check(X509_STORE_CTX_new());
  if (chain.empty() || X509_STORE_CTX_init(check.get(), store.get(), chain.front().native(), above.get()) != 1)
    return openssl_failure("verifying a certificate");
  X509_STORE_CTX_set_flags(check.get(), X509_V_FLAG_PARTIAL_CHAIN);  // as peers look at it: context.cc
  X509_STORE_CTX_set_time(check.get(), 0, std::chrono::system_clock::to_time_t(now));
  const bool good = X509_verify_cert(check.get()) == 1;
  ERR_clear_error();
  if (good) return {};
  return failure(
      culvert::format("{}: {}", chain.front().subject(), X509_verify_cert_error_string(X509_STORE_CTX_get_error(check.get()))));
}

Status Authority::check_roots(std::span<const Certificate> roots, SystemTime now) const {
  auto good = check_chain(pair_.chain(), roots, now);
  if (good) return good;
  return std::unexpected(
      std::move(good).error().during("nobody who trusts the root certificates would trust the CA certificate"));
}

bool Authority::has_signed(const Certificate& certificate) const {
  ERR_clear_error();
  const bool ours = X509_verify(certificate.native(), pair_.key().native()) == 1;
  ERR_clear_error();
  return ours;
}

Result<KeyPair> Authority::make_workload(const Identity& identity, std::chrono::seconds lifetime, SystemTime now) const {
  auto csr = make_csr(identity);
  if (!csr) return std::unexpected(csr.error());
  auto request = CsrRequest::parse(csr->pem);
  if (!request) return std::unexpected(request.error());
  auto leaf = sign(*request, identity, lifetime, now);
  if (!leaf) return std::unexpected(leaf.error());
  std::vector<Certificate> chain = intermediates();
  chain.insert(chain.begin(), std::move(*leaf));
  return KeyPair::make(std::move(chain), std::move(csr->key));
}

std::vector<Certificate> Authority::intermediates() const {
  if (pair_.leaf().is_self_issued()) return {};
  return pair_.chain();
}

}  // namespace culvert::tls
