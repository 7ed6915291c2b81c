// culvertd as its clients see it: what it serves, when, and what it does about mistakes.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "common/base/format.h"
#include "common/xds/codec.h"
#include "tests/integration/culvertd/fixture.h"
#include "tests/integration/culvertd/raw_client.h"

namespace culvert::test {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::SizeIs;
using xds::kAddressType;
using xds::kAuthorizationType;

std::string uid(const std::string& name) { return "Kubernetes//Pod/shop/" + name; }

struct Discovery : CulvertdTest {
  // Connects, subscribes to both types and waits for the first answers.
  std::unique_ptr<Subscriber> subscribed(const std::string& token = kToken1) {
    auto client = connect(token);
    client->subscribe(kAuthorizationType);
    client->subscribe(kAddressType);
    until(
        [&] {
          return client->responses[std::string(kAddressType)].size() +
                     client->responses[std::string(kAuthorizationType)].size() >=
                 2;
        },
        "the first answers");
    return client;
  }
  static std::map<std::string, xds::Resource>& addresses(Subscriber& client) { return client.held[std::string(kAddressType)]; }
  static std::map<std::string, xds::Resource>& policies(Subscriber& client) {
    return client.held[std::string(kAuthorizationType)];
  }
};

TEST_F(Discovery, ServesTheFolderAndItsChanges) {
  write("pods.yaml", pod("a", "n1", "10.0.0.1"));
  write("svc.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.1, selector: {app: "
        "web}, ports: [{port: 80}]}\n");
  ASSERT_TRUE(start());
  auto client = subscribed();
  EXPECT_THAT(addresses(*client), ElementsAre(Key(uid("a")), Key("shop/web.shop.svc.cluster.local")));

  write("pods.yaml", pod("a", "n1", "10.0.0.1") + pod("b", "n2", "fd00::2"));
  until([&] { return addresses(*client).contains(uid("b")); }, "the new pod");

  EXPECT_THAT(client->responses[std::string(kAddressType)].back().put, ElementsAre(uid("b")));
  const auto decoded = xds::decode_address(addresses(*client)[uid("b")].value);
  ASSERT_TRUE(decoded) << decoded.error().text;
  const auto& workload = std::get<model::Workload>(*decoded);
  EXPECT_EQ(workload.node, "n2");
  EXPECT_EQ(workload.addresses.at(0).text(), "fd00::2");
  EXPECT_THAT(workload.services, ElementsAre(Key("shop/web.shop.svc.cluster.local")));
}

TEST_F(Discovery, AChangeArrivesInMilliseconds) {
  ASSERT_TRUE(start());
  auto client = subscribed();
  std::vector<double> took;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "p" + std::to_string(i);
    const auto before = std::chrono::steady_clock::now();
    write(name + ".yaml", pod(name, "n1", "10.0.1." + std::to_string(i + 1)));
    until([&] { return addresses(*client).contains(uid(name)); }, "the pod");
    took.push_back(std::chrono::duration<double, std::milli>(client->last - before).count());
  }
  std::ranges::sort(took);
  std::printf("file change to client: median %.2f ms, worst %.2f ms\n", took[10], took.back());
  EXPECT_LT(took[10], 50);
}

TEST_F(Discovery, AVanishedFileIsDeletedAfterTheQuietTime) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto client = subscribed();
  const auto before = std::chrono::steady_clock::now();

  remove("a.yaml");
  until([&] { return addresses(*client).empty(); }, "the removal");

  EXPECT_GE(client->last - before, 49ms);
  EXPECT_THAT(client->responses[std::string(kAddressType)].back().removed, ElementsAre(uid("a")));
}

TEST_F(Discovery, AnEditorsRenameIsNoGap) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto client = subscribed();

  remove("a.yaml");
  write("a.yaml", pod("a", "n1", "10.0.0.9"));
  until([&] { return client->responses[std::string(kAddressType)].size() == 2; }, "the change");

  EXPECT_THAT(client->responses[std::string(kAddressType)].back().removed, IsEmpty());
}

TEST_F(Discovery, TheNodeAgentsStatusMakesAPodReachableByTunnel) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto client = subscribed();
  const auto protocol = [&] {
    return std::get<model::Workload>(*xds::decode_address(addresses(*client)[uid("a")].value)).protocol;
  };
  EXPECT_EQ(protocol(), model::TunnelProtocol::kNone);

  write(
      "status/pods/shop_a.yaml",
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, annotations: {ambient.istio.io/redirection: enabled}}\n");

  until([&] { return protocol() == model::TunnelProtocol::kHbone; }, "the tunnel");
}

TEST_F(Discovery, ABrokenPolicyLeavesTheLastGoodOneInForce) {
  write("p.yaml", policy("p", "{action: DENY, rules: [{}]}"));
  ASSERT_TRUE(start());
  auto client = subscribed();
  const std::string good = policies(*client).at("shop/p").version;

  write("p.yaml", policy("p", "{action: DENY, rulez: [{}]}"));
  until([&] { return log().contains("spec.rulez"); }, "the error line");
  write("a.yaml", pod("a", "n1", "10.0.0.1"));  // the rest goes on
  until([&] { return addresses(*client).contains(uid("a")); }, "another change");

  EXPECT_TRUE(says("p.yaml:5: AuthorizationPolicy shop/p: spec.rulez: unknown field (did you mean rules?)"));
  EXPECT_TRUE(says("the last good version stays in force"));
  EXPECT_THAT(policies(*client), ElementsAre(Key("shop/p")));
  EXPECT_EQ(policies(*client).at("shop/p").version, good);
  EXPECT_THAT(metrics(), HasSubstr("culvert_config_invalid_objects 1\n"));
  EXPECT_THAT(page("/debug/configz"), HasSubstr("AuthorizationPolicy shop/p"));

  write("p.yaml", policy("p", "{action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]}"));
  until([&] { return policies(*client).at("shop/p").version != good; }, "the correction");
  EXPECT_THAT(metrics(), HasSubstr("culvert_config_invalid_objects 0\n"));
}

TEST_F(Discovery, APolicyThatCannotBeReadAndHasNoPredecessorDenies) {
  ASSERT_TRUE(start());
  auto client = subscribed();

  write("p.yaml", policy("p", "{action: DENY, rulez: [{}]}"));
  until([&] { return policies(*client).contains("shop/policy_invalid"); }, "the denial");

  const auto denial = xds::decode_policy(policies(*client).at("shop/policy_invalid").value);
  ASSERT_TRUE(denial) << denial.error().text;
  EXPECT_EQ(denial->action, model::Policy::Action::kDeny);
  EXPECT_EQ(denial->scope, model::Policy::Scope::kNamespace);
  EXPECT_THAT(denial->invalid, HasSubstr("AuthorizationPolicy shop/p"));
  EXPECT_TRUE(says("DENIED (policy_invalid)"));

  remove("p.yaml");
  until([&] { return policies(*client).empty(); }, "the end of the denial");
}

TEST_F(Discovery, APolicyThatCannotSayWhereItIsDeniesEverywhere) {
  ASSERT_TRUE(start());
  auto client = subscribed();

  write("p.yaml", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolcy\nspec: {action: DENY, rules: [{}]}\n");
  until([&] { return policies(*client).contains("istio-system/policy_invalid"); }, "the denial");

  const auto denial = xds::decode_policy(policies(*client).at("istio-system/policy_invalid").value);
  ASSERT_TRUE(denial) << denial.error().text;
  EXPECT_EQ(denial->scope, model::Policy::Scope::kGlobal);
  EXPECT_EQ(denial->invalid, "cannot be read: AuthorizationPolicy p.yaml:1");
  EXPECT_TRUE(says("p.yaml:1: unknown kind \"AuthorizationPolcy\" (did you mean AuthorizationPolicy?)"));
  EXPECT_TRUE(says("the whole mesh, since its namespace cannot be read either, are DENIED (policy_invalid)"));

  remove("p.yaml");
  until([&] { return policies(*client).empty(); }, "the end of the denial");
}

TEST_F(Discovery, BeginsOnlyWhenItCanReadEverything) {
  write("a.yaml", std::string((16 << 20) + 1, '#'));

  EXPECT_FALSE(start());

  EXPECT_EQ(exit_code, 1);
  EXPECT_TRUE(says("a.yaml: larger than 16 MiB (split it)"));
}

TEST_F(Discovery, NonsenseInTheFolderBreaksNothing) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto client = subscribed();

  write("1.yaml", std::string(100'000, '['));
  write("2.yaml", std::string("\0\1\2\xff\xfe", 5));
  write("3.yaml", "apiVersion: v1\nkind: Pod\n");
  write("b.yaml", pod("b", "n1", "10.0.0.2"));
  until([&] { return addresses(*client).contains(uid("b")); }, "the good file");

  EXPECT_THAT(addresses(*client), SizeIs(2));
}

TEST_F(Discovery, ARefusalIsCountedAndTheStreamGoesOn) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto client = connect();
  client->acknowledges = false;
  client->subscribe(kAddressType);
  until([&] { return !client->responses[std::string(kAddressType)].empty(); }, "the first answer");

  client->acknowledge(kAddressType, client->responses[std::string(kAddressType)][0].nonce, uid("a") + ": no thanks");
  until([&] { return log().contains("no thanks"); }, "the error line");

  EXPECT_THAT(metrics(), HasSubstr("pilot_total_xds_rejects{type=\"wds\"} 1\n"));
  EXPECT_THAT(page("/debug/syncz"), AllOf(HasSubstr("\"lastError\":"), HasSubstr("\"lastNack\":\"" + uid("a") + ": no thanks\""),
                                          HasSubstr("\"lastNackTime\":\"2")));
  write("b.yaml", pod("b", "n1", "10.0.0.2"));
  until([&] { return addresses(*client).contains(uid("b")); }, "the next change");
  EXPECT_FALSE(client->ended);
}

TEST_F(Discovery, WhatANodeSaysIsCutAndLoggedNowAndThen) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto client = connect();
  client->acknowledges = false;
  for (int i = 0; i < 50; ++i) client->subscribe("type.of.nobody/" + std::string(10'000, 'x'));
  client->subscribe(kAddressType);
  until([&] { return !client->responses[std::string(kAddressType)].empty(); }, "the first answer");

  client->acknowledge(kAddressType, client->responses[std::string(kAddressType)][0].nonce,
                      uid("a") + ": " + std::string(10'000, 'n'));
  EXPECT_TRUE(says("a proxy refused resources"));

  const std::string text = log();
  const auto first = text.find("asks for a type that is not served");
  ASSERT_NE(first, text.npos);
  EXPECT_EQ(text.find("asks for a type that is not served", first + 1), text.npos) << "once, not fifty times";
  EXPECT_FALSE(text.contains(std::string(400, 'x')));
  EXPECT_FALSE(text.contains(std::string(400, 'n')));
  EXPECT_THAT(text, HasSubstr("xxx... (10015 bytes)"));
}

TEST_F(Discovery, ANodeThatAsksForTooManyNamesLosesItsStream) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto other = subscribed(kToken1);
  std::optional<rpc::Ended> ended;
  std::string answer;
  const rpc::Channel channel(server());
  rpc::Stream stream(loop, channel, std::string(xds::kAdsPath), {{"authorization", std::string("Bearer ") + kToken2}},
                     {.on_message = [&](std::string bytes) { answer = std::move(bytes); },
                      .on_end = [&](rpc::Ended how) { ended = std::move(how); }});

  // Kept are the names themselves, however well it takes what it is answered: 120 MB of the 96 MiB that it may have.
  constexpr int kMessages = 120, kNames = 100, kLength = 10'000;
  xds::Request request{.type_url = std::string(kAddressType), .unsubscribe = {"*"}};
  for (int message = 0; message < kMessages && !ended; ++message) {
    request.subscribe.clear();
    for (int i = 0; i < kNames; ++i)
      request.subscribe.push_back(culvert::format("/{}.{}", message, i) + std::string(kLength, 'n'));
    stream.send(xds::encode(request));
    until([&] { return ended || !answer.empty(); }, "an answer to this many of its names");
    if (!ended) request.nonce = xds::decode_response(std::exchange(answer, "")).value().nonce;
  }
  until([&] { return ended.has_value(); }, "the end of its stream");

  EXPECT_EQ(ended->code, 8) << ended->describe();
  EXPECT_TRUE(says("a node asks for too many names"));
  write("b.yaml", pod("b", "n1", "10.0.0.2"));
  until([&] { return addresses(*other).contains(uid("b")); }, "the next change, at another");
}

TEST_F(Discovery, AnAddressIsFoundOnDemand) {
  write("a.yaml", pod("a", "n1", "10.0.0.1") + pod("b", "n1", "10.0.0.2"));
  ASSERT_TRUE(start());
  auto client = connect();
  const auto& responses = client->responses[std::string(kAddressType)];
  client->demand(kAddressType, {"*"}, {"*"});
  until([&] { return responses.size() == 1; }, "the first answer");
  EXPECT_THAT(responses[0].put, IsEmpty());

  client->demand(kAddressType, {"/10.0.0.1", "/10.0.0.9"});
  until([&] { return responses.size() == 2; }, "the answer");
  EXPECT_THAT(responses[1].put, ElementsAre(uid("a")));
  EXPECT_THAT(responses[1].removed, ElementsAre("/10.0.0.9"));
  EXPECT_THAT(addresses(*client).at(uid("a")).aliases, ElementsAre("/10.0.0.1"));

  write("c.yaml", pod("c", "n1", "10.0.0.9"));
  until([&] { return addresses(*client).contains(uid("c")); }, "who has the other address now");
  EXPECT_THAT(addresses(*client), Not(Contains(Key(uid("b")))));
}

TEST_F(Discovery, ASlowClientDelaysNobodyAndGetsTheRestInOne) {
  ASSERT_TRUE(start());
  auto slow = connect(kToken2);
  slow->acknowledges = false;
  slow->subscribe(kAddressType);
  auto fast = subscribed();
  until([&] { return !slow->responses[std::string(kAddressType)].empty(); }, "the first answer");

  for (int i = 0; i < 10; ++i) {
    const std::string name = "p" + std::to_string(i);
    write(name + ".yaml", pod(name, "n1", "10.0.1." + std::to_string(i + 1)));
    until([&] { return addresses(*fast).contains(uid(name)); }, "the pod at the fast one");
  }
  EXPECT_THAT(slow->responses[std::string(kAddressType)], SizeIs(1));
  slow->acknowledge(kAddressType, slow->responses[std::string(kAddressType)][0].nonce);
  until([&] { return addresses(*slow).size() == 10; }, "the rest");

  EXPECT_THAT(slow->responses[std::string(kAddressType)], SizeIs(2));
}

// One that reads no more, and answers all the same: what it will be sent can be guessed.
TEST_F(Discovery, WhoReadsNoMoreDelaysNobodyAndIsSentNoMore) {
  constexpr int kPods = 500, kChanges = 20;  // a response is more than what HTTP/2 lets the server send ahead
  const auto pods = [](int change) {
    std::string out;
    for (int i = 0; i < kPods; ++i)
      out +=
          pod("p" + std::to_string(i), "n1", culvert::format("10.1.{}.{}", i / 250, i % 250 + 1), "a" + std::to_string(change));
    return out;
  };
  write("pods.yaml", pods(0));
  ASSERT_TRUE(start());
  auto fast = subscribed();
  const auto pushes = [&] {
    const std::string page = metrics();
    const auto at = page.find("pilot_xds_pushes{type=\"wds\"} ");
    return at == page.npos ? 0 : std::stoi(page.substr(at + sizeof "pilot_xds_pushes{type=\"wds\"} " - 1));
  };
  RawClient slow(port, server().roots_pem);
  xds::Request request;
  request.type_url = kAddressType;
  ASSERT_TRUE(slow.call(std::string(xds::kAdsPath), kToken2, xds::encode(request), /*all=*/false));

  for (int change = 1; change <= kChanges; ++change) {
    request.nonce = culvert::format("{0}.{0}", change);
    slow.frame(RawClient::kData, 0, 1, RawClient::message(xds::encode(request)));
    slow.push();
    write("pods.yaml", pods(change));
    until([&] { return fast->responses[std::string(kAddressType)].size() == static_cast<std::size_t>(change) + 1; },
          "the change");
  }

  EXPECT_THAT(addresses(*fast), SizeIs(kPods));
  EXPECT_LE(pushes(), kChanges + 1 + 2) << "the fast one's, and two of the slow one's";
  EXPECT_FALSE(fast->ended);
}

TEST_F(Discovery, WhoComesBackGetsOnlyTheDifference) {
  write("a.yaml", pod("a", "n1", "10.0.0.1") + pod("b", "n1", "10.0.0.2"));
  ASSERT_TRUE(start());
  auto client = subscribed();
  const auto held = client->versions(kAddressType);
  client.reset();
  write("a.yaml", pod("b", "n1", "10.0.0.3") + pod("c", "n1", "10.0.0.4"));

  auto again = connect();
  again->subscribe(kAddressType, held);
  until([&] { return !again->responses[std::string(kAddressType)].empty(); }, "the difference");

  const auto& first = again->responses[std::string(kAddressType)][0];
  EXPECT_THAT(first.put, ElementsAre(uid("b"), uid("c")));
  EXPECT_THAT(first.removed, ElementsAre(uid("a")));
}

TEST_F(Discovery, ARestartKeepsRootAndVersions) {
  write("a.yaml", pod("a", "n1", "10.0.0.1") + policy("p", "{rules: [{}]}"));
  ASSERT_TRUE(start());
  auto client = subscribed();
  const auto held = client->versions(kAddressType);
  const std::string root = server().roots_pem;
  stop(SIGKILL);
  until([&] { return client->ended.has_value(); }, "the end of the stream");
  client.reset();

  ASSERT_TRUE(start());
  auto again = connect();
  again->subscribe(kAddressType, held);
  until([&] { return !again->responses[std::string(kAddressType)].empty(); }, "the first answer");

  EXPECT_EQ(server().roots_pem, root);
  EXPECT_THAT(again->responses[std::string(kAddressType)][0].put, IsEmpty());
  EXPECT_THAT(again->responses[std::string(kAddressType)][0].removed, IsEmpty());
}

TEST_F(Discovery, TheNonceCarriesTheEpochAndSyncShowsIt) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto client = subscribed();
  EXPECT_THAT(client->responses[std::string(kAddressType)][0].nonce, ::testing::StartsWith("1."));

  // Both subscriptions of the node: it is current when neither has anything pending.
  until([&] { return page("/debug/syncz").contains("\"current\":true"); }, "the acknowledgement");

  EXPECT_THAT(page("/debug/syncz"), HasSubstr("\"node\":\"n1\""));
  EXPECT_THAT(page("/debug/syncz"), HasSubstr("\"epoch_applied\":1"));
}

TEST_F(Discovery, OnlyWhoHasATokenIsServed) {
  ASSERT_TRUE(start());
  auto client = connect("token-of-nobody-at-all");
  client->subscribe(kAddressType);

  until([&] { return client->ended.has_value(); }, "the refusal");

  EXPECT_EQ(client->ended->code, 16);
  EXPECT_THAT(client->responses, IsEmpty());
  EXPECT_THAT(metrics(), HasSubstr("culvert_unproved_calls_total 1\n"));
  EXPECT_THAT(log(), Not(HasSubstr("token-of-nobody")));
}

TEST_F(Discovery, ATokenThatIsTakenAwayEndsItsStreams) {
  ASSERT_TRUE(start());
  auto one = subscribed(kToken1);
  auto two = subscribed(kToken2);

  std::filesystem::remove(folder + "/tokens");
  std::FILE* file = std::fopen((folder + "/tokens.new").c_str(), "w");
  std::fprintf(file, "%s n1\n", kToken1);
  std::fclose(file);
  std::filesystem::permissions(folder + "/tokens.new", std::filesystem::perms(0600));
  std::filesystem::rename(folder + "/tokens.new", folder + "/tokens");
  until([&] { return two->ended.has_value(); }, "the end of the second node's stream");

  EXPECT_EQ(two->ended->code, 16);
  EXPECT_FALSE(one->ended);
}

TEST_F(Discovery, EndsInOrderOnSigterm) {
  ASSERT_TRUE(start());
  auto client = subscribed();

  stop(SIGTERM);
  until([&] { return client->ended.has_value(); }, "the end of the stream");

  EXPECT_EQ(exit_code, 0);
}

}  // namespace
}  // namespace culvert::test
