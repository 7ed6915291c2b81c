#include "cli/proxy_status/proxies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace culvert::cli {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kSyncz = R"([
{"cluster_id":"Kubernetes","proxy":"ztunnel~10.0.0.2~ztunnel-b.istio-system~istio-system.svc.cluster.local","proxy_type":"ztunnel",
 "istio_version":"0.1.0","node":"n2","peer":"10.0.0.2:4000","epoch":7,"epoch_applied":5,"current":false,"resources":{
 "type.googleapis.com/istio.workload.Address":{"sent":"7-2","acked":"5-1","sentTime":"2026-11-20T10:00:00.000Z"},
 "type.googleapis.com/istio.security.Authorization":{"sent":"5-1","acked":"5-1","lastNack":"shop/p: old","lastNackTime":"2026-11-20T09:00:00.000Z"}}},
{"cluster_id":"Kubernetes","proxy":"ztunnel~1.1.1.1~.~.svc.cluster.local","node":"n1","epoch":7,"epoch_applied":6,"current":true,"resources":{
 "type.googleapis.com/istio.workload.Address":{"sent":"7-9","acked":"6-8","lastError":"shop/p: no rules\u001b[2J","lastNack":"shop/p: no rules\u001b[2J",
   "lastNackTime":"2026-11-20T11:59:18.500Z"}}}])";

std::chrono::system_clock::time_point noon() { return std::chrono::sys_days(2026y / 11 / 20) + 12h; }

TEST(Proxies, AreShownAsIstioctlDoesWithTheirEpochs) {
  const auto proxies = read_proxies("culvertd-0.istio-system", kSyncz);

  ASSERT_TRUE(proxies) << proxies.error().text;
  EXPECT_EQ(proxies_table(*proxies, noon(), false),
            "NAME                       CLUSTER        CULVERTD                    VERSION     SUBSCRIBED TYPES     EPOCH     "
            "ACKED     PENDING     LAST NACK\n"
            "n1                         Kubernetes     culvertd-0.istio-system     -           1 (WDS)              7         6  "
            "       -           42s ago: shop/p: no rules [2J\n"
            "ztunnel-b.istio-system     Kubernetes     culvertd-0.istio-system     0.1.0       2 (WADS,WDS)         7         5  "
            "       WDS         3h ago: shop/p: old (mended)\n");
}

TEST(Proxies, JsonHoldsTheWholeText) {
  const auto proxies = read_proxies("c", kSyncz);
  const auto value = proxies_json(*proxies);

  EXPECT_EQ(value.at(0).at("refused"), "shop/p: no rules\x1b[2J");
  EXPECT_EQ(value.at(0).at("lastNackTime"), "2026-11-20T11:59:18Z");
  EXPECT_EQ(value.at(1).at("pending"), boost::json::parse(R"(["WDS"])"));
  EXPECT_EQ(value.at(1).at("subscribedTypes"), boost::json::parse(R"(["WADS","WDS"])"));
  EXPECT_FALSE(value.at(1).as_object().contains("refused"));
}

TEST(Proxies, IstiodsPageIsReadAsFarAsItGoes) {
  const auto proxies = read_proxies("istiod", R"([{"cluster_id":"k","proxy":"web-0.shop","istio_version":"1.29.0",
    "resources":{"type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"a","acked":"a"}}}])");

  ASSERT_TRUE(proxies);
  EXPECT_EQ(proxies->front().name, "web-0.shop");
  EXPECT_TRUE(proxies->front().current);
  EXPECT_THAT(proxies->front().types, ElementsAre("Cluster"));
  EXPECT_THAT(proxies_table(*proxies, noon(), false), HasSubstr("1 (Cluster)          -         -         -           -\n"));
}

TEST(Proxies, AnythingElseIsRefused) {
  for (const char* text : {"", "{}", "[", "404 not found"}) EXPECT_FALSE(read_proxies("c", text)) << text;
  EXPECT_EQ(read_proxies("c", "[1,{}]")->size(), 1U);
}

TEST(Age, IsOneNumber) {
  EXPECT_EQ(age_text(-1s), "0s");
  EXPECT_EQ(age_text(119s), "119s");
  EXPECT_EQ(age_text(119min), "119m");
  EXPECT_EQ(age_text(47h), "47h");
  EXPECT_EQ(age_text(72h), "3d");
}

}  // namespace
}  // namespace culvert::cli
