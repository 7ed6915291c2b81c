#include "common/tls/certificate.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <ctime>

#include "common/base/format.h"
#include "common/tls/openssl.h"

namespace culvert::tls {
namespace {

// We never ask anybody for a pass phrase.
int no_pass_phrase(char*, int, int, void*) { return -1; }

Status check_size(std::string_view pem) {
  if (pem.size() > kMaxPemBytes)
    return failure(culvert::format("PEM text of {} bytes is longer than {}", pem.size(), kMaxPemBytes));
  return {};
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  std::tm utc{};
  if (ASN1_TIME_to_tm(time, &utc) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&utc));
}

std::vector<std::string> sans(X509* certificate, int type) {
  const Owned<GENERAL_NAMES, GENERAL_NAMES_free> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  return names_of(names.get(), type);
}

}  // namespace

BioPtr bio_of(std::string_view text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string openssl_error() {
  const char* data = nullptr;
  int flags = 0;
  const unsigned long code = ERR_peek_last_error_all(nullptr, nullptr, nullptr, &data, &flags);
  std::string text = "no reason given";
  if (const char* reason = ERR_reason_error_string(code)) text = reason;
  if (data != nullptr && *data != '\0' && (flags & ERR_TXT_STRING) != 0) text.append(" (").append(data).append(")");
  ERR_clear_error();
  return text;
}

std::unexpected<Error> openssl_failure(std::string_view what) {
  return failure(culvert::format("{}: {}", what, openssl_error()), Reason::kTlsFailure);
}

Certificate wrap(X509Ptr certificate) { return Certificate(std::shared_ptr<X509>(certificate.release(), X509_free)); }
PrivateKey wrap(KeyPtr key) { return PrivateKey(std::shared_ptr<EVP_PKEY>(key.release(), EVP_PKEY_free)); }

std::vector<std::string> names_of(const GENERAL_NAMES* names, int type) {
  std::vector<std::string> texts;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != type) continue;
    const ASN1_IA5STRING* text = name->d.ia5;  // URI and DNS names share the member
    texts.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                       static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  return texts;
}

Result<std::vector<Certificate>> Certificate::parse_all(std::string_view pem, std::size_t limit) {
  if (auto sized = check_size(pem); !sized) return std::unexpected(sized.error());
  ERR_clear_error();
  const BioPtr bio = bio_of(pem);
  std::vector<Certificate> certificates;
  for (;;) {
    X509Ptr next(PEM_read_bio_X509(bio.get(), nullptr, no_pass_phrase, nullptr));
    if (!next) {
      if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE || certificates.empty())
        return openssl_failure("reading a certificate");
      ERR_clear_error();  // the end of the text
      return certificates;
    }
    if (certificates.size() == limit) return failure(culvert::format("more than {} certificates in one text", limit));
    certificates.push_back(wrap(std::move(next)));
  }
}

Result<Certificate> Certificate::parse(std::string_view pem) {
  auto all = parse_all(pem, 1);
  if (!all) return std::unexpected(all.error());
  return std::move(all->front());
}

Result<Certificate> Certificate::parse_der(std::span<const std::byte> der) {
  if (der.size() > kMaxPemBytes) return failure("DER certificate is too long");
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const auto* end = at + der.size();
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate) return openssl_failure("reading a certificate");
  if (at != end) return failure("reading a certificate: bytes after its end");
  return wrap(std::move(certificate));
}

std::string Certificate::pem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), x509_.get());
  return text_of(bio.get());
}

std::vector<std::string> Certificate::uri_sans() const { return sans(x509_.get(), GEN_URI); }
std::vector<std::string> Certificate::dns_sans() const { return sans(x509_.get(), GEN_DNS); }

std::optional<Identity> Certificate::identity() const {
  for (const std::string& uri : uri_sans())
    if (auto identity = Identity::parse(uri)) return std::move(*identity);
  return std::nullopt;
}

std::string Certificate::serial() const {
  const Owned<BIGNUM, BN_free> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509_.get()), nullptr));
  if (!number) return "0";
  char* text = BN_bn2dec(number.get());
  std::string result = text == nullptr ? "0" : text;
  OPENSSL_free(text);
  return result;
}

std::chrono::system_clock::time_point Certificate::not_before() const { return time_of(X509_get0_notBefore(x509_.get())); }
std::chrono::system_clock::time_point Certificate::not_after() const { return time_of(X509_get0_notAfter(x509_.get())); }
std::string Certificate::valid_from() const { return rfc3339(not_before()); }
std::string Certificate::expires_at() const { return rfc3339(not_after()); }
bool Certificate::is_ca() const { return X509_check_ca(x509_.get()) == 1; }

bool Certificate::is_self_issued() const {
  return X509_NAME_cmp(X509_get_subject_name(x509_.get()), X509_get_issuer_name(x509_.get())) == 0;
}

std::string Certificate::subject() const {
  if (const auto uris = uri_sans(); !uris.empty()) return uris.front();
  const BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(x509_.get()), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return text_of(bio.get());
}

std::string Certificate::common_name() const {
  char text[256] = {};
  return X509_NAME_get_text_by_NID(X509_get_subject_name(x509_.get()), NID_commonName, text, sizeof text) < 0 ? "" : text;
}

Result<PrivateKey> PrivateKey::generate() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failure("making a key");
  return wrap(std::move(key));
}

Result<PrivateKey> PrivateKey::parse(std::string_view pem) {
  if (auto sized = check_size(pem); !sized) return std::unexpected(sized.error());
  ERR_clear_error();
  const BioPtr bio = bio_of(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_pass_phrase, nullptr));
  if (!key) return openssl_failure("reading a private key");
  return wrap(std::move(key));
}

std::string PrivateKey::private_pem() const {
  const BioPtr bio(BIO_new(BIO_s_secmem()));  // wiped when freed
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

Result<Roots> Roots::parse(std::string_view pem) {
  auto certificates = Certificate::parse_all(pem, kMaxRoots);
  if (!certificates) return std::unexpected(std::move(certificates.error()).during("trust roots"));
  return Roots(std::move(*certificates));
}

std::string Roots::pem() const {
  std::string text;
  for (const Certificate& certificate : certificates_) text += certificate.pem();
  return text;
}

Result<KeyPair> KeyPair::make(std::vector<Certificate> chain, PrivateKey key) {
  if (chain.empty()) return failure("a key pair needs a certificate");
  if (X509_check_private_key(chain.front().native(), key.native()) != 1) {
    ERR_clear_error();
    return failure(culvert::format("the private key is not that of {}", chain.front().subject()));
  }
  return KeyPair(std::move(chain), std::move(key));
}

Result<KeyPair> KeyPair::parse(std::string_view chain_pem, std::string_view key_pem) {
  auto chain = Certificate::parse_all(chain_pem);
  if (!chain) return std::unexpected(chain.error());
  auto key = PrivateKey::parse(key_pem);
  if (!key) return std::unexpected(key.error());
  return make(std::move(*chain), std::move(*key));
}

}  // namespace culvert::tls
