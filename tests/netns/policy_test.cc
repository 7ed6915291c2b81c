// Who may speak with whom: policies as their author writes them, in force on real connections. Everything here is closed unless it is said to be open.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <ranges>

#include "common/base/format.h"
#include "tests/support/world.h"

namespace culvert::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

constexpr const char* kStrict =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: mesh}\nspec: {mtls: {mode: "
    "STRICT}}\n";

std::string allow(const std::string& account) {
  return culvert::format(
      "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: server, namespace: mesh}}\nspec:\n"
      "  selector: {{matchLabels: {{app: server}}}}\n  action: ALLOW\n  rules:\n  - from: [{{source: {{principals: "
      "[cluster.local/ns/mesh/sa/{}]}}}}]\n",
      account);
}

class Policy : public ::testing::TestWithParam<bool> {
 protected:
  static void SetUpTestSuite() {
    world = new World({.nodes = 2});
    populate(*world);
    world->up();
    client = world->node("node1").find("client");
    other = world->node("node1").find("other");
    server = world->node("node2").find("server");
    neighbour = world->node("node2").find("neighbour");
    probed = world->node("node2").find("probed");
    in_host = world->node("node2").find("in-host");
  }
  static void populate(World& where) {
    auto &one = where.node("node1"), &two = where.node("node2");
    one.pod("client");
    one.pod("other");
    one.pod("stranger", {.name_space = "outside", .command = World::peer_server(), .port = kPeerPort});
    two.pod("server", {.command = World::peer_server(), .port = kPeerPort});
    two.pod("neighbour", {.name_space = "outside", .command = World::peer_server(), .port = kPeerPort});
    two.pod("probed", {.command = {"python3", "-m", "http.server", "8080", "--bind", "::"}, .port = 8080, .path = "/?probe"});
    two.pod("in-host", {.name_space = "outside", .host_network = true});
  }
  static void TearDownTestSuite() {
    delete world;
    world = nullptr;
  }
  void TearDown() override {
    for (const char* file : {"strict.yaml", "policy.yaml"}) world->write(file, "# nothing\n");
    EXPECT_TRUE(eventually([&] { return reaches(*client) && reaches(*neighbour); }));
  }

  static std::string address() { return server->address(GetParam()); }
  static bool reaches(Pod& from) { return from.peer("echo", address(), 1000).ok; }
  static void apply(const std::string& file, const std::string& yaml, Pod& refused) {
    world->write(file, yaml);
    ASSERT_TRUE(eventually([&] { return !reaches(refused); })) << yaml;
  }

  static inline World* world = nullptr;
  static inline Pod *client = nullptr, *other = nullptr, *server = nullptr, *neighbour = nullptr, *probed = nullptr,
                    *in_host = nullptr;
};

std::string family_of(const ::testing::TestParamInfo<bool>& info) { return info.param ? "V6" : "V4"; }
INSTANTIATE_TEST_SUITE_P(, Policy, ::testing::Bool(), family_of);

TEST_P(Policy, LetsInWhomItNamesAndTellsTheOthersReason) {
  const auto before = world->node("node2").ztunnel_logs().size();
  apply("policy.yaml", allow("client"), *other);

  EXPECT_TRUE(reaches(*client));
  EXPECT_EQ(other->peer("open", address()).end, "reset");
  EXPECT_TRUE(eventually(
      [&] { return world->node("node2").ztunnel_logs().substr(before).contains("denied because no ALLOW policy matches"); }));
}

// From before the file is written. The best of three times, since nobody has the machine for himself: what is too slow is so each time.
TEST_P(Policy, AChangeCutsALiveConnectionWithinATenthOfASecond) {
  struct Case {
    const char* what;
    Pod* from;
    std::string file, yaml;
  };
  for (const auto& [what, from, file, yaml] : {Case{"through a tunnel, by ALLOW", other, "policy.yaml", allow("client")},
                                               Case{"in plaintext, by ALLOW", neighbour, "policy.yaml", allow("client")},
                                               Case{"in plaintext, by STRICT", neighbour, "strict.yaml", kStrict}}) {
    Seconds best = 1h;
    for (int times = 0; times < 3; ++times) {
      auto live = from->start({World::program("peer"), "open", address(), std::to_string(kPeerPort)});
      ASSERT_TRUE(live.says("open"));
      ASSERT_FALSE(live.says("end", 200ms)) << live.out();

      const auto began = Clock::now();
      world->write(file, yaml);
      ASSERT_TRUE(live.says("\"end\":\"reset\"", 5s)) << what << live.out();
      best = std::min<Seconds>(best, Clock::now() - began);

      EXPECT_TRUE(reaches(*client)) << what;
      world->write(file, "# nothing\n");
      ASSERT_TRUE(eventually([&] { return reaches(*from); })) << what;
    }
    std::cout << "  " << what << ": cut after " << best << "\n";
    EXPECT_LT(best, 100ms) << what;
  }
}

TEST_P(Policy, StrictRefusesPlaintextFromOutsideFromTheNodeAndByEveryAddress) {
  ASSERT_TRUE(reaches(*in_host)) << "PERMISSIVE until now";
  const std::string link_local =
      server->shell("ip -6 -o addr show dev eth0 scope link | awk '{ sub(\"/.*\", \"\", $4); print $4 }'").out;
  const std::string scoped = link_local.substr(0, link_local.find('\n')) + "%eth0";
  const std::string second = GetParam() ? "fd00:10:244:2::99" : "10.244.2.99";
  ASSERT_EQ(
      server
          ->privileged(culvert::format("ip addr add {}/{} dev eth0 {}", second, GetParam() ? 128 : 32, GetParam() ? "nodad" : ""))
          .code,
      0);
  ASSERT_TRUE(eventually([&] { return neighbour->peer("echo", second, 1000).ok; }));
  ASSERT_TRUE(neighbour->peer("echo", scoped, 1000).ok);

  apply("strict.yaml", kStrict, *neighbour);

  EXPECT_FALSE(reaches(*in_host)) << "a hostNetwork pod is a client like any other";
  EXPECT_FALSE(neighbour->peer("echo", scoped, 1000).ok);
  EXPECT_FALSE(neighbour->peer("echo", second, 1000).ok);
  EXPECT_TRUE(reaches(*client));
  ASSERT_EQ(server->privileged(culvert::format("ip addr del {}/{} dev eth0", second, GetParam() ? 128 : 32)).code, 0);
}

// The application has to answer: a dial alone succeeds at ztunnel's listener. What the application was asked, it says in its log.
TEST_P(Policy, UnderStrictTheKubeletsProbesReachTheApplicationAndNobodyElseOfTheNode) {
  const std::string host = GetParam() ? "[" + probed->v6() + "]" : probed->v4();
  const auto probes = [] {
    const auto log = probed->logs();
    return std::ranges::distance(std::views::split(log, std::string_view("GET /?probe ")));
  };
  const auto asked = [&] {
    return world->node("node2").shell("curl --silent --max-time 5 --output /dev/null 'http://" + host + ":8080/?node'").code == 0;
  };
  ASSERT_TRUE(asked()) << "PERMISSIVE until now";

  apply("strict.yaml", kStrict, *neighbour);
  ASSERT_TRUE(eventually([&] { return !asked(); }));
  const auto before = probes();

  EXPECT_TRUE(eventually([&] { return probes() > before + 3; }, 30s)) << probed->logs();
  EXPECT_TRUE(probed->state().ready);
  EXPECT_FALSE(asked());
}

// Whoever may is carried as ever, and not past ztunnel in the clear; whoever may not is refused as ever.
TEST_P(Policy, AnApplicationThatSetsOurMarksGainsNothing) {
  apply("policy.yaml", allow("client"), *other);
  Wire wire(world->node("node1"), culvert::format("tcp and port {}", kPeerPort));

  const auto greet = [](Pod& from, const char* mark, const std::string& to) {
    const std::string program = culvert::format(
        "python3 - <<'END'\nimport socket\ns = socket.socket(socket.{}, socket.SOCK_STREAM)\ns.setsockopt(socket.SOL_SOCKET, 36, "
        "{})\ns.settimeout(3)\n"
        "try:\n  s.connect(('{}', {}))\n  s.sendall(b'Ehello')\n  s.shutdown(socket.SHUT_WR)\n  print('got', s.recv(100))\n"
        "except OSError as error: print('refused', error)\nEND\n",
        GetParam() ? "AF_INET6" : "AF_INET", mark, to, kPeerPort);
    return from.privileged(program).out;
  };

  for (const char* mark : {"0", "0x715", "0x716", "0x717", "0x539"}) {
    EXPECT_THAT(greet(*client, mark, address()), HasSubstr("hello")) << mark << ": it works for whom it may";
    EXPECT_THAT(greet(*other, mark, address()), Not(HasSubstr("hello"))) << mark;
  }
  auto& stranger = *world->node("node1").find("stranger");
  EXPECT_THAT(greet(stranger, "0", neighbour->address(GetParam())), HasSubstr("hello"));
  const auto& packets = wire.packets();
  const auto seen = [&](const Pod& from) { return packets.contains(culvert::format(" {}.", from.address(GetParam()))); };
  EXPECT_TRUE(seen(stranger)) << "what is not in the mesh is seen in the clear: " << packets;
  EXPECT_FALSE(seen(*client)) << packets;
  EXPECT_FALSE(seen(*other)) << packets;
}

TEST_P(Policy, AMistakeKeepsTheLastGoodVersionInForce) {
  apply("policy.yaml", allow("client"), *other);

  const auto before = world->logs("culvertd").size();
  auto broken = allow("other");
  broken.replace(broken.find("principals"), 10, "principles");
  world->write("policy.yaml", broken);

  EXPECT_TRUE(eventually([&] { return world->logs("culvertd").substr(before).contains("principles"); }))
      << "said with the field's name";
  EXPECT_TRUE(reaches(*client));
  EXPECT_FALSE(reaches(*other));
}

TEST_P(Policy, OneThatCannotBeReadAndHasNoGoodVersionClosesUntilItIsCorrectedOrRemoved) {
  auto broken = allow("client");
  broken.replace(broken.find("principals"), 10, "principles");
  const auto closed = [] { return !reaches(*client) && !reaches(*other); };

  apply("policy.yaml", broken, *client);
  EXPECT_TRUE(eventually(closed));
  EXPECT_THAT(world->node("node2").ztunnel_logs(),
              HasSubstr("policy_invalid cannot be read: cannot be read: AuthorizationPolicy "));
  world->write("policy.yaml", allow("client"));
  EXPECT_TRUE(eventually([] { return reaches(*client) && !reaches(*other); })) << "once it is corrected";

  world->write("policy.yaml", "# nothing\n");
  EXPECT_TRUE(eventually([] { return reaches(*other); }));
  apply("policy.yaml", broken, *other);
  world->write("policy.yaml", "# nothing\n");
  EXPECT_TRUE(eventually([] { return reaches(*client) && reaches(*other); })) << "once it is gone";
}

// Everything that a pod outside sees of the network while it speaks with another: the same system calls with the same results as in a world
// that has no mesh at all.
TEST_P(Policy, APodOutsideNeverNoticesUs) {
  const auto seen = [](World& where) {
    auto& outside = *where.node("node2").find("neighbour");
    const auto trace =
        outside.privileged(culvert::format("strace -f -qq -e trace=network {} last {} {} 2>&1", World::program("peer"),
                                           where.node("node1").find("stranger")->address(GetParam()), kPeerPort));
    return trace.out + outside.privileged("ip rule; ip -6 rule; ip route; ip -6 route; sysctl -a -r 'fwmark|l3mdev'").out;
  };
  World bare({.nodes = 2, .mesh = false});
  populate(bare);
  bare.up();

  const auto with = seen(*world), without = seen(bare);

  EXPECT_EQ(with, without);
  EXPECT_THAT(with, HasSubstr("connect("));
}

}  // namespace
}  // namespace culvert::testing
