#include "common/config/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace culvert::config {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Folder::Time kStart{};

std::string account(std::string_view name, std::string_view label = "1") {
  return "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: " + std::string(name) + ", labels: {v: '" +
         std::string(label) + "'}}\n";
}

std::string deny(std::string_view name, std::string_view rules = "[{}]") {
  return "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " + std::string(name) +
         "}\nspec: {action: DENY, rules: " + std::string(rules) + "}\n";
}

// "put ServiceAccount default/a", ...
std::vector<std::string> said(const Diff& diff) {
  std::vector<std::string> out;
  for (const Change& change : diff.changes) {
    const char* what = change.what == Change::What::kPut ? "put " : change.what == Change::What::kDelete ? "delete " : "invalid ";
    out.push_back(what + change.key.text());
  }
  return out;
}

TEST(Folder, ReadsOnlyYamlAndPodStatus) {
  for (const char* yes : {"a.yaml", "b.yml", "status/pods/a_b.yaml"}) EXPECT_TRUE(Folder::reads(yes)) << yes;
  for (const char* no : {".a.yaml", "a.yaml~", "a.yaml.swp", "4913", "status/x.yaml", "sub/a.yaml", "status/pods/.t.yaml"})
    EXPECT_FALSE(Folder::reads(no)) << no;
}

TEST(Folder, SaysOnlyWhatChanged) {
  Folder folder;
  EXPECT_THAT(said(folder.written("f.yaml", account("a") + account("b"), kStart)),
              ElementsAre("put ServiceAccount default/a", "put ServiceAccount default/b"));

  EXPECT_TRUE(folder.written("f.yaml", account("a") + "# a comment\n" + account("b"), kStart).empty());
  EXPECT_THAT(said(folder.written("f.yaml", account("a", "2"), kStart)),
              ElementsAre("put ServiceAccount default/a", "delete ServiceAccount default/b"));
}

TEST(Folder, AVanishedFileIsDeletedAfterAQuietTime) {
  Folder folder;
  folder.written("f.yaml", account("a"), kStart);

  EXPECT_TRUE(folder.vanished("f.yaml", kStart).empty());
  EXPECT_EQ(folder.deadline(), kStart + 50ms);
  EXPECT_TRUE(folder.expire(kStart + 49ms).empty());
  EXPECT_THAT(said(folder.expire(kStart + 50ms)), ElementsAre("delete ServiceAccount default/a"));
  EXPECT_EQ(folder.deadline(), std::nullopt);
}

TEST(Folder, AFileThatComesBackInTimeCausesNoGap) {
  Folder folder;
  folder.written("f.yaml", account("a"), kStart);
  folder.vanished("f.yaml", kStart);

  EXPECT_TRUE(folder.written("f.yaml", account("a"), kStart + 20ms).empty());
  EXPECT_TRUE(folder.expire(kStart + 100ms).empty());
}

TEST(Folder, AFileFoundEmptyIsAboutToBeWritten) {
  Folder folder;
  folder.written("f.yaml", account("a"), kStart);

  EXPECT_TRUE(folder.written("f.yaml", "", kStart).empty());
  EXPECT_THAT(said(folder.written("f.yaml", account("a", "2"), kStart + 10ms)), ElementsAre("put ServiceAccount default/a"));
  folder.written("f.yaml", "\n", kStart + 20ms);
  EXPECT_THAT(said(folder.expire(kStart + 70ms)), ElementsAre("delete ServiceAccount default/a"));
}

TEST(Folder, ARenamedFileCausesNoGap) {
  Folder folder;
  folder.written("a.yaml", account("x"), kStart);
  folder.vanished("a.yaml", kStart);

  const Diff diff = folder.written("b.yaml", account("x"), kStart);

  EXPECT_TRUE(diff.empty());
  EXPECT_TRUE(folder.expire(kStart + 60ms).empty());
  EXPECT_THAT(folder.objects(), SizeIs(1));
}

TEST(Folder, ABrokenObjectLeavesTheLastGoodOneInForce) {
  Folder folder;
  folder.written("f.yaml", deny("p") + account("a"), kStart);

  const Diff broken = folder.written("f.yaml", deny("p", "[{form: []}]") + account("a", "2"), kStart);
  EXPECT_THAT(said(broken), ElementsAre("put ServiceAccount default/a", "invalid AuthorizationPolicy default/p"));
  ASSERT_THAT(broken.problems, SizeIs(1));
  EXPECT_THAT(broken.problems[0].text(),
              HasSubstr("f.yaml:5: AuthorizationPolicy default/p: spec.rules[0].form: unknown field (did you mean from?)"));
  EXPECT_THAT(folder.objects(), SizeIs(2));

  EXPECT_THAT(said(folder.written("f.yaml", deny("p") + account("a", "2"), kStart)),
              ElementsAre("put AuthorizationPolicy default/p"));
}

TEST(Folder, AnObjectThatBreaksARuleOfItsKindIsBroken) {
  Folder folder;
  folder.written("f.yaml", deny("p"), kStart);

  const Diff broken =
      folder.written("f.yaml", deny("p", "[{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]"), kStart);
  EXPECT_THAT(said(broken), ElementsAre("invalid AuthorizationPolicy default/p"));
  ASSERT_THAT(broken.problems, SizeIs(1));
  EXPECT_EQ(broken.problems[0].text(),
            "f.yaml:5: AuthorizationPolicy default/p: spec.rules[0].from[0].source: "
            "serviceAccounts cannot stand beside principals or namespaces");
  EXPECT_THAT(folder.objects(), SizeIs(1));
}

TEST(Folder, ABrokenObjectWithoutPredecessorIsSaid) {
  Folder folder;

  EXPECT_THAT(said(folder.written("f.yaml", deny("p", "[{form: []}]"), kStart)),
              ElementsAre("invalid AuthorizationPolicy default/p"));
  folder.vanished("f.yaml", kStart);
  EXPECT_THAT(said(folder.expire(kStart + 1s)), ElementsAre("delete AuthorizationPolicy default/p"));
}

TEST(Folder, AFileThatIsNotYamlLeavesAllItHeldInForce) {
  Folder folder;
  folder.written("f.yaml", account("a") + account("b"), kStart);

  const Diff diff = folder.written("f.yaml", account("a", "2") + "---\n{]\n", kStart);

  EXPECT_THAT(said(diff), ElementsAre("put ServiceAccount default/a"));
  EXPECT_THAT(diff.problems, SizeIs(1));
  EXPECT_THAT(folder.objects(), SizeIs(2));
}

TEST(Folder, TheSameObjectTwiceIsAProblemAndTheFirstFileWins) {
  Folder folder;
  folder.written("b.yaml", account("x", "b"), kStart);

  const Diff diff = folder.written("a.yaml", account("x", "a"), kStart);
  EXPECT_THAT(said(diff), ElementsAre("put ServiceAccount default/x"));
  EXPECT_EQ(diff.problems[0].text(), "b.yaml:2: ServiceAccount default/x: is also in a.yaml:2, which is in force (remove one)");

  const Diff gone = folder.vanished("a.yaml", kStart);
  EXPECT_THAT(said(gone), ElementsAre("put ServiceAccount default/x"));
  EXPECT_EQ(value_of(metadata_of(*gone.changes[0].object).labels, "v"), "b");
}

TEST(Folder, LaysStatusOverThePod) {
  Folder folder;
  const std::string pod =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: w, namespace: shop, annotations: {a: '1'}}\nspec: {nodeName: n1}\n";
  const std::string status =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: w, namespace: shop, annotations: {ambient.istio.io/redirection: enabled}}\n";
  folder.written("status/pods/shop_w.yaml", status, kStart);

  const Diff diff = folder.written("pods.yaml", pod, kStart);
  ASSERT_THAT(said(diff), ElementsAre("put Pod shop/w"));
  EXPECT_THAT(metadata_of(*diff.changes[0].object).annotations, SizeIs(2));

  EXPECT_THAT(folder.written("status/pods/shop_w.yaml", "{]", kStart).changes, IsEmpty());
  const Diff gone = folder.vanished("status/pods/shop_w.yaml", kStart);
  ASSERT_THAT(said(gone), ElementsAre("put Pod shop/w"));
  EXPECT_THAT(metadata_of(*gone.changes[0].object).annotations, SizeIs(1));
}

// Two nodes' agents write of one pod while it moves: NODE_NAMESPACE_POD.yaml.
TEST(Folder, TheStatusOfThePodsOwnNodeAndUidCounts) {
  const auto pod = [](const std::string& node, const std::string& uid) {
    return "apiVersion: v1\nkind: Pod\nmetadata: {name: w-0, namespace: shop, uid: '" + uid + "'}\nspec: {nodeName: " + node +
           "}\n";
  };
  const auto status = [](const std::string& uid, const std::string& value) {
    return "apiVersion: v1\nkind: Pod\nmetadata: {name: w-0, namespace: shop, uid: '" + uid +
           "', annotations: {redirection: " + value + "}}\n";
  };
  for (const bool uids : {true, false}) {
    const std::string old_uid = uids ? "1" : "", new_uid = uids ? "2" : "";
    Folder folder;
    const auto redirection = [&] {
      return value_of(metadata_of(*folder.objects().at({Kind::kPod, "shop", "w-0"})).annotations, "redirection");
    };
    folder.written("pods.yaml", pod("n1", old_uid), kStart);
    folder.written("status/pods/n1_shop_w-0.yaml", status(old_uid, "one"), kStart);
    EXPECT_EQ(redirection(), "one");

    folder.written("pods.yaml", pod("n2", new_uid), kStart);
    EXPECT_EQ(redirection(), "") << "of the pod before";
    folder.written("status/pods/n2_shop_w-0.yaml", status(new_uid, "two"), kStart);
    EXPECT_EQ(redirection(), "two");
    folder.vanished("status/pods/n1_shop_w-0.yaml", kStart);
    EXPECT_EQ(redirection(), "two") << "the first node's agent clears up after itself";
    folder.vanished("status/pods/n2_shop_w-0.yaml", kStart);
    EXPECT_EQ(redirection(), "");
  }
}

TEST(Folder, ALostLineBetweenTwoPoliciesDeletesNeither) {
  Folder folder;
  folder.written("f.yaml", deny("a") + deny("b") + account("x"), kStart);

  const Diff diff = folder.written("f.yaml", deny("a") + deny("b").substr(4) + account("y"), kStart);

  EXPECT_THAT(said(diff), ElementsAre("put ServiceAccount default/y", "invalid AuthorizationPolicy default/a",
                                      "invalid AuthorizationPolicy default/b"));
  EXPECT_THAT(folder.objects(), SizeIs(4));  // x too: it could be what is broken

  EXPECT_THAT(said(folder.written("f.yaml", deny("a") + deny("b"), kStart)),
              ElementsAre("delete ServiceAccount default/x", "delete ServiceAccount default/y",
                          "put AuthorizationPolicy default/a", "put AuthorizationPolicy default/b"));
}

// Wherever the cut is: what the file begins with is in force, and no DENY became something that lets more in.
TEST(Folder, ATruncatedFileOpensNothing) {
  const std::string whole = deny("a") + deny("b") + deny("c");
  for (std::size_t size = std::string_view("---\na").size(); size <= whole.size(); ++size) {
    Folder folder;
    folder.written("f.yaml", whole, kStart);

    folder.written("f.yaml", whole.substr(0, size), kStart);

    EXPECT_TRUE(folder.objects().contains({Kind::kAuthorizationPolicy, "default", "a"})) << size;
    for (const auto& [key, object] : folder.objects()) {
      const auto& policy = std::get<AuthorizationPolicy>(*object);
      EXPECT_TRUE(policy.action == AuthorizationPolicy::Action::kDeny || policy.rules.empty()) << key.text() << " after " << size;
    }
  }
}

TEST(Folder, TwoPoliciesInATornNewFileAreBothInvalid) {
  Folder folder;

  EXPECT_THAT(said(folder.written("f.yaml", deny("a") + deny("b").substr(4), kStart)),
              ElementsAre("invalid AuthorizationPolicy default/a", "invalid AuthorizationPolicy default/b"));
}

TEST(Folder, APolicyWithoutANameIsInvalidUnderItsPlace) {
  const std::string nameless =
      "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {namespace: shop}\nspec: {action: DENY, "
      "rules: [{}]}\n";
  Folder folder;

  EXPECT_THAT(said(folder.written("f.yaml", account("a") + nameless, kStart)),
              ElementsAre("put ServiceAccount default/a", "invalid AuthorizationPolicy shop/f.yaml:8"));
  EXPECT_THAT(said(folder.written("f.yaml", account("a") + "# moved\n" + nameless, kStart)),
              ElementsAre("delete AuthorizationPolicy shop/f.yaml:8", "invalid AuthorizationPolicy shop/f.yaml:9"));
  EXPECT_THAT(said(folder.written("f.yaml", account("a"), kStart)), ElementsAre("delete AuthorizationPolicy shop/f.yaml:9"));
}

TEST(Folder, ANameLostFromAPolicyInForceKeepsItInForce) {
  Folder folder;
  folder.written("f.yaml", deny("a") + deny("b"), kStart);
  const std::string nameless = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nspec: {}\n";

  EXPECT_THAT(said(folder.written("f.yaml", deny("a") + nameless, kStart)), IsEmpty());  // surely b
  EXPECT_THAT(folder.objects(), SizeIs(2));
  EXPECT_THAT(said(folder.written("f.yaml", deny("a") + nameless + nameless, kStart)),
              ElementsAre("invalid AuthorizationPolicy f.yaml:7"));  // one of the two is new
}

TEST(Folder, ACorrectedObjectBesideATornOneIsNoLongerInvalid) {
  Folder folder;
  folder.written("f.yaml", deny("a", "[{form: []}]") + "---\n{]\n", kStart);

  EXPECT_THAT(said(folder.written("f.yaml", deny("a") + "---\n{]\n", kStart)), ElementsAre("put AuthorizationPolicy default/a"));
}

TEST(Folder, AnInvalidPolicyStaysInvalidWhenItsFileIsTorn) {
  Folder folder;
  folder.written("f.yaml", deny("a", "[{form: []}]"), kStart);

  EXPECT_THAT(said(folder.written("f.yaml", "---\n{]\n", kStart)), IsEmpty());
  EXPECT_THAT(said(folder.written("f.yaml", account("x"), kStart)),
              ElementsAre("put ServiceAccount default/x", "delete AuthorizationPolicy default/a"));
}

}  // namespace
}  // namespace culvert::config
