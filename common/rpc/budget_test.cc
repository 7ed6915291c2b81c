#include "common/rpc/budget.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

namespace culvert::rpc {
namespace {

struct BudgetTest : testing::Test {
  ~BudgetTest() override {
    if (budget) budget->close();  // who still waits would be told while this goes
  }
  std::shared_ptr<Budget> budget = std::make_shared<Budget>(100);
  std::map<int, Budget::Share> later;
  std::optional<Budget::Share> take(std::size_t bytes, int name) {
    return budget->take(bytes, [this, name](Budget::Share share) { later.emplace(name, std::move(share)); });
  }
};

TEST_F(BudgetTest, IsGivenOutInOrder) {
  auto first = take(60, 1);
  auto second = take(60, 2);
  auto third = take(10, 3);

  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
  EXPECT_FALSE(third) << "behind one that waits";
  first.reset();
  EXPECT_EQ(later.size(), 2U);
  later.clear();
  EXPECT_TRUE(take(100, 4)) << "all of it has come back";
}

TEST_F(BudgetTest, GivesAllThereIsForWhatIsMore) {
  auto first = take(1, 1);
  EXPECT_FALSE(take(1000, 2));
  first.reset();
  EXPECT_TRUE(later.contains(2));
  EXPECT_FALSE(take(1, 3));
}

TEST_F(BudgetTest, AShareOutlivesWhoeverOpenedIt) {
  auto first = take(100, 1);
  EXPECT_FALSE(take(100, 2));
  budget->close();
  budget.reset();
  first.reset();
  EXPECT_TRUE(later.empty());
}

TEST_F(BudgetTest, AShareIsMovedAndNotGivenBackTwice) {
  auto first = take(60, 1);
  Budget::Share moved = std::move(*first);
  first.reset();
  EXPECT_FALSE(take(60, 2));
  moved = {};
  EXPECT_TRUE(later.contains(2));
}

}  // namespace
}  // namespace culvert::rpc
