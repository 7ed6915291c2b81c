#include "common/analyze/analyze.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::analyze {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> texts(const std::vector<Finding>& findings) {
  std::vector<std::string> out;
  for (const Finding& one : findings)
    out.push_back(std::string(name(one.level)) + " " + one.place.text() + " " + one.object + ": " + one.text);
  return out;
}

std::vector<std::string> said(const std::string& yaml) { return texts(analyze({config::parse_yaml("f", yaml)}, {})); }

std::string policy(const std::string& name_space, const std::string& spec) {
  return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: " + name_space +
         "}\nspec: " + spec + "\n---\n";
}

TEST(Analyze, NothingToSayOfWhatIsWhole) { EXPECT_THAT(said(policy("shop", "{action: DENY, rules: [{}]}")), IsEmpty()); }

TEST(Analyze, EveryMistakeHasPlaceObjectFieldAndWhatToWrite) {
  EXPECT_THAT(
      said(policy("shop", "{action: DENI}")),
      ElementsAre(
          "Error f:4 AuthorizationPolicy shop/p: spec.action: unknown value \"DENI\" (write ALLOW, DENY, AUDIT or CUSTOM)"));
}

TEST(Analyze, WhatIsLegalAndSurelyAMistakeIsAWarning) {
  EXPECT_THAT(said(policy("shop", "{selector: {matchLabels: {app: x}}, action: DENY, rules: [{}]}")),
              ElementsAre("Warning f:1 AuthorizationPolicy shop/p: spec.selector selects no pod"));
  EXPECT_THAT(said(policy("istio-system", "{}")), ElementsAre(HasSubstr("no connection in the WHOLE MESH is allowed")));
  EXPECT_THAT(said(policy("shop", "{}")), ElementsAre(HasSubstr("no connection to the namespace is allowed")));
}

TEST(Analyze, WhatIsNotEnforcedIsSaidWithItsFields) {
  EXPECT_THAT(said(policy("shop", "{action: DENY, rules: [{to: [{operation: {ports: ['80'], paths: [/a]}}]}]}")),
              testing::Contains(HasSubstr("not enforced by this version yet: spec.rules[0].to[0].operation.paths")));
  EXPECT_THAT(said("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {hosts: [a]}\n"),
              ElementsAre(HasSubstr("enforces nothing of it yet")));
}

TEST(Analyze, AnObjectAmongAllFilesIsThereOnce) {
  const auto one = config::parse_yaml("a", policy("shop", "{action: DENY, rules: [{}]}"));
  const auto two = config::parse_yaml("b", policy("shop", "{action: DENY, rules: [{}]}"));
  EXPECT_THAT(texts(analyze({one, two}, {})),
              ElementsAre("Error b:1 AuthorizationPolicy shop/p: is there twice: a:1 has it as well"));
}

TEST(Analyze, TheFilesMeshConfigIsInForce) {
  const std::string config =
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: \"{trustDomain: td, "
      "rootNamespace: root, discoverySelectors: [{matchLabels: {in: mesh}}]}\"}\n---\n"
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {in: mesh}}\n---\n";
  const std::string from = "{action: DENY, rules: [{from: [{source: {principals: [td/ns/a/sa/b]}}]}]}";
  EXPECT_THAT(said(config + policy("shop", from)), IsEmpty());
  EXPECT_THAT(said(policy("shop", from)), ElementsAre(HasSubstr("principals of trust domain td match nobody")));
  EXPECT_THAT(said(config + policy("root", "{}")), ElementsAre(HasSubstr("WHOLE MESH")));
  EXPECT_THAT(said(config + policy("other", "{action: DENY, rules: [{}]}")),
              ElementsAre(HasSubstr("discoverySelectors do not select its namespace")));
}

TEST(Analyze, WhatNobodyReadsIsInformation) {
  EXPECT_THAT(said("apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, namespace: shop}\n"),
              ElementsAre("Info f:1 Job shop/j: of batch/v1 is not read by this version"));
}

TEST(Analyze, CautionsNeedNoOthers) {
  const auto file = config::parse_yaml("f", policy("shop", "{selector: {matchLabels: {app: x}}, action: DENY, rules: [{}]}"));
  EXPECT_THAT(cautions(file.objects.at(0), {}), IsEmpty());
}

}  // namespace
}  // namespace culvert::analyze
