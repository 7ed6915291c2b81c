#include "controlplane/snapshot/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

model::PolicyRef policy(std::string name, bool dry_run = false) {
  model::Policy policy;
  policy.name = std::move(name);
  policy.name_space = "shop";
  policy.dry_run = dry_run;
  return std::make_shared<const model::Policy>(policy);
}

std::vector<std::string> after(const Snapshot& snapshot, Epoch epoch) {
  std::vector<std::string> out;
  snapshot.table(Type::kAuthorization).after(epoch, [&](std::string_view name, const Resource* resource) {
    out.push_back((resource ? "+" : "-") + std::string(name));
  });
  return out;
}

TEST(Resource, IsOfAVersionWhenItsHashIsThat) {
  Snapshot snapshot;
  derive::Delta delta;
  delta.policies = {policy("a")};
  snapshot.apply(delta);
  const Resource& resource = *snapshot.table(Type::kAuthorization).find("shop/a");
  const std::string version = resource.version();

  EXPECT_EQ(version.size(), 16U);
  EXPECT_TRUE(resource.is_of(version));
  for (const std::string other : {"", "0", "0000000000000000", "zzzzzzzzzzzzzzzz"}) EXPECT_FALSE(resource.is_of(other));
  EXPECT_FALSE(resource.is_of(version + "0"));
  EXPECT_FALSE(resource.is_of(version.substr(1)));
}

TEST(Snapshot, AnEpochForEachChangeAndNoneForNoChange) {
  Snapshot snapshot;
  derive::Delta delta;
  delta.policies = {policy("a"), policy("b")};

  EXPECT_TRUE(snapshot.apply(delta));
  EXPECT_EQ(snapshot.epoch(), 1U);
  EXPECT_FALSE(snapshot.apply(delta));
  EXPECT_FALSE(snapshot.apply({}));
  EXPECT_EQ(snapshot.epoch(), 1U);
  EXPECT_THAT(after(snapshot, 0), ElementsAre("+shop/a", "+shop/b"));
  EXPECT_THAT(after(snapshot, 1), IsEmpty());
}

TEST(Snapshot, TellsEachNameOnceAsItIsNow) {
  Snapshot snapshot;
  derive::Delta delta;
  delta.policies = {policy("a"), policy("b"), policy("c")};
  snapshot.apply(delta);
  delta.policies = {policy("a", true)};
  snapshot.apply(delta);
  delta.policies.clear();
  delta.removed_policies = {"shop/b", "shop/never"};
  snapshot.apply(delta);

  EXPECT_THAT(after(snapshot, 0), ElementsAre("+shop/c", "+shop/a", "-shop/b"));
  EXPECT_THAT(after(snapshot, 2), ElementsAre("-shop/b"));

  delta.removed_policies.clear();
  delta.policies = {policy("b")};
  snapshot.apply(delta);
  EXPECT_THAT(after(snapshot, 1), ElementsAre("+shop/a", "+shop/b"));
}

TEST(Snapshot, ForgetsRemovalsThatEverybodyKnows) {
  Snapshot snapshot;
  derive::Delta delta;
  delta.policies = {policy("a"), policy("b")};
  snapshot.apply(delta);
  delta.policies.clear();
  delta.removed_policies = {"shop/a"};
  snapshot.apply(delta);
  delta.removed_policies = {"shop/b"};
  snapshot.apply(delta);

  snapshot.forget_removals(2);

  EXPECT_THAT(after(snapshot, 0), ElementsAre("-shop/b"));
}

// Whoever comes is compared with a listing and with what has changed since: what was removed since must be among that.
TEST(Snapshot, AListingIsOfBeforeALittleChangeAndNotOfBeforeARemovalThatIsForgotten) {
  Snapshot snapshot;
  derive::Delta delta;
  for (int i = 0; i < 100; ++i) delta.policies.push_back(policy("p" + std::to_string(i)));
  snapshot.apply(delta);
  EXPECT_EQ(snapshot.listing(Type::kAuthorization).versions().size(), 100U);
  EXPECT_EQ(snapshot.listing(Type::kAuthorization).epoch(), 1U);

  delta.policies.clear();
  delta.removed_policies = {"shop/p5"};
  snapshot.apply(delta);
  EXPECT_EQ(snapshot.listing(Type::kAuthorization).epoch(), 1U);
  EXPECT_THAT(after(snapshot, 1), ElementsAre("-shop/p5"));
  snapshot.forget_removals(2);
  EXPECT_EQ(snapshot.listing(Type::kAuthorization).epoch(), 2U);
  EXPECT_FALSE(snapshot.listing(Type::kAuthorization).versions().find("shop/p5"));

  delta.removed_policies.clear();
  for (int i = 0; i < 50; ++i) delta.policies.push_back(policy("p" + std::to_string(i), true));
  snapshot.apply(delta);
  EXPECT_EQ(snapshot.listing(Type::kAuthorization).epoch(), 3U) << "half of all has changed";
}

}  // namespace
}  // namespace culvert::controlplane
