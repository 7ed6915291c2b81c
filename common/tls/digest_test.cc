#include "common/tls/digest.h"

#include <gtest/gtest.h>

#include "common/base/base64.h"

namespace culvert::tls {
namespace {

std::string text(const std::array<unsigned char, 32>& digest) {
  return to_base64({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

// FIPS 180-4's own examples.
TEST(Digest, IsThatOfTheStandard) {
  EXPECT_EQ(to_base64(sha1("abc")), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
  EXPECT_EQ(text(sha256("abc")), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

TEST(Digest, OfNothingIsOne) {
  EXPECT_EQ(to_base64(sha1("")), "2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
  EXPECT_EQ(text(sha256("")), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

}  // namespace
}  // namespace culvert::tls
