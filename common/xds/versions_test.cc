#include "common/xds/versions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

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

// Nearly all entries are short ones with a name and a version, and are read in a way of their own.
TEST(Versions, AreReadWhateverAnEntryLooksLike) {
  std::string message, rest;
  const auto add = [&](std::string_view fields) { append_field(message, 5, fields); };
  add(entry("short", "1"));
  add(entry(std::string(200, 'l'), "2"));
  add(entry("m", std::string(200, '3')));
  add(entry("", ""));
  add(entry(std::string(121, 'n'), "4"));  // of 126 bytes
  add(entry(std::string(123, 'o'), "5"));  // of 128
  std::string turned, alone;
  append_field(turned, 2, "6");
  append_field(turned, 1, "turned");
  add(turned);
  append_field(alone, 1, "without a version");
  add(alone);
  add(entry("with more", "7") + std::string("\x1a\x01x", 3));
  add(entry("short", "8"));

  const auto versions = Versions::take(message, 5, rest);

  ASSERT_TRUE(versions) << versions.error().text;
  EXPECT_THAT(list(*versions), ElementsAre(Pair("", ""), Pair(std::string(200, 'l'), "2"), Pair("m", std::string(200, '3')),
                                           Pair(std::string(121, 'n'), "4"), Pair(std::string(123, 'o'), "5"), Pair("short", "8"),
                                           Pair("turned", "6"), Pair("with more", "7"), Pair("without a version", "")));
}

TEST(Versions, OfManyNamesInAnyOrderAreAsOfAMap) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::map<std::string, std::string> expected;
    std::string message, rest;
    for (int i = 0; i < 300; ++i) {
      std::string name =
          round % 2 == 0 ? "Kubernetes//Pod/ns-" + std::to_string(random() % 20) + "/" : std::string(random() % 300, 'a');
      for (auto more = random() % 4; more > 0; --more) name += static_cast<char>(random() % 3 == 0 ? 0xff : random() % 3);
      expected[name] = std::to_string(i);
      append_field(message, 5, entry(name, std::to_string(i)));
    }

    const auto versions = Versions::take(message, 5, rest);

    ASSERT_TRUE(versions) << versions.error().text;
    ASSERT_THAT(list(*versions), ::testing::ElementsAreArray(expected.begin(), expected.end())) << "round " << round;
  }
}

TEST(Versions, DifferByNamesThatOneLacksAndByVersions) {
  const Versions some{{"a", "1"}, {"b", "1"}, {"d", "1"}, {"f", "1"}}, others{{"b", "1"}, {"c", "1"}, {"d", "2"}, {"e", "1"}};

  EXPECT_THAT(Versions::differing(some, others), ElementsAre("a", "c", "d", "e", "f"));
  EXPECT_THAT(Versions::differing(others, some), ElementsAre("a", "c", "d", "e", "f"));
  EXPECT_THAT(Versions::differing(some, some), ElementsAre());
  EXPECT_EQ(some.find("d"), "1");
  EXPECT_EQ(some.find("c"), std::nullopt);
  EXPECT_EQ(Versions().find("c"), std::nullopt);
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
