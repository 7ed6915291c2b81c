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

}  // namespace
}  // namespace culvert::controlplane
