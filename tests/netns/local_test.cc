// `culvert local` by itself: everything that has to work for pods outside the mesh too.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <format>

#include "tests/support/world.h"

namespace culvert::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Local : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world = new World({.nodes = 2, .mesh = false});
    client = &world->node("node1").pod("client");
    near = &world->node("node1").pod("near", {.command = World::peer_server(), .port = kPeerPort, .labels = {{"app", "server"}}});
    far = &world->node("node2").pod("far", {.command = World::peer_server(), .port = kPeerPort, .labels = {{"app", "server"}}});
    world->service("server", "server", 80, kPeerPort);
    world->service("headless", "server", kPeerPort, kPeerPort, true);
    world->service("empty", "nobody", 80, 80);
    world->up();
  }
  static void TearDownTestSuite() {
    delete world;
    world = nullptr;
  }

  static inline World* world = nullptr;
  static inline Pod *client = nullptr, *near = nullptr, *far = nullptr;
};

TEST_F(Local, PodsReachOneAnotherInBothFamilies) {
  for (const bool v6 : {false, true}) {
    for (auto* server : {near, far}) {
      const auto outcome = client->peer("echo", server->address(v6), 1 << 20);
      EXPECT_TRUE(outcome.ok) << server->address(v6) << ": " << outcome.text;
    }
  }
}

TEST_F(Local, ThePeerKnowsHalfClosesAndResets) {
  EXPECT_TRUE(client->peer("upload", far->v4(), 100'000'000).ok);
  EXPECT_TRUE(client->peer("download", far->v6(), 100'000'000).ok);
  EXPECT_TRUE(client->peer("hear", far->v4(), 1000).ok);
  EXPECT_THAT(client->peer("last", far->v4()).text, HasSubstr(R"("end":"eof","bytes":1000)"));
  EXPECT_TRUE(client->peer("rst", far->v4(), 1000).ok);
  EXPECT_TRUE(client->peer("tear", far->v4(), 1000).ok);
  EXPECT_THAT(client->peer("last", far->v4()).text, HasSubstr(R"("end":"reset","bytes":1000)"));
  EXPECT_EQ(client->peer("echo", far->v4(), 1, 1).end, "refused");
}

TEST_F(Local, ServiceAddressesLeadToPods) {
  for (const bool v6 : {false, true}) EXPECT_TRUE(client->peer("echo", world->service_address("server", v6), 1000, 80).ok);
  EXPECT_TRUE(near->peer("echo", "server.mesh", 1000, 80).ok);
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(near->peer("echo", "server", 1000, 80).ok) << "half of the time that is itself";
  EXPECT_EQ(client->peer("echo", "empty", 1, 80).end, "refused");
}

TEST_F(Local, NamesAreResolved) {
  const auto names =
      client->shell("getent ahosts headless; getent hosts server.mesh.svc.cluster.local; getent hosts nowhere || echo none").out;

  for (auto* pod : {near, far}) EXPECT_THAT(names, ::testing::AllOf(HasSubstr(pod->v4()), HasSubstr(pod->v6())));
  EXPECT_THAT(names, ::testing::AllOf(HasSubstr(world->service_address("server", true)), HasSubstr("none")));
}

TEST_F(Local, APodSeesItsOwnAndChangesNothingElsewhere) {
  const auto ran = client->shell(
      "hostname; echo $HOSTNAME; touch /etc/mine && cat /etc/mine; ls /run; ls -d /culvert/build >/dev/null 2>&1 && touch "
      "/culvert/mine");

  EXPECT_THAT(ran.out, HasSubstr("client\nclient\n"));
  EXPECT_THAT(ran.out, Not(HasSubstr("culvert.world")));
  EXPECT_FALSE(std::filesystem::exists("/etc/mine"));
  EXPECT_FALSE(std::filesystem::exists("/culvert/mine"));
  EXPECT_NE(client->shell("ip link add x type bridge").code, 0) << "a container has no CAP_NET_ADMIN";
  EXPECT_EQ(client->privileged("ip link add x type bridge && ip link del x").code, 0);
}

TEST_F(Local, AContainerThatEndsIsStartedAgainAndNotReadyMeanwhile) {
  far->shell("kill -9 $(pidof -s peer) || true");  // the first that is found: one process tree for the world
  EXPECT_TRUE(eventually([&] { return world->culvert({"status"}).out.contains("  1  "); })) << world->culvert({"status"}).out;
  EXPECT_TRUE(world->settle());
}

TEST_F(Local, ExitCodesMeanSomething) {
  EXPECT_EQ(client->shell("exit 7").code, 7);
  EXPECT_EQ(client->shell("kill -9 $$").code, 137);
  EXPECT_EQ(client->run({"no-such-program"}).code, 127);
  EXPECT_EQ(world->culvert({"exec", "nobody", "--", "true"}).code, 125);
  EXPECT_EQ(run({World::program("culvert"), "local", "status", "--name", "no-such-world"}).code, 3);
}

TEST_F(Local, EditsAreAppliedAsTheyAreSaved) {
  world->write("more.yaml",
               "apiVersion: v1\nkind: Pod\nmetadata: {name: late, namespace: mesh}\nspec: {containers: [{name: main, command: "
               "[sleep, infinity]}]}\n");
  EXPECT_TRUE(world->settle());
  EXPECT_EQ(world->culvert({"exec", "late", "--", "true"}).code, 0);

  world->write("more.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: late, namespace: mesh}\nspec: {containres: []}\n");
  EXPECT_EQ(world->culvert({"wait"}).code, 4);
  EXPECT_THAT(world->culvert({"status"}).out, HasSubstr("more.yaml:4"));
  EXPECT_EQ(world->culvert({"exec", "late", "--", "true"}).code, 0) << "what was good stays in force";

  world->remove("more.yaml");
  EXPECT_TRUE(world->settle());
  EXPECT_EQ(world->culvert({"exec", "late", "--", "true"}).code, 125);
}

std::string traces() {
  return run({"sh", "-c",
              "unshare -m sh -c 'mount -t cgroup2 x /mnt && ls /mnt | grep culvert.local'; ip -o link | wc -l; ls /run/netns "
              "2>/dev/null; bpftool prog | grep -c name"})
      .out;
}

TEST(LocalEnd, NothingIsLeftBehindAlsoAfterACrash) {
  const std::string before = traces();
  {
    World world({.nodes = 2, .mesh = false});
    world.node("node1").pod("one");
    world.up();
    EXPECT_NE(traces(), before);
  }
  EXPECT_EQ(traces(), before);
}

}  // namespace
}  // namespace culvert::testing
