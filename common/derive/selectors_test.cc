#include "common/derive/selectors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace culvert::derive {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(Selectors, FindThoseThatSelectTheseLabels) {
  Selectors selectors;
  selectors.put("web", {{"app", "web"}});
  selectors.put("front", {{"app", "web"}, {"tier", "front"}});
  selectors.put("db", {{"app", "db"}});
  selectors.put("all", {});

  EXPECT_THAT(selectors.selecting({{"app", "web"}}), UnorderedElementsAre("web"));
  EXPECT_THAT(selectors.selecting({{"app", "web"}, {"tier", "front"}, {"x", "y"}}), UnorderedElementsAre("web", "front"));
  EXPECT_THAT(selectors.selecting({{"tier", "front"}}), IsEmpty());
  EXPECT_THAT(selectors.selecting({}), IsEmpty());
  EXPECT_THAT(selectors.wide(), ElementsAre("all"));
}

TEST(Selectors, WhatIsPutAgainReplacesWhatWasThere) {
  Selectors selectors;
  selectors.put("p", {{"app", "web"}});
  selectors.put("p", {{"app", "db"}});
  EXPECT_THAT(selectors.selecting({{"app", "web"}}), IsEmpty());
  EXPECT_THAT(selectors.selecting({{"app", "db"}}), ElementsAre("p"));

  selectors.put("p", {});
  EXPECT_THAT(selectors.selecting({{"app", "db"}}), IsEmpty());
  EXPECT_THAT(selectors.wide(), ElementsAre("p"));

  selectors.erase("p");
  EXPECT_TRUE(selectors.empty());
}

TEST(Selectors, AreTheSameAsLookingAtAllOfThem) {
  std::mt19937 random(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same numbers each time
  const auto labels = [&](int most) {
    config::Labels out;
    for (int left = static_cast<int>(random() % static_cast<unsigned>(most)); left > 0; --left)
      out["l" + std::to_string(random() % 4)] = "v" + std::to_string(random() % 3);
    return out;
  };
  Selectors selectors;
  std::map<std::string, config::Labels> all;
  for (int i = 0; i < 3000; ++i) {
    const std::string name = "h" + std::to_string(random() % 60);
    if (random() % 3 == 0) {
      selectors.erase(name);
      all.erase(name);
    } else {
      const auto& put = all.insert_or_assign(name, labels(4)).first->second;
      selectors.put(name, put);
    }
    const config::Labels subject = labels(6);
    std::vector<std::string> expected;
    for (const auto& [holder, selector] : all)
      if (!selector.empty() && config::selects(selector, subject)) expected.push_back(holder);
    auto found = selectors.selecting(subject);
    std::ranges::sort(found);
    ASSERT_THAT(found, ::testing::ElementsAreArray(expected));
  }
}

}  // namespace
}  // namespace culvert::derive
