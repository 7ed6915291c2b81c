#include "common/base/identity.h"

#include <gtest/gtest.h>

namespace culvert {
namespace {

TEST(Identity, ParseAndUriAreInverse) {
  const std::string uri = "spiffe://cluster.local/ns/default/sa/client";
  const auto identity = Identity::parse(uri);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->uri(), uri);
  EXPECT_EQ(identity->principal(), "cluster.local/ns/default/sa/client");
}

TEST(Identity, RefusesEveryOtherShape) {
  for (const char* uri : {"", "spiffe://", "spiffe://td", "spiffe://td/ns/a/sa", "spiffe://td/ns/a/sa/", "spiffe://td/ns//sa/b",
                          "spiffe:///ns/a/sa/b", "spiffe://td/ns/a/sa/b/c", "spiffe://td/sa/a/ns/b", "https://td/ns/a/sa/b",
                          "spiffe://td/ns/a/sa/b/"})
    EXPECT_FALSE(Identity::parse(uri)) << uri;
}

}  // namespace
}  // namespace culvert
