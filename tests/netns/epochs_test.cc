// When is a change in force? `culvert wait` says it, and the connection after it agrees; `culvert explain` says what then holds.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "common/base/format.h"
#include "tests/support/world.h"

namespace culvert::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kDeny =
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: server, namespace: mesh}\nspec:\n"
    "  selector: {matchLabels: {app: server}}\n  action: DENY\n  rules:\n  - from: [{source: {principals: "
    "[cluster.local/ns/mesh/sa/client]}}]\n    to: [{operation: {ports: [\"7000\"]}}]\n";
constexpr const char* kNothing = "# nothing\n";
constexpr int kApplied = 0, kUnknown = 3, kTimedOut = 4, kInvalid = 6;

class Epochs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world = new World({.nodes = 2});
    client = &world->node("node1").pod("client");
    server = &world->node("node2").pod("server", {.command = World::peer_server(), .port = kPeerPort});
    world->service("server", "server", 80, kPeerPort);
    world->up();
  }
  static void TearDownTestSuite() {
    delete world;
    world = nullptr;
  }
  void TearDown() override {
    world->write("policy.yaml", kNothing);
    EXPECT_EQ(wait().code, kApplied);
  }

  static Ran wait(const std::string& timeout = "20s", const std::string& object = "authorizationpolicy/server") {
    return world->ask({"wait", "--for-applied", object, "-n", "mesh", "--timeout", timeout});
  }
  static Ran explain(std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"explain", "--from", "client", "--to", "server:80", "-n", "mesh"};
    words.insert(words.end(), more.begin(), more.end());
    return world->ask(words);
  }
  static bool reaches() { return client->peer("echo", server->v4(), 1000).ok; }

  static inline World* world = nullptr;
  static inline Pod *client = nullptr, *server = nullptr;
};

TEST_F(Epochs, TheVeryNextConnectionIsRefusedAndExplainSaysWhy) {
  ASSERT_TRUE(reaches());
  const Ran before = explain();
  EXPECT_EQ(before.code, 0) << before.out;
  EXPECT_THAT(before.out, AllOf(HasSubstr("allowed\n"), HasSubstr("tunnel (HBONE, mutual TLS) to " + server->v4() + ":15008"),
                                HasSubstr("spiffe://cluster.local/ns/mesh/sa/client"), HasSubstr("no policy applies")));
  for (int times = 0; times < 5; ++times) {
    world->write("policy.yaml", kDeny);
    const Ran applied = wait();
    EXPECT_FALSE(reaches()) << applied.out;
    ASSERT_EQ(applied.code, kApplied) << applied.out;
    EXPECT_THAT(applied.out, HasSubstr("in force on 2 of 2 connected data planes"));
    const Ran explained = explain();
    EXPECT_EQ(explained.code, 2) << explained.out;
    EXPECT_THAT(explained.out, HasSubstr("denied by policy mesh/server, rule 1: (ports [7000]) and "
                                         "(principals [cluster.local/ns/mesh/sa/client])"));
    EXPECT_THAT(world->node("node2").ztunnel_logs(), HasSubstr("denied by policy mesh/server, rule 1:"));

    world->write("policy.yaml", kNothing);
    const Ran removed = wait();
    EXPECT_TRUE(reaches()) << removed.out;
    ASSERT_EQ(removed.code, kApplied) << removed.out;
    EXPECT_EQ(explain().code, 0);
  }
}

TEST_F(Epochs, AZtunnelThatDoesNotSwitchIsNamed) {
  const auto signal = [](const char* name) {
    auto& node = world->node("node2");
    return node.shell(culvert::format("kill -{} {}", name, node.pid_of("ztunnel"))).code == 0;
  };
  ASSERT_TRUE(signal("STOP"));
  world->write("policy.yaml", kDeny);

  const Ran late = wait("1s");

  ASSERT_TRUE(signal("CONT"));
  EXPECT_EQ(late.code, kTimedOut) << late.out;
  EXPECT_THAT(late.out, AllOf(HasSubstr("in force on 1 of 2"), HasSubstr("node2 (ztunnel~"), HasSubstr("has not answered"),
                              Not(HasSubstr("node1"))));
  const Ran then = wait();
  EXPECT_EQ(then.code, kApplied) << then.out;
  EXPECT_FALSE(reaches());
}

TEST_F(Epochs, WhatIsNotThereOrCannotBeReadIsSaidAtOnce) {
  const Ran unknown = wait("20s", "authorizationpolicy/nobody");
  EXPECT_EQ(unknown.code, kUnknown) << unknown.out;
  EXPECT_THAT(unknown.out, HasSubstr("there is no such object"));

  std::string broken = kDeny;
  broken.replace(broken.find("principals"), 10, "principles");
  world->write("policy.yaml", broken);
  const Ran invalid = wait();
  EXPECT_EQ(invalid.code, kInvalid) << invalid.out;
  EXPECT_THAT(invalid.out, AllOf(HasSubstr("policy.yaml:"), HasSubstr("principles")));
}

TEST_F(Epochs, ACulvertdThatBeganAnewWaitsForBothNodes) {
  world->stop("culvertd", SIGKILL);
  world->write("policy.yaml", kDeny);
  world->start_program("culvertd");
  ASSERT_TRUE(eventually([] { return world->ask({"wait", "--all", "--timeout", "1s"}).code != 1; })) << "it can be asked again";

  const Ran all = world->ask({"wait", "--all", "--timeout", "30s", "--output", "json"});

  EXPECT_EQ(all.code, kApplied) << all.out;
  EXPECT_THAT(all.out, HasSubstr("\"have\":2,\"connected\":2"));
  EXPECT_FALSE(reaches());
}

TEST_F(Epochs, ExplainSaysTheSameByTheZtunnelsOwnDump) {
  world->write("policy.yaml", kDeny);
  ASSERT_EQ(wait().code, kApplied);
  const Ran dump = world->node("node2").shell(
      "python3 -c 'import urllib.request; "
      "print(urllib.request.urlopen(\"http://localhost:15000/config_dump\").read().decode())'");
  char file[] = "/tmp/culvert-dump-XXXXXX";
  close(mkstemp(file));
  std::ofstream(file) << dump.out;

  Process process({World::program("culvert"), "explain", "--from", "mesh/client", "--to", server->v4() + ":7000", "--dump", file,
                   "--output", "json"});
  process.finish();
  const Ran explained = process.wait(30s);

  unlink(file);
  EXPECT_EQ(explained.code, 2) << explained.out;
  EXPECT_THAT(explained.out, AllOf(HasSubstr(R"("reason":"policy_denied")"), HasSubstr(R"("name":"mesh/server")"),
                                   HasSubstr(R"("rule":1)"), HasSubstr(R"("path":"tunnel")")));
}

TEST_F(Epochs, WhatIsInForceIsShownInIstioctlsTables) {
  world->write("policy.yaml", kDeny);
  ASSERT_EQ(wait().code, kApplied);

  const Ran policies = world->ask({"ztunnel-config", "policy", "--node", "node2"});
  EXPECT_THAT(policies.out,
              AllOf(HasSubstr("NAMESPACE POLICY NAME ACTION SCOPE\n"), HasSubstr("server      Deny   WorkloadSelector\n")));
  EXPECT_THAT(world->ask({"zc", "workload", "--address", server->v4()}).out, HasSubstr("node2 None     HBONE\n"));
  EXPECT_THAT(world->ask({"zc", "certificate", "--node", "node1"}).out,
              AllOf(HasSubstr("spiffe://cluster.local/ns/mesh/sa/client "), HasSubstr("Leaf     Available     true ")));
  const Ran proxies = world->ask({"proxy-status", "-o", "json"});
  EXPECT_THAT(proxies.out, AllOf(HasSubstr("\"node\": \"node1\""), HasSubstr("\"node\": \"node2\""),
                                 HasSubstr("\"current\": true"), Not(HasSubstr("refused"))));
  EXPECT_THAT(world->ask({"version", "--remote"}).out, HasSubstr(" (2 proxies)\n"));
}

TEST_F(Epochs, LogLevelsAreShownAndSet) {
  const std::vector<std::string> log = {"ztunnel-config", "log", "--node", "node2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), log.begin(), log.end());
    return world->ask(more).out;
  };
  const std::string before = with({});

  EXPECT_THAT(with({"--level", "state:debug,info"}), HasSubstr("state=debug"));
  EXPECT_THAT(with({}), HasSubstr("state=debug"));
  EXPECT_EQ(world->ask({"ztunnel-config", "log", "--level", "loud"}).code, 1);
  EXPECT_THAT(with({"--reset"}), Not(HasSubstr("state=debug")));
  EXPECT_THAT(before, HasSubstr("ztunnel of node2:\n"));
}

}  // namespace
}  // namespace culvert::testing
