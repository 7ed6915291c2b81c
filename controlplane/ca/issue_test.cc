#include "controlplane/ca/issue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/config/parse.h"

namespace culvert::controlplane {
namespace {

using ::testing::HasSubstr;

derive::Objects objects_of(std::string_view yaml) {
  derive::Objects objects;
  for (const config::Parsed& parsed : config::parse_yaml("f.yaml", yaml).objects)
    objects.put(config::key_of(*parsed.object), parsed.object);
  return objects;
}

std::string pod(std::string_view node, std::string_view account, std::string_view phase = "Running") {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec: {nodeName: " + std::string(node) +
         ", serviceAccountName: " + std::string(account) + "}\nstatus: {phase: " + std::string(phase) + "}\n";
}

TEST(Issue, ANodeMayAskForThePodsItHas) {
  const auto objects = objects_of(pod("n1", "web"));

  const auto identity = may_have(Caller{.node = "n1", .own = {}}, "spiffe://cluster.local/ns/shop/sa/web", objects, {});

  ASSERT_TRUE(identity) << identity.error().text;
  EXPECT_EQ(identity->service_account, "web");
}

TEST(Issue, ACertificateIsRenewedWhileItsAccountIsUsed) {
  Caller caller{.node = "", .own = Identity::parse("spiffe://cluster.local/ns/shop/sa/web").value()};
  caller.certified = true;

  EXPECT_TRUE(may_have(caller, "", objects_of(pod("n1", "web")), {}));
  EXPECT_FALSE(may_have(caller, "", objects_of(pod("n1", "db")), {}));
  EXPECT_FALSE(may_have(caller, "", objects_of(pod("n1", "web", "Failed")), {}));
  EXPECT_FALSE(may_have(caller, "spiffe://cluster.local/ns/shop/sa/web", objects_of(pod("n1", "web")), {}))
      << "for nobody by name";
}

TEST(Issue, NothingElse) {
  const auto objects = objects_of(pod("n1", "web"));
  const auto why = [&](const std::string& node, std::string_view requested) {
    const auto answer = may_have(Caller{.node = node, .own = {}}, requested, objects, {});
    return answer ? "allowed" : answer.error().text;
  };

  EXPECT_THAT(why("n2", "spiffe://cluster.local/ns/shop/sa/web"), HasSubstr("is on node n2"));
  EXPECT_THAT(why("n1", "spiffe://cluster.local/ns/shop/sa/db"), HasSubstr("no pod with the identity"));
  EXPECT_THAT(why("n1", "spiffe://cluster.local/ns/other/sa/web"), HasSubstr("no pod with the identity"));
  EXPECT_THAT(why("n1", "spiffe://evil/ns/shop/sa/web"), HasSubstr("not of the trust domain"));
  EXPECT_THAT(why("n1", "https://x"), HasSubstr("reading the identity"));
  EXPECT_THAT(why("n1", ""), HasSubstr("names no identity"));
  EXPECT_FALSE(may_have(Caller{}, "spiffe://cluster.local/ns/shop/sa/web", objects, {}));
}

TEST(Issue, APodMayAskForItselfAndForNobodyElse) {
  const auto objects = objects_of(pod("", "web"));
  const Caller caller{.node = "", .own = Identity{"cluster.local", "shop", "web"}};

  EXPECT_EQ(may_have(caller, "", objects, {})->uri(), "spiffe://cluster.local/ns/shop/sa/web");
  EXPECT_FALSE(may_have(caller, "spiffe://cluster.local/ns/shop/sa/web", objects, {})) << "on no node, like the caller";
}

TEST(Issue, ItsOwnIdentityIsOfTheTrustDomainAsItIsNow) {
  const Caller caller{.node = "", .own = Identity{"cluster.local", "shop", "web"}};

  EXPECT_EQ(may_have(caller, "", {}, {.trust_domain = "td2"})->uri(), "spiffe://td2/ns/shop/sa/web");
}

TEST(Issue, AnAuthorityInFrontOfUsMayAskForAllOfTheTrustDomain) {
  const Caller caller{.node = "", .own = {}, .any = true};

  EXPECT_TRUE(may_have(caller, "spiffe://cluster.local/ns/shop/sa/web", objects_of(""), {}));
  EXPECT_FALSE(may_have(caller, "spiffe://evil/ns/shop/sa/web", objects_of(""), {}));
  EXPECT_FALSE(may_have(caller, "", objects_of(""), {}));
}

TEST(Issue, AFailedPodGivesNothing) {
  EXPECT_FALSE(may_have(Caller{.node = "n1", .own = {}}, "spiffe://cluster.local/ns/shop/sa/web",
                        objects_of(pod("n1", "web", "Failed")), {}));
}

TEST(Issue, NobodyGetsMoreThanTheMaximumHoweverMuchIsAskedFor) {
  EXPECT_EQ(lifetime_of(0, {}), std::chrono::hours(24));
  EXPECT_EQ(lifetime_of(-5, {}), std::chrono::hours(24));
  EXPECT_EQ(lifetime_of(60, {}), std::chrono::seconds(60));
  EXPECT_EQ(lifetime_of(25LL * 3600, {}), std::chrono::hours(24));
  EXPECT_EQ(lifetime_of(90LL * 86400, {}), std::chrono::hours(24));
  EXPECT_FALSE(lifetime_of(90LL * 86400 + 1, {}));
  EXPECT_FALSE(lifetime_of(std::numeric_limits<std::int64_t>::max(), {}));
  const IssuePolicy longer{.default_lifetime = std::chrono::hours(24), .max_lifetime = std::chrono::hours(24 * 90)};
  EXPECT_EQ(lifetime_of(90LL * 86400, longer), std::chrono::hours(24 * 90));
  const IssuePolicy shorter{.default_lifetime = std::chrono::hours(24), .max_lifetime = std::chrono::seconds(8)};
  EXPECT_EQ(lifetime_of(0, shorter), std::chrono::seconds(8));
}

}  // namespace
}  // namespace culvert::controlplane
