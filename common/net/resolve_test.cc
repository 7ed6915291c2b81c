#include "common/net/resolve.h"

#include <gtest/gtest.h>

namespace culvert::net {
namespace {

using namespace std::chrono_literals;

TEST(Resolve, AnAddressIsItsOwnAnswer) {
  Loop loop;
  EXPECT_EQ(loop.run(resolve(loop, "fd00::1", 1s)), std::vector{*IpAddress::parse("fd00::1")});
}

TEST(Resolve, AsksTheSystem) {
  Loop loop;
  const auto found = loop.run(resolve(loop, "localhost", 5s));
  ASSERT_TRUE(found) << found.error().text;
  for (const IpAddress& address : *found) EXPECT_TRUE(address.is_loopback()) << address.text();
}

TEST(Resolve, AFailureNamesTheHost) {
  Loop loop;
  const auto found = loop.run(resolve(loop, "a..b", 5s));
  ASSERT_FALSE(found);
  EXPECT_TRUE(found.error().text.starts_with("resolving a..b: ")) << found.error().text;
}

}  // namespace
}  // namespace culvert::net
