#include "cli/wait/heard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/wait/wait.h"
#include "common/base/format.h"

namespace culvert::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using State = Judgement::State;

std::string node(const std::string& name, bool has, bool refused = false, const std::string& why = "waits") {
  return culvert::format(R"({{"node":"{}","proxy":"ztunnel~{}","has":{},"refused":{},"why":"{}"}})", name, name, has, refused,
                         has ? "" : why);
}
Heard heard(const std::string& nodes, const std::string& object = R"({"state":"in force","epoch":7})",
            const std::string& more = R"("absent":[],"awaited":[])", const std::string& from = "http://a:15014") {
  const auto out = Heard::read(
      from, culvert::format(R"({{"instance":"i","epoch":9,"wanted":7,"object":{},"nodes":[{}],{}}})", object, nodes, more));
  EXPECT_TRUE(out) << out.error().text;
  return out.value_or(Heard{});
}

TEST(Judge, AppliedIsInForceOnEveryDataPlane) {
  const Judgement judgement = judge({heard(node("n1", true)), heard(node("n2", true))});

  EXPECT_EQ(judgement.state, State::kApplied);
  EXPECT_EQ(judgement.have, 2U);
  EXPECT_EQ(judgement.connected, 2U);
  EXPECT_THAT(judgement.lacking, IsEmpty());
}

TEST(Judge, OneThatLagsIsNamedWithItsReason) {
  const Judgement judgement = judge({heard(node("n1", true) + "," + node("n2", false))});

  EXPECT_EQ(judgement.state, State::kLagging);
  EXPECT_THAT(judgement.lacking, ElementsAre("n2 (ztunnel~n2): waits"));
}

TEST(Judge, ARefusalIsFinalOnceTheOthersHaveIt) {
  const std::string refuses = node("n2", false, true, "refused shop/p of WADS: unknown scope");
  EXPECT_EQ(judge({heard(refuses + "," + node("n1", false))}).state, State::kLagging);

  const Judgement judgement = judge({heard(refuses + "," + node("n1", true))});

  EXPECT_EQ(judgement.state, State::kRefused);
  EXPECT_THAT(judgement.lacking, ElementsAre("n2 (ztunnel~n2): refused shop/p of WADS: unknown scope"));
}

TEST(Judge, NobodyConnectedIsNotEverybody) {
  EXPECT_EQ(judge({heard("")}).state, State::kLagging);
  EXPECT_THAT(judge({heard("")}).lacking, ElementsAre("no data plane is connected"));
}

TEST(Judge, ANodeOfAnotherReplicaIsThereAndOneThatWasThereAMomentAgoIsAwaited) {
  const std::string away = R"("absent":["n2","n3"],"awaited":["n2"])";
  EXPECT_EQ(judge({heard(node("n1", true), R"({"state":"in force"})", away), heard(node("n2", true))}).state, State::kApplied);

  const Judgement judgement = judge({heard(node("n1", true), R"({"state":"in force"})", away)});

  EXPECT_EQ(judgement.state, State::kLagging);
  EXPECT_THAT(judgement.lacking, Contains(HasSubstr("n2: its data plane is not connected")));
  EXPECT_THAT(judgement.notes, ElementsAre(HasSubstr("n3: its data plane is connected to none")));
}

TEST(Judge, ADataPlaneThatServesAndIsConnectedToNoCulvertdLagsWhereEachWasAsked) {
  const std::string away = R"("absent":["n2","n3"],"awaited":[],"ready":["n2"])";
  const std::vector<Heard> one = {heard(node("n1", true), R"({"state":"in force"})", away)};

  const Judgement judgement = judge(one, true);

  EXPECT_EQ(judgement.state, State::kLagging);
  EXPECT_THAT(judgement.lacking, ElementsAre(HasSubstr("n2: its data plane is not connected, and serves")));
  EXPECT_THAT(judgement.notes, ElementsAre(HasSubstr("n3: its data plane is connected to none")));
  EXPECT_EQ(judge({one.front(), heard(node("n2", true))}, true).state, State::kApplied) << "it is another replica's";
  EXPECT_EQ(judge(one, false).state, State::kApplied) << "it may be another replica's";
  EXPECT_THAT(judge(one, false).notes, Contains(HasSubstr("n2: its data plane is connected to none")));
}

TEST(Judge, WhatNobodyKnowsWhatCannotBeReadAndWhatIsNotEnforced) {
  const Judgement unknown = judge({heard(node("n1", true), R"({"state":"unknown","broken":["a.yaml:3: no name"]})")});
  EXPECT_EQ(unknown.state, State::kUnknown);
  EXPECT_THAT(unknown.notes, ElementsAre(HasSubstr("a.yaml:3")));

  const Judgement invalid = judge({heard(node("n1", true), R"({"state":"invalid","why":"p.yaml:5: spec.action"})")});
  EXPECT_EQ(invalid.state, State::kInvalid);
  EXPECT_THAT(invalid.lacking, ElementsAre(HasSubstr("p.yaml:5")));

  const Judgement later = judge({heard(node("n1", true), R"({"state":"in force","enforced":false})")});
  EXPECT_EQ(later.state, State::kApplied);
  EXPECT_THAT(later.notes, ElementsAre(HasSubstr("not enforced")));
  EXPECT_EQ(judge({heard(node("n1", true), R"({"state":"deleted","epoch":7})")}).state, State::kApplied);
}

TEST(Judge, WhatHasNoEffectIsNotedOnceHoweverManySayIt) {
  const std::string object = R"({"state":"in force","epoch":7,"doubts":["data.mesh: a","data.mesh: b"]})";

  const Judgement judgement = judge({heard(node("n1", true), object), heard(node("n2", true), object)});

  EXPECT_EQ(judgement.state, State::kApplied);
  EXPECT_THAT(judgement.notes, ElementsAre("data.mesh: a", "data.mesh: b"));
}

TEST(Judge, ACulvertdThatCannotBeAskedOrMayNotKnowTheChangeIsWaitedFor) {
  EXPECT_EQ(judge({heard(node("n1", true)), Heard{.from = "b", .error = "refused"}}).state, State::kLagging);

  const Judgement judgement =
      judge({heard(node("n1", true), R"({"state":"unknown"})", R"("unseen":"list: 403","absent":[],"awaited":[])")});

  EXPECT_EQ(judgement.state, State::kLagging) << "what may come in a moment is not unknown";
  EXPECT_THAT(judgement.lacking, Contains(HasSubstr("403")));
}

TEST(Heard, WhatIsNoAnswerIsAnError) {
  for (const char* text : {"", "{}", "[]", "null", R"({"instance":"x","nodes":7})", "<html>"})
    EXPECT_FALSE(Heard::read("x", text)) << text;
  const auto odd = Heard::read("x", R"({"instance":1,"epoch":-1,"nodes":[1,{"has":"yes"}],"absent":7,"object":[]})");
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->nodes.size(), 1U);
  EXPECT_FALSE(odd->nodes[0].has);
}

TEST(ObjectAsked, AsKubectlSpellsIt) {
  EXPECT_EQ(*object_asked("authorizationpolicy/deny-all", "shop"), "authorizationpolicy/shop/deny-all");
  EXPECT_EQ(*object_asked("AuthorizationPolicy/shop/deny-all", ""), "AuthorizationPolicy/shop/deny-all");
  EXPECT_EQ(*object_asked("authorizationpolicies.security.istio.io/a", ""), "authorizationpolicies.security.istio.io/default/a");
  EXPECT_EQ(*object_asked("ns/shop", "any"), "ns/shop");
  for (const char* text : {"deny-all", "authorizationpolicy/", "/x", "widget/x", "gateway/x", "ap/a/b/c", "ns/a/b"})
    EXPECT_FALSE(object_asked(text, "")) << text;
  EXPECT_THAT(object_asked("gateway/x", "").error().text, HasSubstr("gateway.networking.istio.io"));
  EXPECT_THAT(object_asked("ap/shop/x", "other").error().text, HasSubstr("-n says other"));
}

}  // namespace
}  // namespace culvert::cli
