// `culvert local` by itself: everything that has to work for pods outside the mesh too.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <ranges>
#include <thread>

#include "common/base/format.h"
#include "tests/support/world.h"

namespace culvert::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A shell that leaves a child behind and ends with its server; as long as there is a file stay-down it ends at once.
const std::string kBrittle = "sleep 4242 & if [ -e /tmp/stay-down ]; then exit 1; fi; echo serving; " + World::peer_server()[0] +
                             " serve 7000 & echo $! >/tmp/server; wait $!";

class Local : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world = new World({.nodes = 2, .mesh = false});
    client = &world->node("node1").pod("client");
    near = &world->node("node1").pod("near", {.command = World::peer_server(), .port = kPeerPort, .labels = {{"app", "server"}}});
    far = &world->node("node2").pod("far", {.command = World::peer_server(), .port = kPeerPort, .labels = {{"app", "server"}}});
    brittle = &world->node("node1").pod("brittle", {.command = {"sh", "-c", kBrittle}, .port = kPeerPort});
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
  static inline Pod *client = nullptr, *near = nullptr, *far = nullptr, *brittle = nullptr;
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
  constexpr const char* kChildren = "pgrep -fc '^sleep 4242$'";
  ASSERT_TRUE(brittle->state().ready);
  ASSERT_EQ(brittle->state().restarts, 0);
  ASSERT_EQ(brittle->shell(kChildren).out, "1\n");

  ASSERT_EQ(brittle->shell("touch /tmp/stay-down && kill -9 $(cat /tmp/server)").code, 0);
  EXPECT_TRUE(eventually([] { return !brittle->state().ready; }));
  EXPECT_EQ(world->culvert({"wait", "--timeout", "0"}).code, 4);
  EXPECT_EQ(brittle->shell("rm /tmp/stay-down").code, 0);

  EXPECT_TRUE(world->settle());
  EXPECT_GE(brittle->state().restarts, 1);
  EXPECT_EQ(near->state().restarts, 0);
  EXPECT_EQ(brittle->shell(kChildren).out, "1\n") << "what an earlier run left behind has ended";
}

TEST_F(Local, AProbeThatEndsIsBegunAgain) {
  // Where the node's kubelet would be there are the probes of its pods and nothing else.
  const auto probes = [] { return world->node("node1").shell("cat /sys/fs/cgroup/kubelet/cgroup.procs").out; };
  const std::string before = probes();
  ASSERT_NE(before, "");
  ASSERT_TRUE(near->state().ready);

  ASSERT_EQ(world->node("node1").shell("echo 1 >/sys/fs/cgroup/kubelet/cgroup.kill").code, 0);

  const auto others = [&] {
    const std::string now = probes();
    return std::ranges::count(now, '\n') == std::ranges::count(before, '\n') &&
           std::ranges::none_of(std::views::split(before, '\n'), [&](const auto& pid) {
             return !pid.empty() && ("\n" + now).contains("\n" + std::string(std::string_view(pid)) + "\n");
           });
  };
  EXPECT_TRUE(eventually(others)) << before << "and now\n" << probes();
  EXPECT_TRUE(world->settle());
  EXPECT_TRUE(near->state().ready);
}

TEST_F(Local, AVolumeHoldsWhatItsConfigMapHoldsNow) {
  const auto write = [](const std::string& data) {
    world->write("volume.yaml", culvert::format(R"(apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: mesh}}
data: {{{}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: reader, namespace: mesh}}
spec:
  containers: [{{name: main, command: [sleep, infinity], volumeMounts: [{{name: all, mountPath: /all}}, {{name: some, mountPath: /some}}]}}]
  volumes:
  - {{name: all, configMap: {{name: settings}}}}
  - {{name: some, configMap: {{name: settings, items: [{{key: a, path: below/of-a}}, {{key: b, path: below/of-b}}, {{key: d, path: below/of-b/d}}]}}}}
)",
                                                data));
  };
  const auto in_it = [] {
    return world->culvert({"exec", "reader", "--", "sh", "-c", "touch /tmp/mine; cd / && grep -r . all some | sort"}).out;
  };
  write("a: one, b: two");
  ASSERT_TRUE(world->settle());
  ASSERT_EQ(in_it(), "all/a:one\nall/b:two\nsome/below/of-a:one\nsome/below/of-b:two\n");

  write("b: three, c: four");
  EXPECT_TRUE(world->settle());
  EXPECT_EQ(in_it(), "all/b:three\nall/c:four\nsome/below/of-b:three\n");

  // What cannot be written is said, and is no reason to end the pod.
  write("b: three, d: five");
  EXPECT_FALSE(world->settle(5s));
  EXPECT_THAT(world->culvert({"status"}).out, ::testing::AllOf(HasSubstr("mesh/reader"), HasSubstr("Not a directory")));
  EXPECT_EQ(in_it(), "all/b:three\nall/d:five\nsome/below/of-b:three\n");

  write("b: six");
  EXPECT_TRUE(world->settle());
  EXPECT_EQ(in_it(), "all/b:six\nsome/below/of-b:six\n");
  EXPECT_EQ(world->culvert({"exec", "reader", "--", "test", "-e", "/tmp/mine"}).code, 0) << "it is the same pod all along";
  world->remove("volume.yaml");
  EXPECT_TRUE(world->settle());
}

TEST_F(Local, ExecHandsSignalsOn) {
  auto command = client->start({"sh", "-c", "trap 'echo told; exit 3' TERM; echo ready; while :; do sleep 0.02; done"});
  ASSERT_TRUE(command.says("ready"));

  command.signal(SIGTERM);

  const auto ended = command.wait(5s);
  EXPECT_EQ(ended.code, 3);
  EXPECT_THAT(ended.out, HasSubstr("told"));
}

// With a pod that goes, the gateway of the others must not change under them.
TEST_F(Local, TheBridgesOfAWorldHaveAddressesOfTheirOwn) {
  EXPECT_THAT(world->culvert({"exec", "node1", "--", "ip", "-brief", "link", "show", "pods"}).out,
              HasSubstr("02:00:00:00:00:01"));
  EXPECT_THAT(world->culvert({"exec", "control", "--", "ip", "-brief", "link", "show", "nodes"}).out,
              HasSubstr("02:00:00:00:00:02"));
}

TEST_F(Local, LogsOfAPodAreWhatItWrote) {
  EXPECT_THAT(brittle->logs(), HasSubstr("serving"));
  EXPECT_EQ(world->culvert({"logs", "nobody"}).code, 1);
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

// vim with a backup: the file is away for as long as writing it anew takes. Whoever takes longer than a vanished file is waited for has deleted it:
// such a try says nothing.
TEST_F(Local, AnEditorThatSavesByRenamingReplacesNoPod) {
  const auto pod = [](const std::string& comment) {
    return "# " + comment +
           "\napiVersion: v1\nkind: Pod\nmetadata: {name: edited, namespace: mesh}\nspec: {containers: [{name: main, command: "
           "[sleep, "
           "infinity]}]}\n";
  };
  const auto in_it = [](const std::string& script) {
    return world->culvert({"exec", "edited", "--", "sh", "-c", script}).code == 0;
  };
  world->write("edited.yaml", pod("at first"));
  ASSERT_TRUE(world->settle());
  const std::string folder = world->folder();
  bool saved = false;
  for (int tries = 0; tries < 20 && !saved; ++tries) {
    ASSERT_TRUE(in_it("touch /tmp/mine"));

    const auto began = std::chrono::steady_clock::now();
    std::filesystem::rename(folder + "/edited.yaml", folder + "/edited.yaml~");
    std::this_thread::sleep_for(5ms);
    std::ofstream(folder + "/edited.yaml") << pod(culvert::format("saved {} times", tries));
    saved = std::chrono::steady_clock::now() - began < 40ms;

    EXPECT_TRUE(world->settle());
    EXPECT_TRUE(!saved || in_it("test -e /tmp/mine")) << "it is another pod";
  }
  EXPECT_TRUE(saved);
  world->remove("edited.yaml");
  EXPECT_TRUE(world->settle());
  EXPECT_EQ(world->culvert({"exec", "edited", "--", "true"}).code, 125);
}

TEST(LocalUp, KeepsNothingOfItsCaller) {
  const std::string culvert = World::program("culvert") + " local", name = culvert::format("test-{}-piped", getpid());
  char folder[] = "/tmp/culvert-world-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  run({"sh", "-c",
       culvert::format("printf 'apiVersion: v1\\nkind: Pod\\nmetadata: {{name: one}}\\nspec: {{containers: [{{name: main, image: "
                       "an-image, command: [sleep, "
                       "infinity], readinessProbe: {{exec: {{command: [\"true\"]}}}}}}]}}\\n' >{}/pod.yaml",
                       folder)});

  const auto up = run({"sh", "-c",
                       culvert::format("exec 9>{1}/lock && flock 9 && {0} up {1} --name {2} --no-mesh --nodes 1 2>&1 | cat",
                                       culvert, folder, name)},
                      20s);

  EXPECT_EQ(up.code, 0) << "the pipe ends with `up`, though the world lives on: " << up.out;
  EXPECT_THAT(up.out, HasSubstr("culvert: images are ignored: commands run from this machine's own files\n"));
  EXPECT_THAT(run({"sh", "-c", culvert::format("{} exec --name {} one -- echo alive", culvert, name)}).out, HasSubstr("alive"));
  EXPECT_EQ(run({"flock", "--nonblock", culvert::format("{}/lock", folder), "true"}).code, 0) << "nor is a lock held for him";
  EXPECT_EQ(run({"sh", "-c", culvert::format("{} down --name {}", culvert, name)}).code, 0);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace culvert::testing
