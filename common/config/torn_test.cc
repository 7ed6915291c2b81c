// Documents that are no YAML, or more than one, or that lack what says which object they are: no policy may get lost in them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/config/glance.h"
#include "common/config/parse.h"

namespace culvert::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The keys of what is broken in a file: "AuthorizationPolicy shop/p", "AuthorizationPolicy shop/" without a name, "AuthorizationPolicy p"
// when the namespace may be any, "?" when nothing can be seen.
std::vector<std::string> broken(std::string_view yaml) {
  std::vector<std::string> out;
  for (const Broken& one : parse_yaml("f.yaml", yaml).broken) out.push_back(one.key ? one.key->text() : "?");
  return out;
}

std::string said(std::string_view yaml) {
  const ParsedFile file = parse_yaml("f.yaml", yaml);
  return file.broken.empty() ? "" : file.broken[0].problems[0].text();
}

constexpr const char* kHead = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n";

TEST(Torn, TwoPoliciesWithoutTheLineBetween) {
  const std::string a = std::string(kHead) + "metadata: {name: a, namespace: shop}\nspec: {action: DENY, rules: [{}]}\n";
  const std::string b = std::string(kHead) + "metadata:\n  name: b\n  namespace: other\nspec: {action: DENY, rules: [{}]}\n";

  EXPECT_THAT(broken(a + b), ElementsAre("AuthorizationPolicy other/b", "AuthorizationPolicy shop/a"));
  EXPECT_THAT(said(a + b), HasSubstr("the field \"apiVersion\" is there twice"));
}

TEST(Torn, TwoJsonObjectsOneAfterTheOther) {
  const std::string a =
      R"({"apiVersion":"security.istio.io/v1","kind":"AuthorizationPolicy","metadata":{"name":"a","namespace":"shop"},"spec":{}})";
  const std::string b =
      R"({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"namespace": "shop", "name": "b"}})";

  EXPECT_THAT(parse_yaml("f.yaml", a + "\n---\n" + b).objects, SizeIs(2));
  EXPECT_THAT(broken(a + "\n" + b), ElementsAre("AuthorizationPolicy shop/a", "AuthorizationPolicy shop/b"));
  EXPECT_THAT(said(a + "\n" + b), HasSubstr("f.yaml:2"));
}

TEST(Torn, WhatStandsLeftOfTheRootIsNotDropped) {
  const std::string text =
      " apiVersion: security.istio.io/v1\n kind: AuthorizationPolicy\n metadata: {name: p, namespace: shop}\nspec: "
      "{action: DENY, rules: [{}]}\n";

  EXPECT_THAT(parse_yaml("f.yaml", text).objects, IsEmpty());
  EXPECT_THAT(broken(text), ElementsAre("AuthorizationPolicy shop/p"));
}

TEST(Torn, FlowStyleNamesAreFoundWhereTheyAre) {
  EXPECT_THAT(broken(std::string(kHead) + "metadata: {name: p, namespace: shop}\nspec: {rules: [{from: [{source: {name: x}}}\n"),
              ElementsAre("AuthorizationPolicy shop/p"));
  EXPECT_THAT(broken(std::string(kHead) + "metadata: {name: p}\nspec: {rules: [\n"),
              ElementsAre("AuthorizationPolicy default/p"));
  EXPECT_THAT(
      broken("apiVersion: v1\nkind: List\nitems:\n- apiVersion: security.istio.io/v1\n  kind: PeerAuthentication\n  metadata:\n"
             "    name: p\n    namespace: shop\n  spec: {mtls: [}\n"),
      ElementsAre("PeerAuthentication shop/p"));
}

TEST(Torn, WhatCannotBeSeenMayBeAnywhere) {
  EXPECT_THAT(broken(std::string(kHead) + "metadata: {name: p, "), ElementsAre("AuthorizationPolicy p"));
  EXPECT_THAT(broken(std::string(kHead) + "metadata: [\n"), ElementsAre("AuthorizationPolicy "));
  EXPECT_THAT(broken(std::string(kHead) + "metadata: {name: p, namespace: 'Shop'}\nspec: {\n"),
              ElementsAre("AuthorizationPolicy p"));
  EXPECT_THAT(broken("a: [\n"), ElementsAre("?"));
  EXPECT_THAT(broken("a: [ # kind: AuthorizationPolicy\n"), ElementsAre("?"));
}

TEST(Torn, OtherEncodingsAreRefusedAndSeenThrough) {
  std::string wide = "\xff\xfe";
  const std::string text = std::string(kHead) + "metadata: {name: p, namespace: shop}\nspec: {action: DENY, rules: [{}]}\n";
  for (const char c : text) wide.append({c, '\0'});

  EXPECT_THAT(broken(wide), ElementsAre("AuthorizationPolicy shop/p"));
  EXPECT_THAT(said(wide), HasSubstr("f.yaml:1: AuthorizationPolicy shop/p: not text in UTF-8"));
  EXPECT_THAT(
      broken(std::string(kHead) + "metadata: {name: p, namespace: shop}\nspec:\n  rules:\n  - from: [{source: {principals: "
                                  "[\"\xe9\"]}}]\n"),
      ElementsAre("AuthorizationPolicy shop/p"));
  EXPECT_THAT(said("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: \"\xc3\x28\"}\n"), HasSubstr("f.yaml:4"));
}

TEST(Torn, LineEndsMarksAndTabs) {
  const std::string two =
      "\xef\xbb\xbf---\r\napiVersion: v1\r\nkind: Namespace\r\nmetadata: {name: a}\r\n---\r\napiVersion: v1\r\nkind: "
      "Namespace\r\nmetadata: {name: \"\xc3\xa4\", labels: {}}\r\n";

  const ParsedFile file = parse_yaml("f.yaml", two);

  EXPECT_THAT(file.objects, SizeIs(1));
  EXPECT_THAT(said(two), HasSubstr("f.yaml:8: Namespace: metadata.name: \"\xc3\xa4\" is not a name"));
  EXPECT_THAT(broken(std::string(kHead) + "metadata:\n\tname: p\n\tnamespace: shop\nspec: {}\n"),
              ElementsAre("AuthorizationPolicy shop/p"));
}

TEST(Nameless, APolicyWithoutANameHasAKeyAllTheSame) {
  EXPECT_THAT(broken(std::string(kHead) + "metadata: {namespace: shop}\n"), ElementsAre("AuthorizationPolicy shop/"));
  EXPECT_THAT(broken(std::string(kHead) + "metadata: {labels: {a: b}}\n"), ElementsAre("AuthorizationPolicy default/"));
  EXPECT_THAT(broken(std::string(kHead) + "metadata:\nname: p\nnamespace: shop\nspec: {}\n"),
              ElementsAre("AuthorizationPolicy shop/"));
  EXPECT_THAT(broken(std::string(kHead) + "spec: {}\n"), ElementsAre("AuthorizationPolicy "));
  EXPECT_THAT(broken(std::string(kHead) + "metadata: {name: p, namespace: Shop}\n"), ElementsAre("AuthorizationPolicy p"));
  EXPECT_THAT(broken("apiVersion: v1\nkind: Pod\nmetadata: {namespace: shop}\n"), ElementsAre("?"));
}

TEST(Nameless, WhatSaysThatItIsAPolicyIsNotIgnored) {
  const auto with = [](const std::string& head) { return head + "\nmetadata: {name: p, namespace: shop}\nspec: {}\n"; };
  const std::string kPolicy = "AuthorizationPolicy shop/p";

  EXPECT_THAT(broken(with("kind: AuthorizationPolicy")), ElementsAre(kPolicy));
  EXPECT_THAT(broken(with("apiVersion: security.istio.io/v1")), ElementsAre(kPolicy));
  EXPECT_THAT(broken(with("apiVersion: security.istio.io\nkind: AuthorizationPolicy")), ElementsAre(kPolicy));
  EXPECT_THAT(broken(with("apiVersion: security.istio/v1\nkind: AuthorizationPolicy")), ElementsAre(kPolicy));
  EXPECT_THAT(broken(with("apiVersion: v1\nkind: AuthorizationPolicy")), ElementsAre(kPolicy));
  EXPECT_THAT(broken(with("apiVersion: security.istio.io/v1\nkind: AuthorizationPolcy")), ElementsAre(kPolicy));
  EXPECT_THAT(broken(with("apiVersion: security.istio.io/v1\nkind: PeerAuthentcation")),
              ElementsAre("PeerAuthentication shop/p"));
  EXPECT_THAT(broken(with("apiversion: security.istio.io/v1\nKind: AuthorizationPolicy")), ElementsAre(kPolicy));
  EXPECT_THAT(
      said(with("apiVersion: security.istio.io/v1\nkind: AuthorizationPolcy")),
      HasSubstr("f.yaml:1: AuthorizationPolicy shop/p: unknown kind \"AuthorizationPolcy\" (did you mean AuthorizationPolicy?)"));
  EXPECT_THAT(said(with("apiVersion: security.istio.io\nkind: AuthorizationPolicy")),
              HasSubstr("apiVersion \"security.istio.io\" has no AuthorizationPolicy (write security.istio.io/v1)"));
}

TEST(Nameless, OtherKindsAreIgnoredAsBefore) {
  for (const char* head : {"apiVersion: policy.linkerd.io/v1beta1\nkind: AuthorizationPolicy",
                           "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy", "apiVersion: batch/v1\nkind: Job"}) {
    const ParsedFile file = parse_yaml("f.yaml", std::string(head) + "\nmetadata: {name: p, namespace: shop}\n");
    EXPECT_THAT(file.ignored, SizeIs(1)) << head;
    EXPECT_THAT(file.broken, IsEmpty()) << head;
  }
}

TEST(Nameless, AListOfAnotherVersionIsReadAndSaid) {
  const std::string text =
      "kind: List\nitems:\n- " + std::string(
                                     "apiVersion: security.istio.io/v1\n  kind: AuthorizationPolicy\n  metadata: "
                                     "{name: p}\n");

  EXPECT_THAT(parse_yaml("f.yaml", text).objects, SizeIs(1));
  EXPECT_THAT(said(text), HasSubstr("List: apiVersion must be v1"));
}

TEST(Glance, IsBounded) {
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "kind: AuthorizationPolicy\nmetadata: {name: p" + std::to_string(i) + "}\n";

  const std::vector<Glance> seen = glance(many);

  EXPECT_LE(seen.size(), 1100U);
  EXPECT_EQ(seen.back().name, "");
  EXPECT_THAT(seen.back().namespaces, IsEmpty());
}

}  // namespace
}  // namespace culvert::config
