#include "common/tls/digest.h"

#include <openssl/evp.h>

#include "common/base/check.h"

namespace culvert::tls {

std::string sha1(std::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), out, &size, EVP_sha1(), nullptr) != 1) return {};
  return {reinterpret_cast<const char*>(out), size};
}

std::array<unsigned char, 32> sha256(std::string_view text) {
  std::array<unsigned char, 32> out;
  unsigned int size = 0;
  CULVERT_CHECK(EVP_Digest(text.data(), text.size(), out.data(), &size, EVP_sha256(), nullptr) == 1);  // out of memory
  CULVERT_CHECK(size == out.size());
  return out;
}

}  // namespace culvert::tls
