#include "common/kube/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/format.h"
#include "common/kube/test_peer.h"

namespace culvert::kube {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

const Collection kServices = {.plural = "services"};

struct ClientTest : testing::Test {
  net::Loop loop;
  std::optional<Peer> peer;
  std::optional<Client> client;

  void start(Peer::Script script, ClientOptions options = {}) {
    peer.emplace(loop, std::move(script));
    client.emplace(loop, peer->access(), std::move(options));
  }
  Result<http::Response> call(Request request) { return loop.run(client->call(std::move(request))); }
  std::string failure_of(Request request) {
    auto answer = call(std::move(request));
    return answer ? "no failure" : answer.error().text;
  }
};

TEST_F(ClientTest, AsksWithItsTokenAndKeepsTheConnection) {
  start([](const http::Request& request) { return answer(request.method == "POST" ? 201 : 200, "{\"a\":1}"); });

  const auto got = call(get({kServices, "shop", "web"}));
  const auto made = call(create({kServices, "shop"}, "{\"b\":2}"));

  ASSERT_TRUE(got) << got.error().text;
  ASSERT_TRUE(made) << made.error().text;
  EXPECT_EQ(got->body, "{\"a\":1}");
  EXPECT_EQ(made->status, 201);
  ASSERT_EQ(peer->asked.size(), 2U);
  EXPECT_EQ(peer->asked[0].target, "/api/v1/namespaces/shop/services/web");
  EXPECT_EQ(peer->asked[0].headers.get("authorization"), "Bearer secret-1");
  EXPECT_EQ(peer->asked[0].headers.get("host"), peer->at().text());
  EXPECT_EQ(peer->asked[1].method, "POST");
  EXPECT_EQ(peer->asked[1].body, "{\"b\":2}");
  EXPECT_EQ(peer->asked[1].headers.get("content-type"), "application/json");
  EXPECT_EQ(peer->connections, 1);
}

TEST_F(ClientTest, AsksForMetadataAloneByTheNameThatAListOfItHas) {
  start([](const http::Request&) { return answer(200, "{}"); });
  auto one = get({kServices, "shop", "web"}), all = list({kServices});
  one.metadata = all.metadata = true;

  ASSERT_TRUE(call(one));
  ASSERT_TRUE(call(all));

  EXPECT_EQ(peer->asked[0].headers.get("accept"), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
  EXPECT_EQ(peer->asked[1].headers.get("accept"), "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
}

TEST_F(ClientTest, ReadsABodyWhereverItIsCut) {
  const std::string body = "{\"items\":[1,2,3]}";
  std::size_t step = 1;
  start([&](const http::Request&) {
    Steps steps;
    std::string wire = chunked().bytes;
    for (std::size_t at = 0; at < body.size(); at += step) wire += chunk(std::string_view(body).substr(at, step)).bytes;
    wire += last_chunk().bytes;
    for (std::size_t at = 0; at < wire.size(); at += step) steps.push_back(send(wire.substr(at, step)));  // a record each
    return steps;
  });
  for (; step <= body.size(); ++step) {
    const auto got = call(list({kServices}));
    ASSERT_TRUE(got) << got.error().text;
    EXPECT_EQ(got->body, body);
  }
  EXPECT_EQ(peer->connections, 1);
}

TEST_F(ClientTest, ARefusalNamesVerbResourceReasonAndRule) {
  start([](const http::Request&) {
    return answer(
        403,
        R"({"kind":"Status","status":"Failure","message":"services is forbidden: User \"u\" cannot list","reason":"Forbidden","code":403})");
  });
  EXPECT_EQ(failure_of(list({kServices, "shop"})),
            "list services of namespace shop: 403 Forbidden: services is forbidden: User \"u\" cannot list (RBAC: grant list on "
            "services in namespace shop to u)");
  EXPECT_EQ(loop.run(client->exchange(list({kServices})))->status, 403);
}

TEST_F(ClientTest, OneMebibyteComesWholeAndMoreThanTheLimitDoesNot) {
  const std::string body(1024 * 1024, 'x');
  start([&](const http::Request&) { return answer(200, body); }, {.answer = body.size()});
  EXPECT_EQ(call(list({kServices}))->body.size(), body.size());
  client.emplace(loop, peer->access(), ClientOptions{.answer = body.size() - 1});
  EXPECT_THAT(failure_of(list({kServices})), HasSubstr("longer than"));
  client.emplace(loop, peer->access());
  ASSERT_TRUE(call(create({kServices, "a"}, body)));
  EXPECT_EQ(peer->asked.back().body.size(), body.size());
}

TEST_F(ClientTest, AServerThatMisbehavesIsAnErrorThatSaysHow) {
  Steps steps;
  start([&](const http::Request&) { return steps; });
  Request request = list({kServices});
  request.timeout = 300ms;
  const std::string at = "list services: " + peer->at().text() + ": ";

  steps = {hold()};
  EXPECT_EQ(failure_of(request), at + "no answer in time");
  steps = {send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"), hold()};
  EXPECT_EQ(failure_of(request), at + "no answer in time");
  steps = {send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"), cut()};
  EXPECT_EQ(failure_of(request), at + "the peer reset the connection");
  steps = {send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"), {.what = Step::kClose}};
  EXPECT_EQ(failure_of(request), at + "closed the connection in the middle of an answer");
  steps = {send("SSH-2.0-OpenSSH_9.9\r\n")};
  EXPECT_THAT(failure_of(request), StartsWith(at + "HTTP/1: "));
  steps = {send("HTTP/1.1 200 OK\r\n")};
  for (int i = 0; i < 200; ++i) steps.push_back(send("X: y\r\n"));
  EXPECT_EQ(failure_of(request), at + "HTTP/1: too many header fields");
  steps = {send("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'y'))};
  EXPECT_EQ(failure_of(request), at + "HTTP/1: the header fields are too long");
  steps = {send("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nxxxx"), hold()};
  EXPECT_NE(failure_of(request), "no failure");
  steps = {send("HTTP/1.0 200 OK\r\n\r\nuntil the end"), {.what = Step::kClose}};
  EXPECT_EQ(call(request)->body, "until the end");
}

TEST_F(ClientTest, A401IsTriedOnceMoreWithTheTokenThatCameMeanwhile) {
  start([this](const http::Request& request) {
    if (request.headers.get("authorization") == "Bearer secret-2") return answer(200, "{}");
    peer->folder.write("token", "secret-2");
    return answer(401, R"({"kind":"Status","message":"Unauthorized","reason":"Unauthorized","code":401})");
  });

  EXPECT_TRUE(call(list({kServices})));

  EXPECT_EQ(peer->asked.size(), 2U);
  peer->script = [](const http::Request&) { return answer(401, ""); };
  EXPECT_EQ(failure_of(list({kServices})), "list services: 401 Unauthorized (is the token expired, or of another cluster?)");
  EXPECT_EQ(peer->asked.size(), 3U);  // the same token again would be of no use
}

TEST_F(ClientTest, AConnectionThatWasClosedMeanwhileIsReplaced) {
  start([](const http::Request& request) {
    Steps steps = answer(200, "{}");
    if (request.target == "/close") steps.push_back(cut());
    return steps;
  });
  ASSERT_TRUE(call(get_path("/close")));
  EXPECT_TRUE(call(create({kServices, "a"}, "{}")));  // seen before it is used
  ASSERT_TRUE(call(get_path("/x")));
  EXPECT_EQ(peer->connections, 2);
  peer->script = [this](const http::Request&) {  // closes instead of answering, once
    peer->script = [](const http::Request&) { return answer(200, "{}"); };
    return Steps{cut()};
  };
  EXPECT_TRUE(call(get_path("/x")));
  EXPECT_EQ(peer->connections, 3);
}

TEST_F(ClientTest, WhatMayHaveBeenDoneIsNotDoneAgain) {
  start([](const http::Request& request) { return request.method == "GET" ? answer(200, "{}") : Steps{cut()}; });
  ASSERT_TRUE(call(get_path("/x")));
  EXPECT_THAT(failure_of(create({kServices, "a"}, "{}")), StartsWith("create services of namespace a: "));
  EXPECT_EQ(peer->asked.size(), 2U);
}

TEST_F(ClientTest, RefusesAServerThatIsNotTheOneItWants) {
  start([](const http::Request&) { return answer(200, "{}"); });
  peer->folder.write("ca.crt", tls::Authority::make_root("cluster.local")->certificate().pem());
  client.emplace(loop, peer->access());
  EXPECT_THAT(failure_of(list({kServices})), HasSubstr("unable to get local issuer certificate"));

  peer->folder.write("ca.crt", peer_authority().certificate().pem());
  const std::string config = peer->folder.write("config", culvert::format(R"(
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "https://{}", certificate-authority: ca.crt, tls-server-name: other.test}}}}]
users: [{{name: u, user: {{token: t}}}}]
)",
                                                                          peer->at().text()));
  client.emplace(loop, need(Access::from_kubeconfig(config)));
  EXPECT_THAT(failure_of(list({kServices})), HasSubstr("ostname mismatch"));
  EXPECT_TRUE(peer->asked.empty());
}

TEST_F(ClientTest, ShowsItsCertificateToAServerThatWantsOne) {
  const auto pair = *peer_authority().make_workload({"cluster.local", "a", "b"}, 1h);
  peer.emplace(loop, [](const http::Request&) { return answer(200, "{}"); }, tls::Roots({peer_authority().certificate()}));
  std::string chain;
  for (const auto& one : pair.chain()) chain += one.pem();
  peer->folder.write("me.crt", chain);
  peer->folder.write("me.key", pair.key().private_pem());
  const std::string config = peer->folder.write("config", culvert::format(R"(
current-context: c
contexts: [{{name: c, context: {{cluster: c, user: u}}}}, {{name: nobody, context: {{cluster: c, user: nobody}}}}]
clusters: [{{name: c, cluster: {{server: "https://localhost:{}/prefix/", certificate-authority: ca.crt}}}}]
users: [{{name: u, user: {{client-certificate: me.crt, client-key: me.key}}}}, {{name: nobody, user: {{}}}}]
)",
                                                                          peer->at().port));
  client.emplace(loop, need(Access::from_kubeconfig(config)));

  const auto got = call(get_path("/version"));

  ASSERT_TRUE(got) << got.error().text;
  EXPECT_EQ(peer->asked[0].target, "/prefix/version");
  EXPECT_EQ(peer->asked[0].headers.count("authorization"), 0U);
  client.emplace(loop, need(Access::from_kubeconfig(config, "nobody")));
  EXPECT_THAT(failure_of(list({kServices})), HasSubstr("certificate required"));
}

TEST_F(ClientTest, AStreamHandsOnWhatComesWhenItComes) {
  start([](const http::Request&) { return Steps{chunked(), chunk("one"), wait(), chunk("two"), wait(), last_chunk()}; });
  auto stream = need(loop.run(client->open(list({kServices}))));

  EXPECT_EQ(stream.status(), 200);
  EXPECT_EQ(loop.run(stream.next(1s)), "one");
  peer->go();
  EXPECT_EQ(loop.run(stream.next(1s)), "two");
  EXPECT_FALSE(loop.run(stream.next(50ms)));
}

TEST_F(ClientTest, AStreamThatIsThroughGivesItsConnectionBack) {
  start([](const http::Request&) { return answer(200, "{}"); });
  {
    auto stream = need(loop.run(client->open(list({kServices}))));
    EXPECT_EQ(loop.run(stream.next(1s)), "{}");
    EXPECT_EQ(loop.run(stream.next(1s)), "");
  }
  { auto unread = need(loop.run(client->open(list({kServices})))); }
  ASSERT_TRUE(call(list({kServices})));
  EXPECT_LE(peer->connections, 2);
}

TEST_F(ClientTest, ManyCallsShareAFewConnections) {
  start([](const http::Request&) { return Steps{pause(2ms), answer(200, "{}").front()}; }, {.calls = 3, .idle = 3});
  std::vector<net::Task<Result<http::Response>>> tasks;
  tasks.reserve(20);
  for (int i = 0; i < 20; ++i) tasks.push_back(client->call(get_path("/x")));
  for (auto& task : tasks) task.start();
  for (int i = 0; i < 19; ++i) tasks[static_cast<std::size_t>(i)] = {};  // given up: they free their places
  ASSERT_TRUE(call(get_path("/y")));
  tasks.clear();
  ASSERT_TRUE(call(get_path("/z")));
  EXPECT_LE(peer->connections, 7);
}

// The one that waits is given up in the very moment in which the place is handed to it.
TEST_F(ClientTest, ACallGivenUpWhenItsTurnHasComePassesTheTurnOn) {
  start([](const http::Request&) { return answer(200, "{}"); }, {.calls = 1});
  auto first = client->call(get_path("/first")), second = client->call(get_path("/second")),
       third = client->call(get_path("/third"));
  net::Event answered(loop);
  const auto give_up_the_second = [&]() -> net::Task<> {
    const auto got = co_await std::move(first);
    EXPECT_TRUE(got);
    second = {};
  };
  const auto await_the_third = [&]() -> net::Task<> {
    const auto got = co_await std::move(third);
    EXPECT_TRUE(got);
    answered.set();
  };
  auto giving_up = give_up_the_second();
  giving_up.start();
  second.start();
  auto awaiting = await_the_third();
  awaiting.start();

  EXPECT_TRUE(loop.run(answered.wait_for(5s)));
  EXPECT_EQ(peer->asked.size(), 2U);
}

TEST_F(ClientTest, WhatIsNotWantedAnyMoreWhenItsTurnHasComeIsNotSent) {
  bool leads = true;
  start(
      [&](const http::Request&) {
        leads = false;
        return answer(200, "{}");
      },
      {.calls = 1});
  Request write = create({kServices, "shop"}, "{}");
  write.still = [&] { return leads; };
  auto first = client->call(get_path("/first"));
  auto second = client->call(write);
  first.start();
  EXPECT_TRUE(leads);

  const auto refused = loop.run(std::move(second));

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().text, "create services of namespace shop: is not sent: it is not wanted any more");
  EXPECT_EQ(peer->asked.size(), 1U);
  leads = true;
  EXPECT_TRUE(call(write));
  EXPECT_EQ(peer->connections, 1) << "the connection was left as it was";
}

TEST_F(ClientTest, WhatIsNotWantedAnyMoreIsNotTriedOnceMore) {
  bool leads = true;
  start([&](const http::Request&) {
    peer->folder.write("token", "secret-2");
    leads = false;
    return answer(401, "");
  });
  Request write = create({kServices, "shop"}, "{}");
  write.still = [&] { return leads; };

  EXPECT_THAT(failure_of(write), HasSubstr("not wanted any more"));
  EXPECT_EQ(peer->asked.size(), 1U);
}

TEST_F(ClientTest, NobodyThereIsAnErrorThatSaysWhere) {
  start([](const http::Request&) { return Steps{}; });
  const std::string at = peer->at().text();
  peer->down();
  const auto got = call(list({kServices}));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().text, "list services: dialling " + at + ": Connection refused");
  EXPECT_EQ(got.error().reason, Reason::kConnectRefused);
}

}  // namespace
}  // namespace culvert::kube
