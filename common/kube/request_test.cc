#include "common/kube/request.h"

#include <gtest/gtest.h>

#include <string>

namespace culvert::kube {
namespace {

const Collection kPlural = {.group = "", .version = "v1", .plural = "services"};
const Collection kGateways = {.group = "gateway.networking.k8s.io", .version = "v1", .plural = "gateways"};

TEST(Request, NamesItsPlace) {
  EXPECT_EQ(list({kPlural}).target(), "/api/v1/services");
  EXPECT_EQ(list({kPlural, "shop"}, {{"labelSelector", "a=b,c"}, {"limit", "5"}}).target(),
            "/api/v1/namespaces/shop/services?labelSelector=a%3Db%2Cc&limit=5");
  EXPECT_EQ(merge({kGateways, "shop", "front", "status"}, "{}").target(),
            "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/front/status");
  EXPECT_EQ(apply({kPlural, "a", "b"}, "", {.field_manager = "x", .force = false}).target(),
            "/api/v1/namespaces/a/services/b?fieldManager=x&force=false");
  EXPECT_EQ(get({kPlural, "a/../b", "c?d"}).target(), "/api/v1/namespaces/a%2F..%2Fb/services/c%3Fd");
  EXPECT_EQ(get_path("/version").target(), "/version");
  EXPECT_EQ(list({kPlural, "shop"}).text(), "list services of namespace shop");
  EXPECT_EQ(merge({kGateways, "shop", "front", "status"}, "").text(),
            "patch gateways/status.gateway.networking.k8s.io shop/front");
}

TEST(Refusal, NamesTheRuleThatIsMissing) {
  const std::string body =
      R"({"kind":"Status","status":"Failure","message":"services is forbidden: User \"system:serviceaccount:istio-system:culvertd\" cannot list resource \"services\" in API group \"\" at the cluster scope","reason":"Forbidden","code":403})";
  EXPECT_EQ(
      refusal(list({kPlural}), 403, body).text,
      "list services: 403 Forbidden: services is forbidden: User \"system:serviceaccount:istio-system:culvertd\" cannot list "
      "resource \"services\" in API group \"\" at the cluster scope (RBAC: grant list on services to "
      "system:serviceaccount:istio-system:culvertd)");
  EXPECT_EQ(refusal(merge({kGateways, "shop", "front", "status"}, ""), 403, "").text,
            "patch gateways/status.gateway.networking.k8s.io shop/front: 403 Forbidden (RBAC: grant patch on "
            "gateways/status.gateway.networking.k8s.io in namespace shop to this user)");
}

TEST(Refusal, SaysWhatTheServerSaid) {
  EXPECT_EQ(
      refusal(get({kPlural, "a", "b"}), 404, R"({"kind":"Status","message":"services \"b\" not found","reason":"NotFound"})")
          .text,
      "get services a/b: 404 NotFound: services \"b\" not found");
  EXPECT_EQ(
      refusal(list({kGateways}), 404, "404 page not found\n").text,
      "list gateways.gateway.networking.k8s.io: 404 Not Found: 404 page not found (is the CRD installed, and served in this "
      "version?)");
  EXPECT_EQ(refusal(get_path("/version"), 502, "<html>\nbad\x1b[31m").text, "get /version: 502 Bad Gateway: <html> bad [31m");
  EXPECT_LT(refusal(get_path("/version"), 500, std::string(100'000, 'x')).text.size(), 2000U);
}

}  // namespace
}  // namespace culvert::kube
