#include "common/xds/versions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/xds/fields.h"

namespace culvert::xds {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

std::vector<std::pair<std::string, std::string>> list(const Versions& versions) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [name, version] : versions.all()) out.emplace_back(name, version);
  return out;
}

std::string entry(std::string_view name, std::string_view version) {
  std::string out;
  append_field(out, 1, name);
  append_field(out, 2, version);
  return out;
}

TEST(Versions, AreInOrderAndOfEachNameTheLast) {
  Versions versions;
  for (const auto& [name, version] : std::initializer_list<Versions::Pair>{{"b", "1"}, {"a", "2"}, {"c", "3"}, {"a", "4"}})
    versions.emplace(name, version);

  EXPECT_THAT(list(versions), ElementsAre(Pair("a", "4"), Pair("b", "1"), Pair("c", "3")));
  EXPECT_EQ(versions, (Versions{{"a", "4"}, {"c", "3"}, {"b", "1"}}));
}

TEST(Versions, AreTakenOutOfAMessageAndTheRestIsLeft) {
  std::string message;
  append_field(message, 2, "a type");
  for (const auto& [name, version] : std::initializer_list<Versions::Pair>{{"b", "1"}, {"a", "2"}, {"c", ""}, {"a", "4"}})
    append_field(message, 5, entry(name, version));
  message += std::string("\x40\x01", 2);  // a number
  std::string rest;

  const auto versions = Versions::take(message, 5, rest);

  ASSERT_TRUE(versions) << versions.error().text;
  EXPECT_THAT(list(*versions), ElementsAre(Pair("a", "4"), Pair("b", "1"), Pair("c", "")));
  std::string expected;
  append_field(expected, 2, "a type");
  EXPECT_EQ(rest, expected + std::string("\x40\x01", 2));
}

TEST(Versions, AreWrittenAsTheyAreTaken) {
  const Versions versions{{"a", "1"}, {"b", ""}};
  std::string message, rest;
  versions.append_to(message, 5);

  EXPECT_EQ(Versions::take(message, 5, rest).value(), versions);
  EXPECT_EQ(rest, "");
}

TEST(Versions, LeaveNoMemoryBehind) {
  std::string message, rest;
  append_field(message, 5, entry(std::string(100'000, 'n'), "1"));
  Versions versions = Versions::take(message, 5, rest).value();
  ASSERT_GT(versions.memory(), 100'000U);

  versions = {};

  EXPECT_LT(versions.memory(), 100U);
}

TEST(Versions, OfAMessageThatIsCutOffAreNone) {
  std::string message;
  append_field(message, 5, entry("name", "version"));
  for (std::size_t size = 1; size < message.size(); ++size) {
    std::string rest;
    EXPECT_FALSE(Versions::take(message.substr(0, size), 5, rest)) << size;
  }
  std::string rest, bad;
  append_field(bad, 5, "\x0a\x7fname");
  EXPECT_FALSE(Versions::take(bad, 5, rest));
}

}  // namespace
}  // namespace culvert::xds
