#include "controlplane/ca/kube_callers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "common/base/base64.h"
#include "common/base/format.h"
#include "common/config/parse.h"
#include "common/kube/test_peer.h"
#include "common/net/timer.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using kube::answer;
using testing::HasSubstr;

std::string token_for(const std::string& audience, std::int64_t expires = 4'000'000'000) {
  return "head." + to_base64(culvert::format(R"({{"aud":["{}"],"exp":{}}})", audience, expires)) + ".signature";
}

// A call that carries nothing but its metadata.
class Call final : public rpc::ServerCall {
 public:
  explicit Call(std::string authorization) : authorization_(std::move(authorization)) {}
  const std::string& path() const override { return path_; }
  const Endpoint& peer() const override { return peer_; }
  const std::string& certificate() const override { return certificate_; }
  std::string_view metadata(std::string_view name) const override {
    return name == "authorization" ? std::string_view(authorization_) : "";
  }
  void proved(const std::string&) override {}
  void accept(Events) override {}
  void send(std::string) override {}
  void send(rpc::Pieces) override {}
  void answer(std::string) override {}
  void finish(rpc::Ended) override {}

 private:
  std::string path_;
  const Endpoint peer_ = *Endpoint::parse("10.0.0.1:40000");
  std::string certificate_;
  std::string authorization_;
};

struct KubeCallersTest : testing::Test {
  net::Loop loop;
  kube::Peer peer{loop, [this](const http::Request&) { return review; }};
  kube::Client client{loop, peer.access()};
  derive::Objects objects;
  telemetry::Registry registry;
  std::optional<KubeCallers> callers{std::in_place, client, objects, KubeCallersOptions{}, registry};
  kube::Steps review;

  void with(KubeCallersOptions options) { callers.emplace(client, objects, std::move(options), registry); }

  void pod(const std::string& ns, const std::string& name, const std::string& account, const std::string& node,
           const std::string& address = "") {
    const std::string yaml = culvert::format(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {}, namespace: {}, uid: u-{}}}\nspec: {{nodeName: {}, serviceAccountName: "
        "{}}}\n{}",
        name, ns, name, node, account, address.empty() ? "" : "status: {phase: Running, podIP: \"" + address + "\"}\n");
    for (const auto& parsed : config::parse_yaml("f", yaml).objects) objects.put(config::key_of(*parsed.object), parsed.object);
  }
  void reviewed(const std::string& ns, const std::string& account, const std::string& pod_name, const std::string& node = "") {
    const std::string on = node.empty() ? "" : culvert::format(R"(,"authentication.kubernetes.io/node-name":["{}"])", node);
    const std::string extra = pod_name.empty() ? ""
                                               : culvert::format(R"(,"extra":{{"authentication.kubernetes.io/pod-name":["{0}"],)"
                                                                 R"("authentication.kubernetes.io/pod-uid":["u-{0}"]{1}}})",
                                                                 pod_name, on);
    review = answer(201, culvert::format(R"({{"kind":"TokenReview","status":{{"authenticated":true,"audiences":["istio-ca"],)"
                                         R"("user":{{"username":"system:serviceaccount:{}:{}"{}}}}}}})",
                                         ns, account, extra));
  }
  // "node n1", "spiffe://...", or why not.
  std::string prove(const std::string& authorization) {
    std::optional<Result<Caller>> got;
    bool later = false;
    callers->prove(authorization, IpAddress::v4(0x0a000001), [&](Result<Caller> caller) {
      got.emplace(std::move(caller));
      if (later) loop.stop();
    });
    later = !got;
    if (later) loop.run();
    return *got ? (*got)->text() : got->error().text;
  }
  std::string prove_token() { return prove("Bearer " + token_for("istio-ca")); }
};

TEST_F(KubeCallersTest, APodOfATrustedAccountActsForItsNode) {
  pod("istio-system", "zt", "ztunnel", "n1");
  reviewed("istio-system", "ztunnel", "zt");
  EXPECT_EQ(prove_token(), "node n1");
}

TEST_F(KubeCallersTest, EveryOtherPodActsForItself) {
  pod("shop", "web-0", "web", "n1");
  reviewed("shop", "web", "web-0");
  EXPECT_EQ(prove_token(), "spiffe://cluster.local/ns/shop/sa/web");
}

TEST_F(KubeCallersTest, WhatTheTokenSaysMustFitThePodsThatThereAre) {
  reviewed("istio-system", "ztunnel", "zt");
  EXPECT_THAT(prove_token(), HasSubstr("the pod istio-system/zt of the token is not there"));
  pod("istio-system", "zt", "other", "n1");
  EXPECT_THAT(prove_token(), HasSubstr("has another service account"));
  pod("istio-system", "zt", "ztunnel", "''");
  EXPECT_THAT(prove_token(), HasSubstr("is on no node"));
  reviewed("shop", "web", "");
  EXPECT_THAT(prove_token(), HasSubstr("not bound to a pod"));
  EXPECT_EQ(peer.asked.size(), 4U) << "a pod may come later: nothing of this is remembered";
}

TEST_F(KubeCallersTest, ATokenActsOnlyForTheNodeThatItWasMadeFor) {
  pod("istio-system", "zt", "ztunnel", "n1");
  reviewed("istio-system", "ztunnel", "zt", "n2");
  EXPECT_THAT(prove_token(), HasSubstr("the token of the pod istio-system/zt was made for the node n2, and the pod is on n1"));
  reviewed("istio-system", "ztunnel", "zt", "n1");
  EXPECT_EQ(prove_token(), "node n1");
}

TEST_F(KubeCallersTest, TheMeshsOwnAccountsMaySeeTheDebugPagesAndWithoutAPodNothingElse) {
  std::optional<Caller> got;
  const auto ask = [&] {
    prove_token();
    callers->prove("Bearer " + token_for("istio-ca"), IpAddress::v4(0x0a000001),
                   [&](const Result<Caller>& caller) { got = *caller; });
  };
  reviewed("istio-system", "istio-reader-service-account", "");
  ask();
  EXPECT_EQ(got->text(), "account istio-system/istio-reader-service-account");
  EXPECT_TRUE(got->operates);
  EXPECT_EQ(got->node, "");
  EXPECT_FALSE(got->own);
  EXPECT_EQ(peer.asked.size(), 1U) << "remembered as the others are";
}

TEST_F(KubeCallersTest, NobodyElseMaySeeThem) {
  pod("shop", "web-0", "web", "n1");
  reviewed("shop", "web", "web-0");
  prove_token();
  bool operates = true;
  callers->prove("Bearer " + token_for("istio-ca"), IpAddress::v4(0x0a000001),
                 [&](const Result<Caller>& c) { operates = c->operates; });
  EXPECT_FALSE(operates);
}

TEST_F(KubeCallersTest, NodesAreThoseOfRunningPodsOfTrustedAccounts) {
  pod("istio-system", "zt", "ztunnel", "n1");
  pod("istio-system", "other", "culvertd", "n2");
  EXPECT_EQ(callers->nodes(), std::set<std::string>{}) << "it does not run";
  const auto with_status = [this](const std::string& status) {
    const std::string yaml =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: zt, namespace: istio-system}\nspec: {nodeName: n1, serviceAccountName: "
        "ztunnel}\nstatus: {phase: Running" +
        status + "}\n";
    for (const auto& parsed : config::parse_yaml("f", yaml).objects) objects.put(config::key_of(*parsed.object), parsed.object);
  };
  with_status("");
  EXPECT_EQ(callers->nodes(), std::set<std::string>{"n1"});
  EXPECT_EQ(callers->ready_nodes(), std::set<std::string>{});
  with_status(", conditions: [{type: Ready, status: 'True'}]");
  EXPECT_EQ(callers->ready_nodes(), std::set<std::string>{"n1"});
}

TEST_F(KubeCallersTest, AnAnswerIsRememberedUntilThePodGoes) {
  pod("istio-system", "zt", "ztunnel", "n1");
  reviewed("istio-system", "ztunnel", "zt");
  EXPECT_EQ(prove_token(), "node n1");
  review = kube::answer(500, "");
  EXPECT_EQ(prove_token(), "node n1");
  EXPECT_EQ(peer.asked.size(), 1U);

  objects.erase({config::Kind::kPod, "istio-system", "zt"});
  EXPECT_THAT(prove_token(), HasSubstr("500"));
}

// MeshConfig changes it at any time.
TEST_F(KubeCallersTest, CallersAreOfTheTrustDomainOfNowAlsoThoseThatAreRemembered) {
  std::string trust_domain = "one.example";
  with({.trust_domain = [&] { return trust_domain; }, .remembered = 60s, .refused = 10s});
  pod("shop", "web-0", "web", "n1");
  reviewed("shop", "web", "web-0");
  EXPECT_EQ(prove_token(), "spiffe://one.example/ns/shop/sa/web");

  trust_domain = "two.example";

  EXPECT_EQ(prove_token(), "spiffe://two.example/ns/shop/sa/web");
  EXPECT_EQ(peer.asked.size(), 1U) << "it is remembered";
}

struct WithoutAnApiServer : KubeCallersTest {
  WithoutAnApiServer() {
    with({.remembered = 0s, .refused = 0s});
    pod("istio-system", "zt", "ztunnel", "n1");
    account("a-1");
    reviewed("istio-system", "ztunnel", "zt");
  }
  void account(const std::string& uid) {
    const auto yaml = culvert::format(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: ztunnel, namespace: istio-system, uid: {}}}\n", uid);
    for (const auto& parsed : config::parse_yaml("f", yaml).objects) objects.put(config::key_of(*parsed.object), parsed.object);
  }
  static std::string token(std::int64_t expires = 4'000'000'000) {
    return "Bearer head." +
           to_base64(
               culvert::format(R"({{"aud":["istio-ca"],"exp":{},"kubernetes.io":{{"namespace":"istio-system",)"
                               R"("pod":{{"name":"zt","uid":"u-zt"}},"serviceaccount":{{"name":"ztunnel","uid":"a-1"}}}}}})",
                               expires)) +
           ".signature";
  }
};

TEST_F(WithoutAnApiServer, ATokenThatItCalledGoodStaysGood) {
  EXPECT_EQ(prove(token()), "node n1");
  review = answer(503, "");
  EXPECT_EQ(prove(token()), "node n1") << "it has no time for us";
  peer.down();
  EXPECT_EQ(prove(token()), "node n1") << "it is gone";
}

TEST_F(WithoutAnApiServer, NobodyWaitsForItOnceItIsKnownToBeAway) {
  EXPECT_EQ(prove(token()), "node n1");
  review = answer(503, "");
  EXPECT_EQ(prove(token()), "node n1");
  std::string at_once;
  callers->prove(token(), IpAddress::v4(0x0a000001),
                 [&](const Result<Caller>& caller) { at_once = caller ? caller->text() : "refused"; });
  EXPECT_EQ(at_once, "node n1");
}

TEST_F(WithoutAnApiServer, ATokenThatItHasNotSeenIsRefusedAndTheReasonIsSaid) {
  EXPECT_EQ(prove(token()), "node n1");
  peer.down();
  EXPECT_THAT(prove(token(3'999'999'999)), HasSubstr("it has not called this token good before: create tokenreviews"));
}

TEST_F(WithoutAnApiServer, ATokenStillEndsWithItsPodAndItsAccount) {
  EXPECT_EQ(prove(token()), "node n1");
  peer.down();
  account("a-2");
  EXPECT_THAT(prove(token()), HasSubstr("the service account istio-system/ztunnel of the token is gone"));
  account("a-1");
  EXPECT_EQ(prove(token()), "node n1");
  objects.erase({config::Kind::kPod, "istio-system", "zt"});
  EXPECT_THAT(prove(token()), HasSubstr("not called this token good before"));
}

TEST_F(WithoutAnApiServer, WhatItSaysWhenItIsBackCounts) {
  EXPECT_EQ(prove(token()), "node n1");
  review = answer(503, "");
  EXPECT_EQ(prove(token()), "node n1");
  review = answer(201, R"({"kind":"TokenReview","status":{"authenticated":false,"error":"its key is gone"}})");
  EXPECT_EQ(prove(token()), "node n1") << "by memory, while it is asked";
  std::string said = "node n1";
  while (said == "node n1") {
    loop.run([](net::Loop* on) -> net::Task<> { co_await net::sleep_for(*on, 1ms); }(&loop));
    said = prove(token());
  }
  EXPECT_THAT(said, HasSubstr("its key is gone"));
  peer.down();
  EXPECT_THAT(prove(token()), HasSubstr("not called this token good before"));
}

TEST_F(KubeCallersTest, WhatIsRefusedIsNotAskedAgainForAWhile) {
  review = answer(201, R"({"kind":"TokenReview","status":{"authenticated":false,"error":"invalid bearer token"}})");
  EXPECT_THAT(prove_token(), HasSubstr("invalid bearer token"));
  EXPECT_THAT(prove_token(), HasSubstr("invalid bearer token"));
  EXPECT_EQ(peer.asked.size(), 1U);
}

TEST_F(KubeCallersTest, WhatCannotBeOursIsShownToNobody) {
  EXPECT_EQ(prove(""), "no bearer token");
  EXPECT_EQ(prove("Basic x"), "no bearer token");
  EXPECT_THAT(prove("Bearer rubbish"), HasSubstr("none of a service account"));
  EXPECT_THAT(prove("Bearer a.!!.c"), HasSubstr("none of a service account"));
  EXPECT_THAT(prove("Bearer " + std::string(20'000, 'a')), HasSubstr("none of a service account"));
  EXPECT_THAT(prove("Bearer " + token_for("kubernetes")), HasSubstr("meant for somebody else"));
  EXPECT_THAT(prove("Bearer " + token_for("istio-ca", 1000)), HasSubstr("expired"));
  EXPECT_TRUE(peer.asked.empty());
}

// Tokens that are rubbish, from many addresses, while a caller comes whose token is good.
struct AmongNoise : KubeCallersTest {
  static constexpr std::int64_t kGood = 3'000'000'000;
  kube::Steps of_rubbish;
  std::size_t answered = 0, refused_at_once = 0;

  AmongNoise() {
    reviewed("istio-system", "ztunnel", "zt");
    peer.script = [this](const http::Request& request) {
      return request.body.contains(token_for("istio-ca", kGood)) ? review : of_rubbish;
    };
  }
  void noise() {
    for (int address = 1; address <= 7; ++address) {
      for (int i = 0; i < 100; ++i) {
        const auto later = std::make_shared<bool>(false);
        callers->prove("Bearer " + token_for("istio-ca", 4'000'000'000 + 1000 * address + i),
                       *IpAddress::parse(culvert::format("10.0.0.{}", address)),
                       [this, later](const Result<Caller>&) { ++(*later ? answered : refused_at_once); });
        *later = true;
      }
    }
  }
  std::string prove_good(const std::string& from) {
    std::string said;
    callers->prove("Bearer " + token_for("istio-ca", kGood), *IpAddress::parse(from), [&](const Result<Caller>& caller) {
      said = caller ? caller->text() : caller.error().text;
      loop.stop();
    });
    loop.run();
    return said;
  }
};

TEST_F(AmongNoise, AnEighthAddressHasItsTurn) {
  pod("istio-system", "zt", "ztunnel", "n1");
  of_rubbish = answer(201, R"({"kind":"TokenReview","status":{"authenticated":false,"error":"invalid bearer token"}})");
  of_rubbish.insert(of_rubbish.begin(), kube::pause(2ms));
  noise();
  EXPECT_GT(refused_at_once, 400U);
  EXPECT_EQ(prove_good("10.0.0.8"), "node n1");
  EXPECT_LT(answered, 60U) << "nearly all of the noise still waits";
}

TEST_F(AmongNoise, WhereAZtunnelIsKnownToBeThereIsRoomEvenIfNoOtherReviewEnds) {
  pod("istio-system", "zt", "ztunnel", "n1", "10.0.0.8");
  of_rubbish = {kube::hold()};
  noise();
  EXPECT_EQ(prove_good("10.0.0.8"), "node n1");
  EXPECT_EQ(answered, 0U);
}

TEST_F(AmongNoise, SoThereIsForOneOfIpv6) {
  pod("istio-system", "zt", "ztunnel", "n1", "fd00::8");
  of_rubbish = {kube::hold()};
  noise();
  EXPECT_EQ(prove_good("fd00::8"), "node n1");
}

TEST_F(KubeCallersTest, WhoeverShowsATokenThatIsBeingLookedAtWaitsForTheSameAnswer) {
  pod("istio-system", "zt", "ztunnel", "n1");
  reviewed("istio-system", "ztunnel", "zt");
  std::vector<std::string> said;
  for (int i = 0; i < 9; ++i)
    callers->prove("Bearer " + token_for("istio-ca"), IpAddress::v4(0x0a000001), [&](const Result<Caller>& caller) {
      said.push_back(caller ? caller->text() : caller.error().text);
      if (said.size() == 9) loop.stop();
    });
  loop.run();
  EXPECT_THAT(said, testing::Each("node n1"));
  EXPECT_EQ(peer.asked.size(), 1U);
}

TEST_F(KubeCallersTest, ATokenIsGoodNoLongerThanItsPodAndItsAccount) {
  pod("istio-system", "zt", "ztunnel", "n1");
  const auto account = [&](const std::string& uid) {
    const auto yaml = culvert::format(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: ztunnel, namespace: istio-system, uid: {}}}\n", uid);
    for (const auto& parsed : config::parse_yaml("f", yaml).objects) objects.put(config::key_of(*parsed.object), parsed.object);
  };
  account("a-1");
  const auto token = "Bearer head." +
                     to_base64(R"({"aud":["istio-ca"],"exp":4000000000,"kubernetes.io":{"namespace":"istio-system",)"
                               R"("pod":{"name":"zt","uid":"u-zt"},"serviceaccount":{"name":"ztunnel","uid":"a-1"}}})") +
                     ".signature";
  EXPECT_TRUE(callers->still(token));

  account("a-2");
  EXPECT_FALSE(callers->still(token)) << "another account of that name";
  account("a-1");
  EXPECT_TRUE(callers->still(token));
  objects.erase({config::Kind::kPod, "istio-system", "zt"});
  EXPECT_FALSE(callers->still(token));
  pod("istio-system", "zt", "ztunnel", "n1");
  EXPECT_TRUE(callers->still(token));
  objects.erase({config::Kind::kServiceAccount, "istio-system", "ztunnel"});
  EXPECT_FALSE(callers->still(token));
  EXPECT_FALSE(callers->still("Bearer " + token_for("istio-ca", 1000))) << "it has expired";
}

TEST_F(KubeCallersTest, ATokenMayClaimToLastForever) {
  review = answer(201, R"({"kind":"TokenReview","status":{"authenticated":false,"error":"invalid bearer token"}})");
  EXPECT_THAT(prove("Bearer " + token_for("istio-ca", std::numeric_limits<std::int64_t>::max())),
              HasSubstr("invalid bearer token"));
}

}  // namespace
}  // namespace culvert::controlplane
