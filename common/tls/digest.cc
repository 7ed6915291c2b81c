#include "common/tls/digest.h"

#include <openssl/evp.h>

namespace culvert::tls {

std::string sha1(std::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), out, &size, EVP_sha1(), nullptr) != 1) return {};
  return {reinterpret_cast<const char*>(out), size};
}

}  // namespace culvert::tls
