#include "common/tls/jwk.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#include <algorithm>
#include <vector>

#include "common/base/base64.h"
#include "common/tls/openssl.h"

namespace culvert::tls {
namespace {

std::string base64url(std::string_view bytes) {
  std::string text = to_base64(bytes);
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  text.erase(std::min(text.find('='), text.size()));
  return text;
}

// A number of the key, big-endian; as long as `size`, or as short as it is.
std::string number(EVP_PKEY* key, const char* name, std::size_t size = 0) {
  BIGNUM* found = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &found) != 1) return "";
  const Owned<BIGNUM, BN_free> held(found);
  std::string bytes(std::max<std::size_t>(size, static_cast<std::size_t>(BN_num_bytes(found))), '\0');
  if (BN_bn2binpad(found, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size())) < 0) return "";
  return base64url(bytes);
}

std::string der_of(const Certificate& certificate) {
  unsigned char* data = nullptr;
  const int size = i2d_X509(certificate.native(), &data);
  std::string der(reinterpret_cast<const char*>(data), static_cast<std::size_t>(std::max(size, 0)));
  OPENSSL_free(data);
  return der;
}

}  // namespace

Result<Jwk> jwk_of(const Certificate& certificate) {
  EVP_PKEY* key = X509_get0_pubkey(certificate.native());
  if (key == nullptr) return openssl_failure("reading the key of " + certificate.subject());
  Jwk out{.type = "", .x5c = to_base64(der_of(certificate))};
  if (EVP_PKEY_is_a(key, "RSA") == 1) {
    out.type = "RSA";
    out.n = number(key, OSSL_PKEY_PARAM_RSA_N);
    out.e = number(key, OSSL_PKEY_PARAM_RSA_E);
    return out;
  }
  const auto bits = static_cast<std::size_t>(EVP_PKEY_get_bits(key));
  if (EVP_PKEY_is_a(key, "EC") != 1 || (bits != 256 && bits != 384 && bits != 521))
    return failure("the key of " + certificate.subject() + " is neither RSA nor of a curve P-256, P-384 or P-521");
  out.type = "EC";
  out.curve = "P-" + std::to_string(bits);
  out.x = number(key, OSSL_PKEY_PARAM_EC_PUB_X, (bits + 7) / 8);
  out.y = number(key, OSSL_PKEY_PARAM_EC_PUB_Y, (bits + 7) / 8);
  return out;
}

}  // namespace culvert::tls
