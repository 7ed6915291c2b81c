#include "common/base/address.h"

#include <gtest/gtest.h>

namespace culvert {
namespace {

TEST(IpAddress, MappedAddressIsTheIpv4Address) { EXPECT_EQ(*IpAddress::parse("::ffff:10.0.0.1"), *IpAddress::parse("10.0.0.1")); }

TEST(IpAddress, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "fe80::1%eth0", "[::1]", "host"})
    EXPECT_FALSE(IpAddress::parse(text)) << text;
}

TEST(IpAddress, KnowsItsKind) {
  EXPECT_TRUE(IpAddress::parse("127.8.9.1")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
  EXPECT_TRUE(IpAddress::parse("fe80::1")->is_link_local());
  EXPECT_TRUE(IpAddress::parse("::")->is_unspecified());
  EXPECT_FALSE(IpAddress().is_unspecified());
}

TEST(Endpoint, TextAndParseAreInverse) {
  for (const char* text : {"10.0.0.1:80", "[fd00::1]:65535", "0.0.0.0:0"}) EXPECT_EQ(Endpoint::parse(text)->text(), text);
}

TEST(Endpoint, RefusesWhatIsNoEndpoint) {
  for (const char* text : {"10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:8x", "fd00::1:80", "[10.0.0.1]:80", "[fd00::1]"})
    EXPECT_FALSE(Endpoint::parse(text)) << text;
}

TEST(Cidr, ContainsByPrefixOfTheSameFamily) {
  const auto net = *Cidr::parse("10.1.0.0/15");
  EXPECT_TRUE(net.contains(*IpAddress::parse("10.0.255.1")));
  EXPECT_FALSE(net.contains(*IpAddress::parse("10.2.0.1")));
  EXPECT_TRUE(Cidr::parse("::/0")->contains(*IpAddress::parse("fd00::1")));
  EXPECT_FALSE(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("fd00::1")));
  EXPECT_TRUE(Cidr::parse("fd00::1")->contains(*IpAddress::parse("fd00::1")));
}

TEST(Cidr, RefusesAPrefixLongerThanTheAddress) {
  EXPECT_FALSE(Cidr::parse("10.0.0.0/33"));
  EXPECT_FALSE(Cidr::parse("10.0.0.0/-1"));
  EXPECT_FALSE(Cidr::parse("10.0.0.0/"));
}

}  // namespace
}  // namespace culvert
