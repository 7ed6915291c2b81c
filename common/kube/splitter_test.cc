#include "common/kube/splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace culvert::kube {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Piece = Splitter::Piece;

// What comes out of a text that is fed in pieces of `step` bytes; how it failed as the last of them.
std::vector<std::string> split(std::string_view text, std::size_t step, Splitter splitter = Splitter()) {
  std::vector<std::string> said;
  const auto hand = [&](const Piece& piece) {
    std::string line = piece.kind == Piece::kEnd ? "end" : std::string(piece.name) + "=" + std::string(piece.text);
    if (piece.kind == Piece::kItem) line.insert(0, "*");
    if (!piece.refused.empty()) line += " (" + std::string(piece.refused) + ")";
    said.push_back(line);
  };
  for (std::size_t at = 0; at < text.size(); at += step) {
    if (const auto fed = splitter.feed(text.substr(at, step), hand); !fed) {
      said.push_back(fed.error().text);
      return said;
    }
  }
  if (!splitter.between()) said.emplace_back("cut");
  return said;
}
std::vector<std::string> split(std::string_view text) { return split(text, text.size()); }

TEST(Splitter, CutsAListIntoItsItemsWhereverThePiecesEnd) {
  const std::string_view text =
      "{ \"kind\" : \"List\",\"metadata\":{\"resourceVersion\":\"1\"},\r\n\"items\": [ {\"a\":\"}]\\\"\\\\\"} , "
      "{\"b\":[1,{}]},\"x\" ,12]"
      ",\"more\":null}\n";
  for (std::size_t step = 1; step <= text.size(); ++step)
    EXPECT_THAT(split(text, step),
                ElementsAre("kind=\"List\"", "metadata={\"resourceVersion\":\"1\"}", "*items={\"a\":\"}]\\\"\\\\\"}",
                            "*items={\"b\":[1,{}]}", "*items=\"x\"", "*items=12", "more=null", "end"))
        << step;
}

TEST(Splitter, CutsAWatchIntoItsEvents) {
  const std::string_view text = "{\"type\":\"ADDED\",\"object\":{\"items\":[1]}}\n{\"type\":\"DELETED\",\"object\":{}}{}";
  for (std::size_t step = 1; step <= text.size(); ++step)
    EXPECT_THAT(split(text, step),
                ElementsAre("type=\"ADDED\"", "object={\"items\":[1]}", "end", "type=\"DELETED\"", "object={}", "end", "end"));
}

TEST(Splitter, AnEmptyListHasNoItems) {
  EXPECT_THAT(split("{\"items\":[]}"), ElementsAre("end"));
  EXPECT_THAT(split("{\"items\":null}"), ElementsAre("items=null", "end"));
}

TEST(Splitter, ATooLongValueIsReadOverAndItsBeginningHandedOn) {
  const std::string text = "{\"items\":[{\"n\":\"" + std::string(100, 'x') + "\"},{\"n\":1}]}";
  for (std::size_t step = 1; step <= text.size(); ++step)
    EXPECT_THAT(split(text, step, Splitter("items", {.value = 10, .depth = 4})),
                ElementsAre("*items={\"n\":\"xxxx (too long)", "*items={\"n\":1}", "end"));
}

TEST(Splitter, ATooDeepValueIsReadOver) {
  const std::string deep = "[[[[[[{\"a\":[]}]]]]]]";
  const auto said = split("{\"items\":[" + deep + ",{}]}", 1, Splitter("items", {.value = 1000, .depth = 4}));
  ASSERT_EQ(said.size(), 3U);
  EXPECT_THAT(said[0], HasSubstr("(nested too deeply)"));
  EXPECT_EQ(said[1], "*items={}");
}

TEST(Splitter, FailsForGoodOnWhatIsNoJson) {
  for (const char* text : {"<html>", "[1]", "{,", "{\"a\" 1}", "{\"a\":}", "{\"a\":1 2}", "{\"items\":[1,]}", "{\"items\":[1 2]}",
                           "{\"a\":[1}", "{\"a\":{]", "{\"a\":1,}", "{\"a\":x}", "}"}) {
    const auto said = split(text, 1);
    ASSERT_FALSE(said.empty()) << text;
    EXPECT_THAT(said.back(), testing::StartsWith("JSON: expected ")) << text;
  }
  Splitter splitter;
  EXPECT_FALSE(splitter.feed("x", [](const Piece&) {}));
  EXPECT_FALSE(splitter.feed("{}", [](const Piece&) {}));
  EXPECT_THAT(split("{\"" + std::string(1000, 'n') + "\":1}").back(), HasSubstr("a shorter name"));
}

TEST(Splitter, SaysWhereATextWasCutOff) {
  const std::string_view text = "{\"kind\":\"X\",\"metadata\":{\"name\":\"a\",\"uid\":\"1";
  EXPECT_EQ(split(text).back(), "cut");
  Splitter splitter;
  ASSERT_TRUE(splitter.feed(text, [](const Piece&) {}));
  EXPECT_EQ(splitter.unfinished_name(), "metadata");
  EXPECT_EQ(splitter.unfinished_text(), "{\"name\":\"a\",\"uid\":\"1");
}

}  // namespace
}  // namespace culvert::kube
