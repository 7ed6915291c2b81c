// What TCP means, through the mesh: on one node and across two, over IPv4 and IPv6.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ranges>

#include "common/base/format.h"
#include "tests/support/world.h"

namespace culvert::testing {
namespace {

using ::testing::HasSubstr;

World* world = nullptr;
Pod *client = nullptr, *near = nullptr, *far = nullptr, *outsider = nullptr;

class InTheMesh : public ::testing::Environment {
 public:
  void SetUp() override {
    world = new World({.nodes = 2});
    client = &world->node("node1").pod("client");
    near = &world->node("node1").pod("near", {.command = World::peer_server(), .port = kPeerPort});
    far = &world->node("node2").pod("far", {.command = World::peer_server(), .port = kPeerPort});
    outsider =
        &world->node("node1").pod("outsider", {.name_space = "outside", .command = World::peer_server(), .port = kPeerPort});
    world->service("far", "far", 80, kPeerPort);
    world->service("headless", "far", kPeerPort, kPeerPort, true);
    world->up();
  }
  void TearDown() override {
    delete world;
    world = nullptr;
  }
};

const auto* const kEnvironment = ::testing::AddGlobalTestEnvironment(new InTheMesh);

struct Way {
  bool across = false, v6 = false;
};

class Traffic : public ::testing::TestWithParam<Way> {
 protected:
  std::string server() const { return (GetParam().across ? far : near)->address(GetParam().v6); }
};

std::string name_of(const ::testing::TestParamInfo<Way>& info) {
  return std::string(info.param.across ? "Across" : "OneNode") + (info.param.v6 ? "V6" : "V4");
}

INSTANTIATE_TEST_SUITE_P(, Traffic, ::testing::Values(Way{false, false}, Way{false, true}, Way{true, false}, Way{true, true}),
                         name_of);

TEST_P(Traffic, IsCarriedBothWaysUnderBothIdentities) {
  EXPECT_TRUE(client->peer("echo", server(), 3'000'000).ok);

  const auto& node = world->node(GetParam().across ? "node2" : "node1");
  const std::string to = culvert::format("dst.hbone_addr={}", GetParam().v6 ? "[" + server() + "]" : server());
  EXPECT_TRUE(eventually([&] {
    return std::ranges::any_of(std::views::split(node.ztunnel_logs(), '\n'), [&](const auto& part) {
      const std::string_view line(part);
      return line.contains(to) && line.contains("sa/client\"") && line.contains("direction=\"inbound\"") &&
             line.contains("bytes_recv=3000001");
    });
  })) << to;
}

TEST_P(Traffic, AHalfCloseOfEitherSideLeavesTheOtherDirectionOpen) {
  EXPECT_TRUE(client->peer("upload", server(), 1'000'000).ok) << "the answer comes after our FIN";
  EXPECT_TRUE(client->peer("hear", server(), 1'000'000).ok) << "we go on after the server's FIN";
  EXPECT_TRUE(eventually([&] { return client->peer("last", server()).text.contains(R"("end":"eof","bytes":1000000)"); }));
}

TEST_P(Traffic, AResetStaysAReset) {
  const auto by_server = client->peer("rst", server(), 10'000);
  EXPECT_TRUE(by_server.ok) << by_server.text;

  EXPECT_TRUE(client->peer("tear", server(), 10'000).ok);
  EXPECT_TRUE(eventually([&] { return client->peer("last", server()).text.contains(R"("end":"reset","bytes":10000)"); }))
      << client->peer("last", server()).text;
}

TEST_P(Traffic, ARefusedPortIsAResetAfterTheConnect) {
  const auto outcome = client->peer("open", server(), 0, 9);

  EXPECT_EQ(outcome.end, "reset") << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("open\n"));
}

// "slow": the server reads slowly; "sip": the client does. Before the tests that move a lot, whose memory it could hide in.
TEST_P(Traffic, ASlowReaderCostsNoMemory) {
  const auto resident = [] {
    const long one = world->node("node1").resident_kib("ztunnel"), two = world->node("node2").resident_kib("ztunnel");
    EXPECT_TRUE(one > 0 && two > 0) << one << " " << two;
    return one + two;
  };
  for (const std::string who : {"slow", "sip"}) {
    const long before = resident();

    auto slow = client->start({World::program("peer"), who, server(), std::to_string(kPeerPort), "200000000"});
    EXPECT_FALSE(slow.says("ok", 3s)) << who << ": it reads at most 6.4 MB a second: " << slow.out();
    EXPECT_TRUE(slow.running()) << who;

    EXPECT_LT(resident() - before, 40'000) << who << ": KiB";
  }
}

TEST_P(Traffic, AGibibyteEachWayArrivesWhole) {
  constexpr long kGibibyte = 1 << 30;

  const auto up = client->peer("upload", server(), kGibibyte, kPeerPort, 120s);
  EXPECT_TRUE(up.ok) << up.text;
  const auto down = client->peer("download", server(), kGibibyte, kPeerPort, 120s);
  EXPECT_TRUE(down.ok) << down.text;
}

TEST_P(Traffic, StalledReadersHoldUpNobodyElse) {
  std::vector<Process> stalled;
  for (int i = 0; i < 4; ++i) {
    stalled.push_back(client->start({World::program("peer"), "stall", server(), std::to_string(kPeerPort)}));
    ASSERT_TRUE(stalled.back().says("ready"));
  }
  // Until their windows are full: a lot waits in the client's sockets, and nothing more arrives.
  long seen = 0;
  EXPECT_TRUE(eventually([&] {
    const auto now = std::atol(client->shell("ss -tn state established | awk '{ sum += $1 } END { print sum }'").out.c_str());
    return std::exchange(seen, now) == now && now > 200'000;
  })) << seen;

  // Enough of them that some share their worker and its tunnel with the stalled ones.
  std::vector<Process> live;
  for (int i = 0; i < 8; ++i)
    live.push_back(client->start({World::program("peer"), "echo", server(), std::to_string(kPeerPort), "5000000"}));
  for (auto& one : live) EXPECT_EQ(one.wait(30s).code, 0) << one.out();
  for (auto& one : stalled) EXPECT_TRUE(one.running());
}

class Names : public ::testing::TestWithParam<bool> {};
std::string family_of(const ::testing::TestParamInfo<bool>& info) { return info.param ? "V6" : "V4"; }
INSTANTIATE_TEST_SUITE_P(, Names, ::testing::Bool(), family_of);

TEST_P(Names, ServiceAddressPodAddressDnsNameAndHeadlessNameLeadThere) {
  EXPECT_TRUE(client->peer("echo", world->service_address("far", GetParam()), 1000, 80).ok);
  EXPECT_TRUE(client->peer("echo", far->address(GetParam()), 1000).ok);
  const std::string in_family = GetParam() ? "/6" : "/4";
  for (const char* name : {"far", "far.mesh", "far.mesh.svc.cluster.local"})
    EXPECT_TRUE(client->peer("echo", name + in_family, 1000, 80).ok) << name;
  EXPECT_TRUE(client->peer("echo", "headless" + in_family, 1000).ok);
  const auto address = client->shell(culvert::format("getent ahostsv{} headless | head -n 1", GetParam() ? 6 : 4)).out;
  EXPECT_THAT(address, HasSubstr(far->address(GetParam())));
}

TEST_P(Names, LocalhostAndOwnAddressesAreUntouched) {
  const auto& node = world->node("node2");
  const auto before = node.ztunnel_logs().size();

  EXPECT_TRUE(far->peer("echo", GetParam() ? "::1" : "127.0.0.1", 1000).ok);
  EXPECT_TRUE(far->peer("echo", far->address(GetParam()), 1000).ok);
  EXPECT_EQ(far->peer("echo", far->address(GetParam()), 1, 9).end, "refused") << "by the kernel, at once";

  // The log is written a little later: a connection that is logged comes last, and no other line with it.
  EXPECT_TRUE(client->peer("echo", far->address(GetParam()), 4242).ok);
  std::string written;
  EXPECT_TRUE(eventually([&] { return (written = node.ztunnel_logs().substr(before)).contains("bytes_recv=4243"); }));
  EXPECT_EQ(written.find("\taccess\t"), written.rfind("\taccess\t")) << written;
}

TEST_P(Names, TheOutsideIsReachedInPlaintextAndReachesUs) {
  EXPECT_TRUE(client->peer("echo", outsider->address(GetParam()), 100'000).ok);
  EXPECT_TRUE(outsider->peer("echo", far->address(GetParam()), 100'000).ok) << "PERMISSIVE";
}

// On top of what they inherit: here nobody has put one on them but they themselves.
TEST(Programs, HaveASeccompFilterOfTheirOwn) {
  auto& node = world->node("node1");
  for (const char* program : {"ztunnel", "culvert-node"}) {
    const auto count = [&](const std::string& process) {
      return std::atoi(node.shell("sed -n 's/^Seccomp_filters:\t//p' /proc/" + process + "/status").out.c_str());
    };
    EXPECT_EQ(count(std::to_string(node.pid_of(program))), count("self") + 1) << program;
  }
}

}  // namespace
}  // namespace culvert::testing
