#include "controlplane/ca/tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Tokens, KnowsEachNodeByItsToken) {
  const auto tokens = Tokens::parse("# nodes\n0123456789abcdef n1\n\n  fedcba9876543210\tn2  \r\n");

  ASSERT_TRUE(tokens) << tokens.error().text;
  EXPECT_EQ(tokens->node_of("Bearer 0123456789abcdef"), "n1");
  EXPECT_EQ(tokens->node_of("Bearer fedcba9876543210"), "n2");
}

TEST(Tokens, AnythingElseIsNobody) {
  const auto tokens = Tokens::parse("0123456789abcdef n1\n");

  for (const char* wrong : {"", "Bearer ", "Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0",
                            "0123456789abcdef", "bearer 0123456789abcdef", "Bearer 0123456789abcdef0123456789abcdef"}) {
    EXPECT_EQ(tokens->node_of(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(Tokens().node_of("Bearer "), std::nullopt);
}

TEST(Tokens, MistakesNameTheLineAndNeverTheToken) {
  for (const char* text :
       {"0123456789abcdef\n", "0123456789abcdef n1 n2\n", "short0123 n1\n", "0123456789abcdef a\n0123456789abcdef b\n"}) {
    const auto tokens = Tokens::parse(text);
    ASSERT_FALSE(tokens) << text;
    EXPECT_THAT(tokens.error().text, HasSubstr("line "));
    EXPECT_THAT(tokens.error().text, Not(HasSubstr("0123")));
  }
}

}  // namespace
}  // namespace culvert::controlplane
