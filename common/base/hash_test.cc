#include "common/base/hash.h"

#include <gtest/gtest.h>

namespace culvert {
namespace {

TEST(ContentHash, IsXxh64) {
  EXPECT_EQ(content_hash(""), 0xef46db3751d8e999);
  EXPECT_EQ(content_hash("a"), 0xd24ec4f1a98c6e5b);
  EXPECT_EQ(content_hash("abc"), 0x44bc2cf5ad770999);
  EXPECT_EQ(content_hash("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1);
}

}  // namespace
}  // namespace culvert
