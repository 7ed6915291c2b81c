#include "common/base/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace culvert {
namespace {

TEST(ContentHash, IsXxh64) {
  EXPECT_EQ(content_hash(""), 0xef46db3751d8e999);
  EXPECT_EQ(content_hash("a"), 0xd24ec4f1a98c6e5b);
  EXPECT_EQ(content_hash("abc"), 0x44bc2cf5ad770999);
  EXPECT_EQ(content_hash("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1);
}

// The vectors of the paper's authors: the key is 00 01 … 0f, the text 00 01 … of so many bytes.
TEST(KeyedHash, IsSipHash24) {
  constexpr HashKey kKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::string text;
  for (char c = 0; c < 15; ++c) text += c;

  EXPECT_EQ(keyed_hash(kKey, ""), 0x726fdb47dd0e0e31);
  EXPECT_EQ(keyed_hash(kKey, std::string_view(text).substr(0, 1)), 0x74f839c593dc67fd);
  EXPECT_EQ(keyed_hash(kKey, std::string_view(text).substr(0, 8)), 0x93f5f5799a932462);
  EXPECT_EQ(keyed_hash(kKey, text), 0xa129ca6149be45e5);
}

TEST(KeyedHash, OfAnotherKeyIsAnother) {
  EXPECT_NE(keyed_hash({1, 2}, "a"), keyed_hash({1, 3}, "a"));
  EXPECT_EQ(own_hash_key(), own_hash_key());
  EXPECT_NE(own_hash_key(), HashKey());
}

}  // namespace
}  // namespace culvert
