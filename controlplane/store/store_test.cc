#include "controlplane/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/log.h"
#include "common/config/parse.h"

namespace culvert::controlplane {
namespace {

using config::Change;
using ::testing::HasSubstr;

config::Diff diff(Change::What what, const std::string& host) {
  const auto file = config::parse_yaml(
      "f.yaml", "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {hosts: [" + host + "]}\n");
  const auto& parsed = file.objects.at(0);
  config::Diff out;
  out.changes.push_back(
      {what, config::key_of(*parsed.object), what == Change::What::kPut ? parsed.object : nullptr, parsed.place});
  return out;
}

TEST(Store, CountsWhatIsValidAndNotEnforcedYetOnce) {
  telemetry::Registry registry;
  Store store(registry);
  const auto unenforced = [&](int count) {
    return HasSubstr("\nculvert_config_unenforced_objects " + std::to_string(count) + "\n");
  };

  testing::internal::CaptureStdout();
  ASSERT_TRUE(log::start("info", false));
  store.apply(diff(Change::What::kPut, "a"));
  store.apply(diff(Change::What::kPut, "b"));
  log::stop();
  const std::string said = testing::internal::GetCapturedStdout();

  EXPECT_THAT(registry.text(), unenforced(1));
  EXPECT_THAT(said, HasSubstr("f.yaml:1: VirtualService default/v is valid and not enforced by this version yet"));
  EXPECT_EQ(said.find("not enforced"), said.rfind("not enforced"));
  EXPECT_EQ(store.objects().in(config::Kind::kVirtualService, "default").size(), 1U);
  store.apply(diff(Change::What::kDelete, "b"));
  EXPECT_THAT(registry.text(), unenforced(0));
}

TEST(Store, RemembersTheEpochOfEachObjectsLastChange) {
  telemetry::Registry registry;
  Store store(registry);
  const config::Key key{config::Kind::kVirtualService, "default", "v"};
  EXPECT_FALSE(store.last_change(key));

  store.served(store.apply(diff(Change::What::kPut, "a")), 7);
  EXPECT_EQ(store.last_change(key)->epoch, 7U);
  EXPECT_EQ(store.last_change(key)->what, Store::Last::What::kPut);

  auto broken = diff(Change::What::kInvalid, "b");
  broken.problems.push_back({{"f.yaml", 4}, key.text(), "spec.hosts", "is empty", ""});
  store.served(store.apply(broken), 8);
  EXPECT_EQ(store.last_change(key)->what, Store::Last::What::kInvalid);
  EXPECT_THAT(store.broken().at(key).why, HasSubstr("f.yaml:4: VirtualService default/v: spec.hosts: is empty"));

  store.served(store.apply(diff(Change::What::kDelete, "b")), 9);
  EXPECT_EQ(store.last_change(key)->epoch, 9U);
  EXPECT_EQ(store.last_change(key)->what, Store::Last::What::kDeleted);
  EXPECT_THAT(registry.text(), HasSubstr("pilot_k8s_cfg_events{type=\"VirtualService\",event=\"delete\"} 1\n"));
}

TEST(Store, ForgetsDeletionsOnlyWhenThereAreVeryMany) {
  telemetry::Registry registry;
  Store store(registry);
  const auto one = [](std::size_t number) {
    return config::Key{config::Kind::kVirtualService, "default", std::to_string(number)};
  };
  auto object = std::get<config::Custom>(*diff(Change::What::kPut, "a").changes.at(0).object);
  config::Diff puts, deletes;
  for (std::size_t i = 0; i <= Store::kMostGone; ++i) {
    object.metadata.name = one(i).name;
    puts.changes.push_back({Change::What::kPut, one(i), std::make_shared<const config::Object>(object), {}});
    deletes.changes.push_back({Change::What::kDelete, one(i), nullptr, {}});
  }
  store.served(store.apply(puts), 1);
  store.served(store.apply(deletes), 2);

  EXPECT_FALSE(store.last_change(one(0)));
  EXPECT_EQ(store.last_change(one(1))->epoch, 2U);
  EXPECT_EQ(store.last_change(one(Store::kMostGone))->epoch, 2U);
}

}  // namespace
}  // namespace culvert::controlplane
