// What is checked by hand and what the CRDs say as a pattern must be the same.
#include "common/config/format.h"

#include <gtest/gtest.h>

#include <regex>
#include <string>

#include "common/config/spelling.h"

namespace culvert::config {
namespace {

constexpr const char* kTexts[] = {"",
                                  "a",
                                  "A",
                                  "0",
                                  "-",
                                  "a-",
                                  "-a",
                                  "a.b",
                                  "a..b",
                                  ".a",
                                  "a.",
                                  "a.-b",
                                  "*.a.b",
                                  "*",
                                  "a*",
                                  "a/b",
                                  "a.b/c",
                                  "A.b/c",
                                  "a/",
                                  "/a",
                                  "a/b/c",
                                  "a_b",
                                  "_a",
                                  "x-user",
                                  "x user",
                                  "x`y",
                                  "GET",
                                  "Get",
                                  "http://a",
                                  "https://a/b c",
                                  "https:///a",
                                  "http://",
                                  "ftp://a",
                                  "Service",
                                  "Service-",
                                  "1s",
                                  "1h30m",
                                  "500ms",
                                  "1.5s",
                                  "1h2m3s4ms5s",
                                  "123456s",
                                  "10",
                                  "shop.Cart",
                                  "10.0.0.1",
                                  "fd00::1",
                                  "::ffff:10.0.0.1",
                                  "a.com/x%20y;z",
                                  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                                  "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
                                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

TEST(Format, IsThePatternOfTheCrds) {
  for (int format = culvert::Format_MIN + 1; format <= culvert::Format_MAX; ++format) {
    const FormatRow* row = row_of(static_cast<culvert::Format>(format));
    ASSERT_NE(row, nullptr);
    std::string pattern(row->pattern);
    const std::regex known(pattern);
    for (const std::string text : kTexts) {
      EXPECT_EQ(row->holds(text), std::regex_search(text, known)) << culvert::Format_Name(format) << " of \"" << text << "\"";
    }
  }
}

TEST(Format, TakesTextOfAnyLength) {
  const std::string text(1 << 20, 'a');
  for (int format = culvert::Format_MIN + 1; format <= culvert::Format_MAX; ++format)
    row_of(static_cast<culvert::Format>(format))->holds(text);
}

TEST(Format, OfAnyTextHasNoRow) { EXPECT_EQ(row_of(culvert::ANY_TEXT), nullptr); }

}  // namespace
}  // namespace culvert::config
