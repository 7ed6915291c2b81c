#include "controlplane/webhook/review.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "common/base/format.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using testing::AllOf;
using testing::HasSubstr;

std::string asked(const std::string& spec, const std::string& operation = "CREATE") {
  return culvert::format(
      R"({{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u-1","operation":"{}",
    "kind":{{"group":"security.istio.io","version":"v1","kind":"AuthorizationPolicy"}},"namespace":"shop","name":"p",
    "object":{{"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{{"name":"p","namespace":"shop"}},"spec":{}}}}}}})",
      operation, spec);
}

TEST(Review, WhatCanBeReadIsAllowed) {
  const auto verdict = review(asked(R"({"action":"DENY","rules":[{"to":[{"operation":{"ports":["80"]}}]}]})"));

  ASSERT_TRUE(verdict) << verdict.error().text;
  EXPECT_TRUE(verdict->allowed) << verdict->why;
  const auto answer = json::parse(verdict->answer).as_object().at("response").as_object();
  EXPECT_EQ(std::string_view(answer.at("uid").as_string()), "u-1");
  EXPECT_EQ(answer.at("allowed"), true);
}

TEST(Review, EveryMistakeIsToldWithItsFieldAndWhatToWrite) {
  const auto verdict = review(asked(R"({"action":"DENI","rulez":[],"rules":[{"to":[{"operation":{"ports":["http"]}}]}]})"));

  ASSERT_TRUE(verdict) << verdict.error().text;
  EXPECT_FALSE(verdict->allowed);
  EXPECT_EQ(verdict->object, "AuthorizationPolicy shop/p");
  EXPECT_THAT(verdict->why, AllOf(HasSubstr("AuthorizationPolicy shop/p: spec.action: "),
                                  HasSubstr("spec.rulez: unknown field (did you mean rules?)"),
                                  HasSubstr("spec.rules[0].to[0].operation.ports")));
  const auto status = json::parse(verdict->answer).as_object().at("response").as_object().at("status").as_object();
  EXPECT_EQ(status.at("code"), 422);
  EXPECT_EQ(std::string_view(status.at("message").as_string()), verdict->why);
}

TEST(Review, WhatBreaksARuleOfTheKindIsRefusedByItsMessage) {
  const auto verdict = review(asked(R"({"targetRefs":[{"kind":"Service","name":"a","namespace":"shop"}]})"));

  ASSERT_TRUE(verdict) << verdict.error().text;
  EXPECT_FALSE(verdict->allowed);
  EXPECT_THAT(verdict->why, HasSubstr("spec.targetRefs[0].namespace: a target is in the namespace of its policy"));
}

std::string warnings(const std::string& spec) {
  const derive::Objects objects;
  const derive::Settings settings;
  const derive::Sharing sharing;
  const auto verdict = review(asked(spec), Among{objects, settings, sharing});
  if (!verdict || !verdict->allowed) return "refused";
  const json::value answer = json::parse(verdict->answer);
  const auto* found = answer.as_object().at("response").as_object().if_contains("warnings");
  return found ? json::serialize(*found) : "";
}

TEST(Review, WarnsOfWhatIsLegalAndSurelyAMistake) {
  EXPECT_EQ(warnings(R"({"action":"DENY","rules":[{}]})"), "");
  EXPECT_THAT(warnings(R"({"action":"DENY","rules":[{}],"selector":{"matchLabels":{"app":"x"}}})"),
              HasSubstr("spec.selector selects no pod"));
  EXPECT_THAT(warnings(R"({"action":"DENY","rules":[{"to":[{"operation":{"methods":["GET"]}}]}]})"),
              HasSubstr("not enforced by this version yet: spec.rules[0].to[0].operation.methods"));
  EXPECT_EQ(warnings(R"({"action":"DENI"})"), "refused");
}

TEST(Review, WarningsAreFewAndShort) {
  std::string rules;
  for (int i = 0; i < 100; ++i) rules += std::string(i > 0 ? "," : "") + R"({"to":[{"operation":{"methods":["GET"]}}]})";
  const json::value said = json::parse(warnings(R"({"rules":[)" + rules + "]}"));
  EXPECT_EQ(said.as_array().size(), 10U);
  for (const json::value& each : said.as_array()) EXPECT_LE(each.as_string().size(), 256U);
}

std::string route(const std::string& parent) {
  return R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"CREATE",
    "kind":{"group":"gateway.networking.k8s.io","version":"v1","kind":"HTTPRoute"},"namespace":"shop","name":"r",
    "object":{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":"r","namespace":"shop"},
              "spec":{"parentRefs":[)" +
         parent + R"(],"rules":[{"fromTheFuture":{}}]}}}})";
}

TEST(Review, ARouteOfAnotherControllerIsNotOursToJudge) {
  EXPECT_TRUE(review(route(R"({"name":"somebody-elses"})"))->allowed);
  EXPECT_THAT(review(route(R"({"group":"","kind":"Service","name":"web"})"))->why,
              HasSubstr("HTTPRoute shop/r: spec.rules[0].fromTheFuture"));
}

TEST(Review, AnObjectOfAMillionValuesIsNotEvenRead) {
  std::string many = "[0";
  for (int i = 0; i < 1'000'000; ++i) many += ",0";
  const auto verdict = review(asked(many + "]"));
  ASSERT_FALSE(verdict);
  EXPECT_THAT(verdict.error().text, HasSubstr("200000 values"));
}

TEST(Review, ALongNameIsCut) {
  EXPECT_LT(review(R"({"request":{"uid":"u","kind":{"kind":")" + std::string(100'000, 'k') + R"("},"name":"n"}})")->object.size(),
            1'000U);
}

TEST(Review, WhatGoesIsNotLookedAt) { EXPECT_TRUE(review(asked(R"({"action":"DENI"})", "DELETE"))->allowed); }

TEST(Review, WhatIsNoReviewIsRefused) {
  for (const char* text : {"", "{}", "[]", "null", R"({"request":1})", R"({"request":{}})", R"({"request":{"uid":7}})"})
    EXPECT_FALSE(review(text)) << text;
  EXPECT_FALSE(review(std::string(10'000, '[')));
}

}  // namespace
}  // namespace culvert::controlplane
