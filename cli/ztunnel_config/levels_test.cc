#include "cli/ztunnel_config/levels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/ztunnel_config/dump.h"

namespace culvert::cli {
namespace {

using testing::HasSubstr;

TEST(LogDirective, IsWrittenAsIstioctlsUsersDo) {
  EXPECT_EQ(log_directive("access:debug,info"), "access=debug,info");
  EXPECT_EQ(log_directive("proxy::inbound:trace"), "proxy::inbound=trace");
  EXPECT_EQ(log_directive("proxy::inbound=trace,warning"), "proxy::inbound=trace,warn");
  EXPECT_EQ(log_directive("critical"), "error");
  EXPECT_EQ(log_directive("off"), "off");
}

TEST(LogDirective, AWordThatIsNoLevelIsNamed) {
  for (const char* wrong : {"loud", "access:loud", "access::debug", ":debug", "info,", ""})
    EXPECT_FALSE(log_directive(wrong)) << wrong;
  EXPECT_THAT(log_directive("info,access:loud").error().text, HasSubstr("\"access:loud\" is no LEVEL"));
}

TEST(SerialNumber, IsShownInHexadecimal) {
  EXPECT_EQ(hexadecimal("0"), "0");
  EXPECT_EQ(hexadecimal("255"), "ff");
  EXPECT_EQ(hexadecimal("305588126544239889473434334342434343"), "3adaa86b07cbe6a2382f853c984e27");
  EXPECT_EQ(hexadecimal(""), "");
  EXPECT_EQ(hexadecimal("12a"), "");
}

}  // namespace
}  // namespace culvert::cli
