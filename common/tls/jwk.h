#pragma once
// A certificate's public key as JSON Web Key parameters (RFC 7517, RFC 7518 section 6), as SPIFFE trust bundles hold it.

#include <string>

#include "common/base/result.h"
#include "common/tls/certificate.h"

namespace culvert::tls {

// Numbers are base64url without padding; those of the other type are empty.
struct Jwk {
  std::string type;                        // "EC", "RSA"
  std::string curve = {}, x = {}, y = {};  // "P-256", "P-384", "P-521"
  std::string n = {}, e = {};
  std::string x5c;  // the certificate: base64 of its DER, with padding
};

// Fails for keys of other types.
Result<Jwk> jwk_of(const Certificate& certificate);

}  // namespace culvert::tls
