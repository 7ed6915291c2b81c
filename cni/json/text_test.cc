#include "cni/json/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::json {
namespace {

using testing::ElementsAre;

TEST(JsonText, TakesEveryValueOfTheStandard) {
  for (const auto* text : {"0", "-0", "-12.5e+3", "1E9", "\"\"", "\"\\u00e9\\n\\\"\"", "true", "false", "null", "[]", "{}",
                           " [ 1 , 2 ] ", "{\"a\":{\"b\":[1,{}]}}", "\n{\"a\" : \"x\"}\n"}) {
    EXPECT_TRUE(check(text)) << text;
  }
}

TEST(JsonText, RefusesWhatIsNoJson) {
  for (const auto* text :
       {"",     " ",     "01",       "1.",        ".5",    "+1",         "1e", "\"", "\"\\x\"", "\"\\u12g4\"", "\"a\nb\"", "tru",
        "[1,]", "[1 2]", "{\"a\":}", "{\"a\" 1}", "{a:1}", "{\"a\":1,}", "[",  "{",  "[1]]",    "{} {}",       "nan"}) {
    EXPECT_FALSE(check(text)) << text;
  }
}

TEST(JsonText, SaysWhereTheMistakeIs) {
  EXPECT_EQ(check("[1, x]").error().text, "no JSON: byte 4 of 6 is not what may stand there");
}

TEST(JsonText, RefusesWhatIsNestedTooDeeply) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };

  EXPECT_TRUE(check(nested(kMaxDepth + 1)));  // the outermost is at depth 0
  EXPECT_FALSE(check(nested(kMaxDepth + 2)));
  EXPECT_FALSE(check(std::string(1'000'000, '[')));
}

TEST(JsonText, ShowsValuesAsTheyStand) {
  const std::string_view text = R"( {"a" :  [1,  2.50, {"x":"\u00e9"}] , "b":"q" } )";

  EXPECT_EQ(find(text, "a"), R"([1,  2.50, {"x":"\u00e9"}])");
  EXPECT_THAT(elements(find(text, "a")), ElementsAre("1", "2.50", R"({"x":"\u00e9"})"));
  EXPECT_EQ(find(text, "b"), "\"q\"");
  EXPECT_EQ(find(text, "c"), "");
  EXPECT_EQ(find("[]", "c"), "");
}

TEST(JsonText, TakesTheLastOfTwoMembersOfOneName) { EXPECT_EQ(find(R"({"a":1,"a":2})", "a"), "2"); }

TEST(JsonText, UnderstandsStrings) {
  EXPECT_EQ(string_of(R"("a\"\\\/\b\f\n\r\t")"), "a\"\\/\b\f\n\r\t");
  EXPECT_EQ(string_of(R"("\u00e9\ud83d\ude00")"), "é😀");
  EXPECT_EQ(string_of(R"("\ud83d")"), std::nullopt);
  EXPECT_EQ(string_of(R"("\ude00x")"), std::nullopt);
  EXPECT_EQ(string_of("1"), std::nullopt);
  EXPECT_THAT(strings_of(R"(["a", 1, "b"])"), ElementsAre("a", "b"));
}

TEST(JsonText, WritesWhatItReads) {
  const std::string text = "a\"\\\n\x01\x7f é";

  EXPECT_TRUE(check(json::quoted(text)));
  EXPECT_EQ(string_of(json::quoted(text)), text);
  EXPECT_THAT(strings_of(json::quoted(std::vector<std::string>{"x", "y\""})), ElementsAre("x", "y\""));
}

}  // namespace
}  // namespace culvert::json
