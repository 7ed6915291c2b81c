#include "controlplane/status/board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/status/test_view.h"

namespace culvert::controlplane {
namespace {

using config::Kind;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

std::vector<std::string> texts(const std::set<config::Key>& keys) {
  std::vector<std::string> out;
  for (const config::Key& key : keys) out.push_back(key.text());
  return out;
}

std::string object(const std::string& version, const std::string& kind, const std::string& ns, const std::string& name,
                   const std::string& spec) {
  return "---\napiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: " + name +
         (ns.empty() ? "" : ", namespace: " + ns) + "}\nspec: " + spec + "\n";
}
std::string denying(const std::string& ns) { return object("security.istio.io/v1", "AuthorizationPolicy", ns, "p", "{}"); }
std::string pod(const std::string& ns) { return object("v1", "Pod", ns, "w", "{containers: [{name: c, image: i}]}"); }

TEST(StatusBoard, APodIsCountedByThePoliciesOfItsNamespaceAndTheRoots) {
  TestView view(denying("shop") + denying("bank") + denying("istio-system"));
  EXPECT_EQ(view.board.take(view.objects, view.settings).now.size(), 3U);

  view.put(pod("shop"));

  const Board::Touched touched = view.board.take(view.objects, view.settings);
  EXPECT_THAT(texts(touched.counts), UnorderedElementsAre("AuthorizationPolicy shop/p", "AuthorizationPolicy istio-system/p"));
  EXPECT_TRUE(touched.now.empty());
  EXPECT_TRUE(view.board.quiet());
}

TEST(StatusBoard, AWorkloadThatIsNoPodIsCountedAsWell) {
  TestView view(denying("shop") + denying("istio-system"));
  view.board.take(view.objects, view.settings);
  view.put(object("networking.istio.io/v1", "WorkloadEntry", "shop", "w", "{address: 192.0.2.1}"));
  EXPECT_THAT(texts(view.board.take(view.objects, view.settings).counts),
              UnorderedElementsAre("AuthorizationPolicy shop/p", "AuthorizationPolicy istio-system/p"));
}

TEST(StatusBoard, AGatewayReachesRoutesAndWhatIsBoundToWaypoints) {
  TestView view(object("v1", "Service", "shop", "web", "{ports: [{port: 80}]}") +
                object("gateway.networking.k8s.io/v1", "HTTPRoute", "bank", "r", "{rules: [{}]}") + denying("shop"));
  view.board.take(view.objects, view.settings);

  view.put(object("gateway.networking.k8s.io/v1", "Gateway", "infra", "g",
                  "{gatewayClassName: c, listeners: [{name: h, port: 80, protocol: HTTP}]}"));

  EXPECT_THAT(texts(view.board.take(view.objects, view.settings).now),
              UnorderedElementsAre("Gateway infra/g", "HTTPRoute bank/r", "Service shop/web", "AuthorizationPolicy shop/p"));
}

TEST(StatusBoard, DoubtsThatTurnAreLookedAtAndNobodyElseBecauseOfThem) {
  const std::string networking = "networking.istio.io/v1";
  TestView view(object(networking, "WorkloadEntry", "shop", "vm", "{address: 192.0.2.1, serviceAccount: web}") +
                object(networking, "WorkloadEntry", "shop", "other", "{address: 192.0.2.2}") + denying("shop"));
  view.board.take(view.objects, view.settings);

  view.put("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: shop}\n");

  EXPECT_FALSE(view.board.quiet());
  const Board::Touched touched = view.board.take(view.objects, view.settings);
  EXPECT_THAT(texts(touched.now), UnorderedElementsAre("WorkloadEntry shop/vm"));
  EXPECT_TRUE(touched.counts.empty());
  EXPECT_TRUE(view.board.quiet());
}

TEST(StatusBoard, WhatIsGoneIsForgotten) {
  TestView view(denying("shop"));
  const config::Key key{Kind::kAuthorizationPolicy, "shop", "p"};
  EXPECT_NE(view.board.standing(key), nullptr);

  config::Diff diff;
  diff.changes.push_back({config::Change::What::kDelete, key, nullptr, {}, {}});
  view.board.note(diff);

  EXPECT_EQ(view.board.standing(key), nullptr);
  EXPECT_TRUE(view.board.all().empty());
}

TEST(StatusBoard, AnAnswerThatIsOlderThanWhatIsKnownDoesNotCount) {
  TestView view(denying("shop"));
  const config::Key key{Kind::kAuthorizationPolicy, "shop", "p"};
  view.board.written(key, {.version = "0"}, {.version = "9"});
  EXPECT_EQ(view.board.standing(key)->version, "1");
  view.board.written(key, {.version = "1"}, {.version = "2"});
  EXPECT_EQ(view.board.standing(key)->version, "2");
}

}  // namespace
}  // namespace culvert::controlplane
