#include "common/kube/review.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace culvert::kube {
namespace {

using testing::ElementsAre;

TEST(TokenReview, AsksForAnAudience) {
  const Request request = review_token("a\"b", {"istio-ca"});
  EXPECT_EQ(request.target(), "/apis/authentication.k8s.io/v1/tokenreviews");
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.body,
            R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"a\"b","audiences":["istio-ca"]}})");
}

TEST(TokenReview, SaysWhoseTokenItIs) {
  const auto user = reviewed_token(
      R"({"kind":"TokenReview","status":{"authenticated":true,"audiences":["istio-ca"],"user":{"username":"system:serviceaccount:shop:web",
      "uid":"u","groups":["system:authenticated"],"extra":{"authentication.kubernetes.io/pod-name":["web-1"],
      "authentication.kubernetes.io/pod-uid":["p"],"authentication.kubernetes.io/node-name":["n1"]}}}})",
      {"x", "istio-ca"});
  ASSERT_TRUE(user) << user.error().text;
  EXPECT_EQ(user->service_account()->ns, "shop");
  EXPECT_EQ(user->service_account()->name, "web");
  EXPECT_THAT(user->groups, ElementsAre("system:authenticated"));
  EXPECT_EQ(user->pod_name, "web-1");
  EXPECT_EQ(user->pod_uid, "p");
  EXPECT_EQ(user->node_name, "n1");
}

TEST(TokenReview, ANoIsAFailureThatSaysWhy) {
  const auto said = [](const std::string& status, const std::vector<std::string>& audiences = {}) {
    const auto user = reviewed_token(R"({"kind":"TokenReview","status":)" + status + "}", audiences);
    return user ? user->name : user.error().text;
  };
  EXPECT_EQ(said(R"({"error":"invalid bearer token"})"), "the token is not good: invalid bearer token");
  EXPECT_EQ(said(R"({"authenticated":"true"})"), "the token is not good: the API server does not know it");
  EXPECT_EQ(said(R"({"authenticated":true,"user":{"username":"u"}})"), "u");
  EXPECT_EQ(said(R"({"authenticated":true,"user":{"username":"u"}})", {"istio-ca"}), "the token is good, but not for istio-ca");
  EXPECT_EQ(said(R"({"authenticated":true})"), "the token is good, but the answer does not say whose");
  EXPECT_EQ(said("[]"), "the answer is no TokenReview with a status");
}

TEST(User, IsAServiceAccountOnlyWhenItsNameIsOne) {
  for (const char* name : {"admin", "system:serviceaccount:", "system:serviceaccount:a", "system:serviceaccount::b",
                           "system:serviceaccount:a:", "system:serviceaccount:a:b:c", "system:node:a:b"})
    EXPECT_FALSE((User{.name = name, .uid = "", .groups = {}}).service_account()) << name;
}

TEST(AccessReview, AsksWhatWeMayDo) {
  EXPECT_EQ(
      review_access("patch", {{.plural = "pods"}, "shop", "", "status"}).body,
      R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"patch",)"
      R"("group":"","version":"v1","resource":"pods","namespace":"shop","subresource":"status"}}})");
  EXPECT_TRUE(reviewed_access(R"({"kind":"SelfSubjectAccessReview","status":{"allowed":true}})")->allowed);
  const auto no = reviewed_access(R"({"kind":"SelfSubjectAccessReview","status":{"allowed":false,"reason":"no rule"}})");
  EXPECT_FALSE(no->allowed);
  EXPECT_EQ(no->why, "no rule");
  EXPECT_FALSE(reviewed_access("{}"));
}

}  // namespace
}  // namespace culvert::kube
