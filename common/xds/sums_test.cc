#include "common/xds/sums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "common/tls/digest.h"

namespace culvert::xds {
namespace {

std::string sum_of(const Versions& versions, std::size_t part) {
  return Sums(versions).bytes().substr(part * kSumSize, kSumSize);
}

Versions many(int count) {
  Versions out;
  for (int i = 0; i < count; ++i) out.emplace("name-" + std::to_string(100'000 + i), "v" + std::to_string(i));
  return out;
}

// What other builds and other machines have to come to as well.
TEST(Sums, AreTheSameEverywhere) {
  using namespace std::string_literals;
  EXPECT_EQ(part_of("Kubernetes//Pod/shop/web-0"), 7764U);
  const auto digest = tls::sha256("\x01\0\0\0a\x02\0\0\0v1"s);

  EXPECT_EQ(sum_of({{"a", "v1"}}, part_of("a")), std::string(digest.begin(), digest.begin() + kSumSize));
  EXPECT_EQ(Sums(Versions()).bytes().size(), 128U << 10);
}

TEST(Sums, DifferJustWhereAnEntryDoes) {
  const Versions all = many(20'000);
  const Sums sums(all);
  EXPECT_TRUE(sums.differing(sums.bytes()).none());
  std::map<std::string, std::string> changed;
  for (const auto& [name, version] : all.all()) changed.emplace(name, version);
  changed["name-100007"] = "another";
  changed.erase("name-100008");
  changed["new"] = "";

  Parts expected;
  for (const char* name : {"name-100007", "name-100008", "new"}) expected.set(part_of(name));
  EXPECT_EQ(sums.differing(Sums(Versions(changed)).bytes()), expected);
}

// Nothing can be moved from a name to its version, or from one entry to the next.
TEST(Sums, KeepWhatStandsNextToEachOtherApart) {
  const std::size_t part = part_of("a");
  std::string neighbour;
  for (int i = 0; neighbour.empty(); ++i)
    if (part_of("b" + std::to_string(i)) == part) neighbour = "b" + std::to_string(i);

  EXPECT_NE(sum_of({{"a", ""}, {neighbour, "1"}}, part), sum_of({{"a", "1"}, {neighbour, ""}}, part));
  EXPECT_NE(sum_of({{"a", "1"}, {neighbour, "2"}}, part), sum_of({{"a", "2"}, {neighbour, "1"}}, part));
  EXPECT_NE(sum_of({{"a", "1"}, {neighbour, "2"}}, part), sum_of({{"a", std::string("1\0\0\0", 4) + neighbour + "2"}}, part));
}

TEST(Sums, GiveWhatIsInSomePartsInOrder) {
  const Versions all = many(20'000);
  Parts some;
  for (std::size_t p = 0; p < kParts; p += 3) some.set(p);
  Versions expected;
  for (const auto& [name, version] : all.all())
    if (some[part_of(name)]) expected.emplace(name, version);
  ASSERT_GT(expected.size(), 5'000U);

  EXPECT_EQ(Sums(all).of_parts(all, some), expected);
  EXPECT_EQ(Sums(all).of_parts(all, ~Parts()), all);
  EXPECT_TRUE(Sums(all).of_parts(all, {}).empty());
}

TEST(Sums, PartsSurviveTheWay) {
  Parts parts;
  for (const std::size_t p : {0, 7, 8, 4095, 8191}) parts.set(p);
  const std::string bytes = bytes_of(parts);

  EXPECT_EQ(bytes.size(), 1024U);
  EXPECT_EQ(bytes.substr(0, 2), "\x81\x01");
  EXPECT_EQ(parts_of(bytes).value(), parts);
  EXPECT_FALSE(parts_of(bytes.substr(1)));
  EXPECT_FALSE(parts_of(""));
}

}  // namespace
}  // namespace culvert::xds
