#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "cli/print/json.h"
#include "cli/print/table.h"

namespace culvert::cli::print {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirLongestCellAndTheLastIsNotFilledUp) {
  EXPECT_EQ(table({{"NAME", "WHAT"}, {"a-longer-one", ""}, {"é", "x"}}, 1), "NAME         WHAT\na-longer-one \né            x\n");
}

TEST(Table, ColoursDoNotCountAndAreLeftOutWhenNobodyLooks) {
  const std::vector<Row> rows = {{{"bad", Colour::kRed}, "x"}, {"longer", "y"}};

  EXPECT_EQ(table(rows, 1), "bad    x\nlonger y\n");
  EXPECT_EQ(table(rows, 1, true), "\x1b[31mbad\x1b[0m    x\nlonger y\n");
}

TEST(Table, AStrangersTextDoesNothingToTheTerminal) { EXPECT_EQ(table({{"a\x1b[2Jb\nc", "x"}}, 1), "a [2Jb c x\n"); }

TEST(Json, MembersOfAnotherTypeAreAsGoodAsNone) {
  const auto value = boost::json::parse(R"({"t":"x","n":7,"f":true,"l":["a",1,"b"],"o":{"t":"y"}})");
  const auto& in = value.as_object();

  EXPECT_EQ(text_at(in, "t"), "x");
  EXPECT_EQ(text_at(in, "n"), "");
  EXPECT_EQ(number_at(in, "n"), 7U);
  EXPECT_EQ(number_at(in, "t"), 0U);
  EXPECT_TRUE(flag_at(in, "f"));
  EXPECT_TRUE(flag_at(in, "none", true));
  EXPECT_EQ(texts_at(in, "l"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(text_at(object_at(in, "o"), "t"), "y");
  EXPECT_TRUE(object_at(in, "l").empty());
  EXPECT_TRUE(array_at(in, "o").empty());
}

TEST(Json, IsIndentedByFour) {
  EXPECT_EQ(pretty(boost::json::parse(R"({"a":[1,{"b":[]}],"c":{}})")),
            "{\n    \"a\": [\n        1,\n        {\n            \"b\": []\n        }\n    ],\n    \"c\": {}\n}\n");
}

}  // namespace
}  // namespace culvert::cli::print
