#include "common/xds/ads_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "common/net/timer.h"
#include "common/rpc/server.h"
#include "common/xds/codec.h"

namespace culvert::xds {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

std::string encoded(std::string_view uid) {
  model::Workload workload;
  workload.uid = workload.name = uid;
  return encode(workload);
}
std::string policy(std::string_view name) {
  model::Policy out;
  out.name = name, out.name_space = "ns";
  return encode(out);
}

// A control plane of which the test plays every part, and a client of it that puts what it hears into a mesh.
struct World : testing::Test {
  std::string folder;
  net::Loop loop;
  std::vector<Request> asked;
  std::vector<std::string> tokens;
  rpc::CallRef stream;  // the last one
  std::unique_ptr<rpc::CallServer> server;
  std::uint16_t port = 0;
  model::MeshBuilder builder;
  int updates = 0;
  bool acknowledge_at_once = true;
  std::vector<AdsClient::Acknowledge> acknowledgements;
  std::optional<AdsClient> client;

  World() {
    char pattern[] = "/tmp/culvert-ads-XXXXXX";
    folder = ::mkdtemp(pattern);
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=ca "
        "-addext subjectAltName=DNS:istiod.istio-system.svc -keyout " +
        folder + "/key.pem -out " + folder + "/ca.pem 2>/dev/null";
    CULVERT_CHECK(std::system(command.c_str()) == 0);
    std::ofstream(folder + "/token") << "first\n";
    start_server();
  }
  ~World() override {
    client.reset();
    stream.reset();
    server.reset();
    std::filesystem::remove_all(folder);
  }
  void start_server() {
    server = rpc::CallServer::start(
                 loop,
                 {.address = "127.0.0.1:" + std::to_string(port),
                  .certificate_file = folder + "/ca.pem",
                  .key_file = folder + "/key.pem"},
                 [this](rpc::CallRef call) {
                   call->proved("a test");
                   EXPECT_EQ(call->path(), kAdsPath);
                   tokens.emplace_back(call->metadata("authorization"));
                   stream = call;
                   call->accept({[this](std::string message) { asked.push_back(decode_request(message).value()); }, {}, {}});
                 })
                 .value();
    port = server->port();
  }
  void start_client() {
    client.emplace(loop,
                   AdsOptions{.address = "https://127.0.0.1:" + std::to_string(port),
                              .name = "istiod.istio-system.svc",
                              .credentials = {.token = folder + "/token", .roots = folder + "/ca.pem", .cluster_id = "c1"},
                              .node = {.id = "ztunnel~1.1.1.1~z.istio-system~istio-system.svc.cluster.local",
                                       .metadata = {{"NODE_NAME", "n1"}}}},
                   [this](Update update, AdsClient::Acknowledge acknowledge) {
                     ++updates;
                     std::move(update).apply_to(builder);
                     if (acknowledge_at_once) acknowledge();
                     else acknowledgements.push_back(std::move(acknowledge));
                   });
  }
  void until(const std::function<bool()>& done) {
    loop.run([](net::Loop* on, const std::function<bool()>* enough) -> net::Task<> {
      const auto end = net::Clock::now() + 10s;
      while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(*on, 2ms);
    }(&loop, &done));
    EXPECT_TRUE(done());
  }
  void answer(std::string_view type, std::string nonce, std::vector<Resource> resources, std::vector<std::string> removed = {}) {
    for (Resource& resource : resources) resource.type_url = type;
    stream->send(encode(Response{std::string(type), std::move(nonce), std::move(resources), std::move(removed)}));
  }
  // Both first requests have come, and are answered with one workload and one policy.
  void settle() {
    until([&] { return asked.size() == 2; });
    answer(kAddressType, "a1", {{"u1", "v1", "", encoded("u1")}});
    answer(kAuthorizationType, "p1", {{"ns/p", "", "", policy("p")}});
    until([&] { return asked.size() == 4; });
  }
};

TEST_F(World, AsksForBothTypesAtOnceAndAcknowledges) {
  start_client();
  until([&] { return asked.size() == 2; });
  EXPECT_EQ(asked[0].type_url, kAddressType);
  EXPECT_EQ(asked[1].type_url, kAuthorizationType);
  for (const Request& request : asked) {
    EXPECT_EQ(request.node.id, "ztunnel~1.1.1.1~z.istio-system~istio-system.svc.cluster.local");
    EXPECT_EQ(request.node.metadata.at("NODE_NAME"), "n1");
    EXPECT_TRUE(request.subscribe.empty());
    EXPECT_TRUE(request.initial_versions.empty());
  }
  EXPECT_FALSE(client->ready());

  answer(kAddressType, "a1", {{"u1", "v1", "", encoded("u1")}});
  until([&] { return asked.size() == 3; });
  EXPECT_EQ(asked[2], (Request{.type_url = std::string(kAddressType), .nonce = "a1"}));
  EXPECT_FALSE(client->ready());

  answer(kAuthorizationType, "p1", {});
  until([&] { return asked.size() == 4; });
  EXPECT_TRUE(client->ready());
  EXPECT_TRUE(client->connected());
  EXPECT_EQ(client->problem(), "");
  EXPECT_TRUE(builder.current().workload("u1"));
  EXPECT_EQ(client->counters().messages.at(std::string(kAddressType)), 1u);
}

TEST_F(World, RefusesABadResourceByNameAndKeepsTheLastGoodOne) {
  start_client();
  settle();

  answer(kAddressType, "a2", {{"u1", "v2", "", "\xff"}, {"u2", "v2", "", encoded("u2")}});
  until([&] { return asked.size() == 5; });

  EXPECT_EQ(asked[4],
            (Request{.type_url = std::string(kAddressType), .nonce = "a2", .error = "u1: not an istio.workload.Address"}));
  EXPECT_TRUE(builder.current().workload("u1"));
  EXPECT_TRUE(builder.current().workload("u2"));
  EXPECT_EQ(client->counters().refused_resources, 1u);
}

TEST_F(World, AcknowledgesOnlyWhenTheUpdateIsInForce) {
  acknowledge_at_once = false;
  start_client();
  until([&] { return asked.size() == 2; });
  answer(kAddressType, "a1", {});
  answer(kAuthorizationType, "p1", {});
  until([&] { return acknowledgements.size() == 2; });
  EXPECT_EQ(asked.size(), 2u);

  acknowledgements[1]();
  until([&] { return asked.size() == 3; });
  EXPECT_EQ(asked[2].nonce, "p1");

  // An acknowledgement of a stream that is gone goes nowhere.
  stream->finish({14, "restarting"});
  until([&] { return asked.size() == 5; });
  acknowledgements[0]();
  answer(kAuthorizationType, "p2", {});
  until([&] { return acknowledgements.size() == 3; });
  acknowledgements[2]();
  until([&] { return asked.size() == 6; });
  EXPECT_EQ(asked[5].nonce, "p2");
}

TEST_F(World, ReconnectsWithWhatItHoldsAndAFreshToken) {
  start_client();
  settle();
  std::ofstream(folder + "/token") << "second";

  stream->finish({0, ""});
  until([&] { return asked.size() == 6; });

  EXPECT_EQ(asked[4].initial_versions, (Versions{{"u1", "v1"}}));
  EXPECT_EQ(asked[5].initial_versions, (Versions{{"ns/p", ""}}));
  EXPECT_EQ(asked[4].node.id, asked[0].node.id);
  EXPECT_THAT(tokens, ElementsAre("Bearer first", "Bearer second"));
  EXPECT_TRUE(client->ready());
  EXPECT_TRUE(builder.current().workload("u1"));
  EXPECT_EQ(client->counters().completes, 1u);

  answer(kAddressType, "a2", {}, {"u1"});
  answer(kAuthorizationType, "p2", {}, {"ns/p"});
  until([&] { return asked.size() == 8; });
  EXPECT_FALSE(builder.current().workload("u1"));
  EXPECT_FALSE(builder.current().policy("ns/p"));
}

// A client that holds so many workloads that it says sums of them.
struct LargeWorld : World {
  static constexpr std::size_t kMany = kParts + 1;
  static std::string name(std::size_t i) { return "u" + std::to_string(100'000 + i); }
  void say(Response response) {
    response.type_url = kAddressType;
    for (Resource& one : response.resources) one.type_url = kAddressType;
    stream->send(encode(response));
  }
  // It has them from a control plane that knows sums.
  void fill() {
    start_client();
    until([&] { return asked.size() == 2; });
    Response response{.nonce = "a1", .knows_sums = true};
    for (std::size_t i = 0; i < kMany; ++i) response.resources.push_back({name(i), "v1", "", encoded(name(i))});
    say(std::move(response));
    answer(kAuthorizationType, "p1", {});
    until([&] { return asked.size() == 4; });
  }
  // The stream is cut off; the next one's two first requests.
  void come_again() {
    asked.clear();
    stream->finish({0, ""});
    until([&] { return asked.size() == 2; });
  }
};

TEST_F(LargeWorld, SaysSumsAndAnswersWhatItIsAsked) {
  fill();
  come_again();
  EXPECT_EQ(asked[0].sums.size(), kParts * kSumSize);
  EXPECT_TRUE(asked[0].initial_versions.empty());
  EXPECT_TRUE(asked[1].sums.empty()) << "of policies it holds few";
  const int before = updates;
  Response question{.nonce = "q", .knows_sums = true};
  question.asked.set(part_of(name(5)));

  say(question);
  until([&] { return asked.size() == 3; });
  EXPECT_EQ(asked[2].nonce, "q");
  EXPECT_EQ(asked[2].initial_versions.find(name(5)), "v1");
  EXPECT_LT(asked[2].initial_versions.size(), 20U);
  EXPECT_EQ(updates, before) << "there is nothing to put in force";
  say({.nonce = "a2", .removed = {name(5)}});
  until([&] { return asked.size() == 4; });

  EXPECT_EQ(asked[3].nonce, "a2");
  EXPECT_FALSE(builder.current().workload(name(5)));
  EXPECT_TRUE(builder.current().workload(name(6)));
}

TEST_F(LargeWorld, AnotherControlPlaneIsToldEverythingAndTheFirstOneSumsAgain) {
  fill();
  come_again();
  asked.clear();

  say({.nonce = "a1", .resources = {{"new", "v1", "", encoded("new")}}});  // as to one that holds nothing
  until([&] { return asked.size() == 2; });
  EXPECT_EQ(asked[0].initial_versions.size(), kMany);
  EXPECT_TRUE(asked[0].sums.empty());
  EXPECT_FALSE(builder.current().workload("new")) << "it was not applied";
  say({.nonce = "a2", .resources = {{"new", "v1", "", encoded("new")}}, .removed = {name(5)}});
  until([&] { return asked.size() == 3; });
  EXPECT_TRUE(builder.current().workload("new"));
  EXPECT_FALSE(builder.current().workload(name(5)));

  come_again();
  EXPECT_EQ(asked[0].initial_versions.size(), kMany) << "it does not know sums";
  say({.nonce = "a3", .knows_sums = true});
  until([&] { return asked.size() == 3; });
  come_again();
  EXPECT_EQ(asked[0].sums.size(), kParts * kSumSize);
  EXPECT_EQ(client->counters().errors, 0u);
}

TEST_F(LargeWorld, WhoRefusesSumsIsToldVersions) {
  fill();
  come_again();
  asked.clear();

  stream->finish({3, "no sums today"});
  until([&] { return asked.size() == 2; });

  EXPECT_EQ(asked[0].initial_versions.size(), kMany);
}

TEST_F(LargeWorld, AStreamThatBreaksBetweenQuestionAndAnswerCostsNothing) {
  fill();
  come_again();
  Response question{.nonce = "q", .knows_sums = true};
  question.asked.set();
  say(question);
  until([&] { return asked.size() == 3; });
  EXPECT_EQ(asked[2].initial_versions.size(), kMany);

  come_again();

  EXPECT_EQ(asked[0].sums.size(), kParts * kSumSize);
  say({.nonce = "a2", .knows_sums = true});
  until([&] { return asked.size() == 3; });
  EXPECT_TRUE(builder.current().workload(name(5)));
}

TEST_F(World, AServerThatAnswersAndFailsIsAskedEverMoreSlowly) {
  start_client();
  const auto start = net::Clock::now();
  for (std::uint64_t round = 1; round <= 6; ++round) {
    until([&] { return asked.size() == 2; });
    answer(kAddressType, "a", {});
    until([&] { return asked.size() == 3; });
    asked.clear();
    stream->finish({8, "too many"});
    until([&] { return client->counters().errors == round; });
  }
  until([&] { return asked.size() == 2; });

  EXPECT_GT(net::Clock::now() - start, 500ms);  // 10 + 20 + ... + 320 ms, less a fifth
}

TEST_F(World, APolicyThatNeverWasReadableDenies) {
  start_client();
  until([&] { return asked.size() == 2; });
  const model::Policy broken{.name = "p", .name_space = "ns", .scope = model::Policy::Scope::kNamespace};
  answer(kAuthorizationType, "p1", {{"ns/p", "v1", "", encode(broken) + "\x20\x07"}});  // field 4, action, is 7
  until([&] { return asked.size() == 3; });

  EXPECT_EQ(asked[2].error, "ns/p: action 7 is unknown");
  ASSERT_TRUE(builder.current().policy("ns/p"));
  EXPECT_EQ(builder.current().policy("ns/p")->invalid, "action 7 is unknown");
}

TEST_F(World, SurvivesARestartOfTheServer) {
  start_client();
  settle();
  stream.reset();
  server.reset();
  until([&] { return !client->connected(); });
  until([&] { return client->counters().connection_errors > 0; });
  EXPECT_THAT(client->problem(), HasSubstr("connecting to https://127.0.0.1:"));
  EXPECT_TRUE(client->ready());
  EXPECT_TRUE(builder.current().workload("u1"));

  start_server();
  until([&] { return asked.size() == 6; });
  EXPECT_EQ(asked[4].initial_versions.size(), 1u);
}

TEST_F(World, WaitsForRootsAndTokensThatAreNotThereYet) {
  std::filesystem::rename(folder + "/token", folder + "/later");
  start_client();
  until([&] { return client->counters().connection_errors > 1; });
  EXPECT_THAT(client->problem(), HasSubstr("reading the token"));
  EXPECT_TRUE(tokens.empty());

  std::filesystem::rename(folder + "/later", folder + "/token");
  until([&] { return asked.size() == 2; });
}

TEST_F(World, GarbageBreaksTheStreamAndNothingElse) {
  start_client();
  settle();

  stream->send("\xff\xff\xff");
  until([&] { return asked.size() == 6; });

  EXPECT_EQ(client->counters().errors, 1u);
  EXPECT_TRUE(builder.current().workload("u1"));
}

TEST_F(World, AClientMayGoAtAnyTime) {
  for (int i = 0; i < 20; ++i) {
    start_client();
    if (i % 2) until([&, before = asked.size()] { return asked.size() > before; });
    client.reset();
  }
  loop.run([](net::Loop* on) -> net::Task<> { co_await net::sleep_for(*on, 30ms); }(&loop));
}

}  // namespace
}  // namespace culvert::xds
