#include "controlplane/status/wanted.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using Is = Condition::Is;

constexpr const char* kNow = "2026-01-02T00:00:00Z";

std::string patched(const Wanted& wanted, const std::string& status, std::int64_t generation = 2) {
  const auto patch = patch_of(wanted, {.generation = generation, .version = "7", .status = status}, kNow);
  return patch ? json::serialize(patch->status) : "nothing";
}
bool urgent(const Wanted& wanted, const std::string& status) {
  const auto patch = patch_of(wanted, {.generation = 2, .version = "7", .status = status}, kNow);
  return patch && patch->urgent;
}

Wanted accepted(const std::string& message = "m", Is is = Is::kTrue, const std::string& reason = "Accepted") {
  Wanted wanted;
  wanted.conditions = {{"Accepted", is, reason, message}};
  return wanted;
}

constexpr const char* kHeld = R"({"observedGeneration":2,"conditions":[
  {"type":"Theirs","status":"True","reason":"R","message":"x","extra":1},
  {"type":"Accepted","status":"True","reason":"Accepted","message":"m","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":2}]})";

TEST(StatusPatch, IsNoneWhereTheStatusSaysItAlready) { EXPECT_EQ(patched(accepted(), kHeld), "nothing"); }

TEST(StatusPatch, AGenerationInAStringIsTheSame) {
  EXPECT_EQ(
      patched(
          accepted(),
          R"({"conditions":[{"type":"Accepted","status":"True","reason":"Accepted","message":"m","observedGeneration":"2"}]})"),
      "nothing");
}

TEST(StatusPatch, LeavesEverybodyElsesConditionsAlone) {
  EXPECT_EQ(
      patched(accepted("other"), kHeld),
      R"({"conditions":[{"type":"Theirs","status":"True","reason":"R","message":"x","extra":1},)"
      R"({"type":"Accepted","status":"True","reason":"Accepted","message":"other","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":2}]})");
}

TEST(StatusPatch, TheTimeIsThatOfTheLastChangeOfStatus) {
  EXPECT_THAT(patched(accepted("m", Is::kFalse, "Invalid"), kHeld), testing::HasSubstr(kNow));
  EXPECT_THAT(patched(accepted("m"), kHeld, 3),
              testing::AllOf(testing::HasSubstr(R"("observedGeneration":3)"), testing::Not(testing::HasSubstr(kNow))));
}

TEST(StatusPatch, OnlyAnotherMessageIsNotUrgent) {
  EXPECT_FALSE(urgent(accepted("bound to 3 workloads"), kHeld));
  EXPECT_TRUE(urgent(accepted("m", Is::kFalse), kHeld));
  EXPECT_TRUE(urgent(accepted("m", Is::kTrue, "Other"), kHeld));
  EXPECT_TRUE(urgent(accepted(), ""));
}

TEST(StatusPatch, TakesBackWhatDoesNotHoldAnyMore) {
  Wanted wanted;
  wanted.retired = {"Accepted", "NeverThere"};
  EXPECT_EQ(patched(wanted, kHeld), R"({"conditions":[{"type":"Theirs","status":"True","reason":"R","message":"x","extra":1}]})");
  EXPECT_EQ(patched(wanted, R"({"conditions":[]})"), "nothing");
}

TEST(StatusPatch, AStatusThatIsNoneIsBegunAnew) {
  for (const char* status : {"", "null", "[]", "7", "{\"conditions\":\"x\"}", "{", "{\"conditions\":[1,null,{}]}"})
    EXPECT_THAT(patched(accepted(), status), testing::HasSubstr(R"("type":"Accepted")")) << status;
}

TEST(StatusPatch, ALongMessageIsCutBetweenCharacters) {
  std::string message;
  for (int i = 0; i < 1000; ++i) message += "ä";
  const auto patch = patch_of(accepted(message), {.generation = 1, .version = "1", .status = ""}, kNow);
  const std::string cut(patch->status.at("conditions").at(0).at("message").as_string());
  EXPECT_LE(cut.size(), 1030U);
  EXPECT_TRUE(cut.ends_with("ä…")) << cut.substr(cut.size() - 8);
}

Wanted attached(const std::string& reason) {
  Wanted wanted;
  wanted.attached_as = "parents";
  wanted.attachments = {{.to = {{"kind", "Gateway"}, {"name", "g"}},
                         .controller = std::string(kGatewayController),
                         .conditions = {{"Accepted", Is::kTrue, reason, ""}}}};
  return wanted;
}

TEST(StatusPatch, OfParentsOnlyTheEntriesOfOurControllersAreOurs) {
  const std::string theirs =
      R"({"parentRef":{"kind":"Gateway","name":"g"},"controllerName":"example.com/c","conditions":[{"type":"Accepted"}]})";
  const std::string held = patched(attached("Accepted"), R"({"parents":[)" + theirs + "]}");
  EXPECT_THAT(held, testing::StartsWith(
                        R"({"parents":[)" + theirs +
                        R"(,{"parentRef":{"kind":"Gateway","name":"g"},"controllerName":"culvert.dev/gateway-controller")"));

  EXPECT_EQ(patched(attached("Accepted"), held), "nothing");
  Wanted none = attached("x");
  none.attachments.clear();
  EXPECT_EQ(patched(none, held), R"({"parents":[)" + theirs + "]}");
  EXPECT_EQ(patched(none, R"({"parents":[)" + theirs + "]}"), "nothing");
}

TEST(StatusPatch, NeverMoreParentsThanTheApiTakes) {
  std::string theirs;
  for (int i = 0; i < 32; ++i)
    theirs += (i > 0 ? "," : "") + std::string(R"({"parentRef":{"name":"x"},"controllerName":"example.com/c"})");
  EXPECT_THAT(patched(attached("Accepted"), R"({"parents":[)" + theirs + "]}"), testing::Not(testing::HasSubstr("culvert.dev")));
}

TEST(StatusPatch, ListenersAreTheOnesOfTheSpec) {
  Wanted wanted;
  wanted.listeners = {
      {{.name = "h", .attached = 1, .kinds = {"HTTPRoute"}, .conditions = {{"Accepted", Is::kTrue, "Accepted", ""}}}}};
  const std::string held =
      patched(wanted, R"({"listeners":[{"name":"gone","attachedRoutes":0,"supportedKinds":[],"conditions":[]}]})");
  EXPECT_THAT(held,
              testing::AllOf(testing::HasSubstr(R"("name":"h","attachedRoutes":1)"), testing::Not(testing::HasSubstr("gone"))));
  EXPECT_EQ(patched(wanted, held), "nothing");
}

TEST(StatusPatch, TheOrderInWhichAServerWritesMembersIsNoDifference) {
  Wanted wanted;
  wanted.listeners = {{{.name = "h", .attached = 0, .kinds = {}, .conditions = {}}}};
  EXPECT_EQ(patched(wanted, R"({"listeners":[{"attachedRoutes":0,"conditions":[],"name":"h","supportedKinds":[]}]})"), "nothing");
}

}  // namespace
}  // namespace culvert::controlplane
