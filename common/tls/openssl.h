#pragma once
// Owners for OpenSSL's objects and the text of its errors. Of this folder.

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/tls/certificate.h"

namespace culvert::tls {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Freer<Free>>;

using BioPtr = Owned<BIO, BIO_free_all>;
using X509Ptr = Owned<X509, X509_free>;
using KeyPtr = Owned<EVP_PKEY, EVP_PKEY_free>;

// Reads from the text; it must outlive the BIO.
BioPtr bio_of(std::string_view text);
std::string text_of(BIO* bio);

// What OpenSSL says went wrong, newest first; empties its queue.
std::string openssl_error();
std::unexpected<Error> openssl_failure(std::string_view what);

Certificate wrap(X509Ptr certificate);
PrivateKey wrap(KeyPtr key);

// URI and DNS names of a subjectAltName extension.
std::vector<std::string> names_of(const GENERAL_NAMES* names, int type);

}  // namespace culvert::tls
