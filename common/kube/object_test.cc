#include "common/kube/object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace culvert::kube {
namespace {

TEST(Object, IsNamedByItsMetadata) {
  const Meta meta = meta_of(
      R"({"apiVersion":"v1","kind":"Service","spec":{"metadata":{"name":"no"}},"metadata":{"labels":{"name":"no"},
      "name":"w\u0065b","namespace":"shop","uid":"u-1","resourceVersion":"17"}})");

  EXPECT_EQ(meta.api_version, "v1");
  EXPECT_EQ(meta.kind, "Service");
  EXPECT_EQ(meta.key, (Key{"shop", "web"}));
  EXPECT_EQ(meta.uid, "u-1");
  EXPECT_EQ(meta.resource_version, "17");
  EXPECT_FALSE(meta.initial_events_end);
}

TEST(Object, IsNamedAsFarAsItCanBeSeen) {
  EXPECT_EQ(meta_of(R"({"kind":"X","metadata":{"name":"a","namespace":"b","managedFields":[{"x)").key, (Key{"b", "a"}));
  EXPECT_EQ(meta_of(R"({"metadata":{"name":"a","namespace":]})").key, (Key{"", "a"}));
  EXPECT_EQ(meta_of(R"({"metadata":{"name":17}})").key, Key{});
  EXPECT_EQ(meta_of("[]").key, Key{});
  EXPECT_EQ(meta_of("").key, Key{});
}

TEST(Object, ABookmarkMaySayThatTheFirstEventsAreThrough) {
  EXPECT_TRUE(meta_of(R"({"metadata":{"annotations":{"k8s.io/initial-events-end":"true"}}})").initial_events_end);
  EXPECT_FALSE(meta_of(R"({"metadata":{"annotations":{"x":"k8s.io/initial-events-end"}}})").initial_events_end);
}

TEST(Object, AnItemOfAListGetsItsKind) {
  const std::string item = R"({"metadata":{"name":"a"}})";
  EXPECT_EQ(with_kind(item, meta_of(item), "v1", "Service"), R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"a"}})");
  const std::string whole = R"({"apiVersion":"v2","kind":"K","metadata":{"name":"a"}})";
  EXPECT_EQ(with_kind(whole, meta_of(whole), "v1", "Service"), whole);
  EXPECT_EQ(with_kind("{}", {}, "v1", "Service"), "{}");
}

TEST(Object, OnlyWellFormedJsonPasses) {
  EXPECT_TRUE(check_json(R"({"a":[1,-2.5e3,"\u00e9",true,null]})"));
  for (const std::string_view bad : {R"({"a":01})", R"({"a":nul})", "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", "{} x", "{", ""})
    EXPECT_FALSE(check_json(bad)) << bad;
  EXPECT_FALSE(check_json(std::string(1000, '[') + std::string(1000, ']')));
}

TEST(Object, AStatusExplains) {
  const Explanation said = explanation_of(
      R"({"kind":"Status","status":"Failure","message":"slow down","reason":"TooManyRequests","details":{"retryAfterSeconds":3},"code":429})");
  EXPECT_EQ(said.code, 429);
  EXPECT_EQ(said.reason, "TooManyRequests");
  EXPECT_EQ(said.message, "slow down");
  EXPECT_EQ(said.retry_after, 3);
  EXPECT_EQ(explanation_of("404 page not found").code, 0);
  EXPECT_EQ(explanation_of(R"({"kind":"Pod","message":"x"})").message, "");
}

TEST(Object, SaysWhoHasWrittenIt) {
  EXPECT_TRUE(is_managed_by(R"({"metadata":{"managedFields":[{"manager":"kubectl"},{"manager":"culvertd"}]}})", "culvert"));
  EXPECT_TRUE(is_managed_by(R"({"metadata":{"managedFields":[{"manager":"culvert"}]}})", "culvert"));
  EXPECT_FALSE(is_managed_by(R"({"metadata":{"managedFields":[{"manager":"pilot-discovery"}]}})", "culvert"));
  EXPECT_FALSE(is_managed_by(R"({"metadata":{"name":"istio-ca-secret"}})", "culvert"));
  EXPECT_FALSE(is_managed_by(R"({"metadata":{"managedFields":[{"manager":1},2]}})", "culvert"));
  EXPECT_FALSE(is_managed_by(R"({"metadata":{"managedFields":"culvertd"}})", "culvert"));
  EXPECT_FALSE(is_managed_by("no JSON", "culvert"));
}

}  // namespace
}  // namespace culvert::kube
