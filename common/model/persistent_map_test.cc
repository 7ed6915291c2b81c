#include "common/model/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

namespace culvert::model {
namespace {

using Map = PersistentMap<std::string, int>;

std::map<std::string, int> contents(const Map& map) {
  std::map<std::string, int> out;
  map.for_each([&](const std::string& key, int value) { EXPECT_TRUE(out.emplace(key, value).second); });
  EXPECT_EQ(out.size(), map.size());
  return out;
}

TEST(PersistentMap, FindsWhatWasSet) {
  Map map;
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);

  ASSERT_NE(map.find(std::string_view("a")), nullptr);
  EXPECT_EQ(*map.find("a"), 3);
  EXPECT_EQ(*map.find("b"), 2);
  EXPECT_EQ(map.find("c"), nullptr);
  EXPECT_EQ(map.size(), 2u);
}

TEST(PersistentMap, ACopyKeepsItsContentWhenTheOriginalChanges) {
  Map map;
  for (int i = 0; i < 1000; ++i) map.set(std::to_string(i), i);
  const Map before = map;

  map.set("5", -5);
  map.erase("6");
  map.set("new", 1);

  EXPECT_EQ(*before.find("5"), 5);
  EXPECT_EQ(*before.find("6"), 6);
  EXPECT_EQ(before.find("new"), nullptr);
  EXPECT_EQ(before.size(), 1000u);
  EXPECT_EQ(map.size(), 1000u);
}

TEST(PersistentMap, BehavesLikeAnOrdinaryMapUnderRandomChanges) {
  std::mt19937 random(7);
  Map map;
  std::map<std::string, int> model;
  std::vector<std::pair<Map, std::map<std::string, int>>> copies;
  for (int i = 0; i < 20000; ++i) {
    const std::string key = std::to_string(random() % 700);
    if (random() % 3 == 0) {
      EXPECT_EQ(map.erase(key), model.erase(key) == 1);
    } else {
      map.set(key, i);
      model[key] = i;
    }
    if (i % 2000 == 0) copies.emplace_back(map, model);
  }

  EXPECT_EQ(contents(map), model);
  for (const auto& [copy, expected] : copies) EXPECT_EQ(contents(copy), expected);
}

struct Colliding {
  int number;
  bool operator==(const Colliding&) const = default;
};

}  // namespace
}  // namespace culvert::model

template <>
struct std::hash<culvert::model::Colliding> {
  std::size_t operator()(const culvert::model::Colliding& key) const noexcept { return static_cast<std::size_t>(key.number % 2); }
};

namespace culvert::model {
namespace {

TEST(PersistentMap, HoldsKeysOfEqualHash) {
  PersistentMap<Colliding, int> map;
  for (int i = 0; i < 20; ++i) map.set({i}, i);
  const auto before = map;

  for (int i = 0; i < 20; i += 2) EXPECT_TRUE(map.erase(Colliding{i}));

  EXPECT_EQ(map.size(), 10u);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(map.find(Colliding{i}) != nullptr, i % 2 == 1);
    EXPECT_EQ(*before.find(Colliding{i}), i);
  }
  for (int i = 1; i < 20; i += 2) EXPECT_TRUE(map.erase(Colliding{i}));
  EXPECT_TRUE(map.empty());
}

TEST(PersistentMap, NthReachesEveryEntryOnce) {
  Map map;
  for (int i = 0; i < 333; ++i) map.set(std::to_string(i), i);

  std::set<int> seen;
  for (std::size_t i = 0; i < map.size(); ++i) seen.insert(map.nth(i).second);

  EXPECT_EQ(seen.size(), 333u);
}

}  // namespace
}  // namespace culvert::model
