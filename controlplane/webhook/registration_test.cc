#include "controlplane/webhook/registration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "common/base/base64.h"
#include "common/kube/test_line.h"
#include "common/kube/test_peer.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct World {
  World() : peer(loop, [](const http::Request&) { return kube::answer(200, "{}"); }), client(loop, peer.access()) {
    registration.emplace(client, WebhookAddress{.ns = "mesh"}, "roots-1");
  }
  void run_for(std::chrono::milliseconds time) {
    loop.run(
        [](net::Loop* on, std::chrono::milliseconds for_) -> net::Task<> { co_await net::sleep_for(*on, for_); }(&loop, time));
  }
  bool until(std::size_t asked) {
    for (int i = 0; i < 500 && peer.asked.size() < asked; ++i) run_for(10ms);
    return peer.asked.size() == asked;
  }

  net::Loop loop;
  kube::Peer peer;
  kube::Client client;
  std::optional<WebhookRegistration> registration;
};

TEST(WebhookRegistration, OnlyTheLeaderWritesIt) {
  World world;
  world.run_for(50ms);
  EXPECT_TRUE(world.peer.asked.empty());

  world.registration->lead(true);

  ASSERT_TRUE(world.until(1));
  EXPECT_THAT(world.peer.asked[0].target, HasSubstr("/validatingwebhookconfigurations/culvert-validator?"));
  EXPECT_THAT(world.peer.asked[0].body, testing::AllOf(HasSubstr(to_base64("roots-1")), HasSubstr(R"("failurePolicy":"Fail")"),
                                                       HasSubstr(R"("namespace":"mesh")")));
}

TEST(WebhookRegistration, WhoLosesTheLeaseWhileItWaitsForItsTurnWritesNothing) {
  World world;
  kube::lose_in_line(world.loop, world.peer, world.client,
                     [&](kube::Leadership leads) { world.registration->lead(std::move(leads)); });
  EXPECT_TRUE(world.peer.asked.empty());
}

TEST(WebhookRegistration, OtherControllersOfTheGatewayApiDoNotNeedUs) {
  const boost::json::value object = boost::json::parse(webhook_configuration({}, "roots"));
  for (const auto& webhook : object.at("webhooks").as_array()) {
    const auto& rules = webhook.at("rules").as_array();
    const bool shared = std::ranges::any_of(
        rules, [](const auto& rule) { return rule.at("apiGroups").as_array()[0] == "gateway.networking.k8s.io"; });
    EXPECT_EQ(webhook.at("failurePolicy"), shared ? "Ignore" : "Fail");
    EXPECT_EQ(rules.size(), shared ? 1U : 4U);
  }
}

TEST(WebhookRegistration, NewRootsAreWrittenAtOnce) {
  World world;
  world.registration->lead(true);
  ASSERT_TRUE(world.until(1));

  world.registration->publish("roots-1 roots-2");

  ASSERT_TRUE(world.until(2));
  EXPECT_THAT(world.peer.asked[1].body, HasSubstr(to_base64("roots-1 roots-2")));
}

}  // namespace
}  // namespace culvert::controlplane
