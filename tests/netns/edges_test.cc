// The edges of the data path: our own ports, silent and greedy peers, pods that leave in the middle of things.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ranges>

#include "common/base/format.h"
#include "tests/support/world.h"

namespace culvert::testing {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// Asks for a name that ztunnel knows and says "answer" or "silence".
constexpr const char* kAsk = R"(
import socket, struct, sys
how, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
query = b'\x12\x34\x01\0\0\1\0\0\0\0\0\0\6server\4mesh\3svc\7cluster\5local\0\0\1\0\1'
try:
    with socket.socket(family, socket.SOCK_STREAM if how == 'tcp' else socket.SOCK_DGRAM) as s:
        s.settimeout(1.5)
        s.connect((host, port))
        s.sendall(struct.pack('!H', len(query)) + query if how == 'tcp' else query)
        print('answer' if s.recv(1000) else 'silence')
except OSError:
    print('silence')
)";

// Opens COUNT connections at once, sends nothing, and holds them until its input ends.
constexpr const char* kHold = R"(
import resource, selectors, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held = []
for _ in range(count):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_STREAM)
    s.setblocking(False)
    s.connect_ex((host, port))
    held.append(s)
print('holding', flush=True)
sys.stdin.read()
)";

class Edges : public ::testing::TestWithParam<bool> {
 protected:
  static void SetUpTestSuite() {
    world = new World({.nodes = 2});
    client = &world->node("node1").pod("client");
    server = &world->node("node2").pod("server", {.command = World::peer_server(), .port = kPeerPort});
    other = &world->node("node2").pod("other", {.command = World::peer_server(), .port = kPeerPort});
    visitor = &world->node("node1").pod("visitor", {.name_space = "outside", .command = World::peer_server(), .port = kPeerPort});
    world->service("server", "server", 80, kPeerPort);
    world->up();
  }
  static void TearDownTestSuite() {
    delete world;
    world = nullptr;
  }

  static std::string address(Pod& of) { return of.address(GetParam()); }
  static bool works(Pod& to) { return client->peer("echo", address(to), 1000).ok; }
  static long descriptors(Node& node) {
    return std::atol(node.shell(culvert::format("ls /proc/{}/fd | wc -l", node.pid_of("ztunnel"))).out.c_str());
  }
  static std::string ask(Pod& from, const std::string& how, const std::string& host, int port) {
    return from.run({"python3", "-c", kAsk, how, host, std::to_string(port)}).out;
  }
  // Lines of a node's ztunnel past `from` that have all of the words.
  static long lines(Node& node, std::size_t from, std::initializer_list<std::string_view> words) {
    const auto logs = node.ztunnel_logs();
    return std::ranges::count_if(std::views::split(std::string_view(logs).substr(from), '\n'), [&](const auto& part) {
      const std::string_view line(part);
      return std::ranges::all_of(words, [&](std::string_view word) { return line.contains(word); });
    });
  }

  static inline World* world = nullptr;
  static inline Pod *client = nullptr, *server = nullptr, *other = nullptr, *visitor = nullptr;
};

std::string family_of(const ::testing::TestParamInfo<bool>& info) { return info.param ? "V6" : "V4"; }
INSTANTIATE_TEST_SUITE_P(, Edges, ::testing::Bool(), family_of);

// What is dialled there is accepted by ztunnel itself: carried on, it would come back without end.
TEST_P(Edges, OwnAddressesOnZtunnelsPortsAreRefusedAndCostNoDescriptors) {
  auto& node = world->node("node1");
  const std::string second = GetParam() ? "fd00:10:244:1::99" : "10.244.1.99";
  const std::string prefix = GetParam() ? "128" : "32";
  ASSERT_EQ(client->privileged(culvert::format("ip addr add {}/{} dev eth0 {}", second, prefix, GetParam() ? "nodad" : "")).code,
            0);
  std::vector<std::string> own = {second, address(*client), GetParam() ? "::1" : "127.0.0.1"};
  if (GetParam()) {
    const std::string found =
        client->shell("ip -6 -o addr show dev eth0 scope link | awk '{ sub(\"/.*\", \"\", $4); print $4 }'").out;
    own.push_back(found.substr(0, found.find('\n')) + "%eth0");
  }
  const auto before = descriptors(node);
  const auto logged = node.ztunnel_logs().size();

  for (const auto& to : own) EXPECT_EQ(client->peer("open", to, 0, 15001).end, "reset") << to;

  EXPECT_LT(descriptors(node), before + 20);
  EXPECT_TRUE(eventually([&] { return lines(node, logged, {"reason=\"illegal_port\""}) == static_cast<long>(own.size()); }));
  ASSERT_EQ(client->privileged(culvert::format("ip addr del {}/{} dev eth0", second, prefix)).code, 0);
}

TEST_P(Edges, NobodyIsAnsweredOnTheDnsPortItself) {
  for (const char* how : {"udp", "tcp"}) {
    EXPECT_EQ(ask(*client, how, address(*visitor), 53), "answer\n") << how << ", to whatever resolver";
    EXPECT_EQ(ask(*visitor, how, address(*client), 15053), "silence\n") << how << ", from a neighbour";
    EXPECT_EQ(ask(*server, how, address(*client), 15053), "silence\n") << how << ", over HBONE";
    EXPECT_EQ(ask(*client, how, address(*client), 15053), "silence\n") << how << ", from the pod itself";
  }
}

TEST_P(Edges, FiveThousandSilentPeersOfOnePodKeepNobodyOut) {
  auto& node = world->node("node2");
  ASSERT_TRUE(works(*other));
  const long before = node.resident_kib("ztunnel");
  auto silent = visitor->start({"python3", "-c", kHold, address(*server), "15008", "5000"});
  ASSERT_TRUE(silent.says("holding", 20s)) << silent.out();

  const auto neighbour = client->peer("echo", address(*other), 1000);
  const long meanwhile = node.resident_kib("ztunnel");
  const bool served =
      eventually([&] { return other->peer("echo", address(*server), 1000).ok; }, 30s);  // needs a tunnel of its own
  silent.finish();

  EXPECT_TRUE(neighbour.ok) << neighbour.text;
  EXPECT_LT(neighbour.ms, 1000);
  EXPECT_TRUE(served) << "the pod itself, too";
  EXPECT_LT(meanwhile - before, 100'000) << "KiB";
  EXPECT_TRUE(eventually([&] { return works(*server); }));
}

TEST_P(Edges, WithoutDescriptorsItWaitsAndSaysSoOnce) {
  auto& node = world->node("node1");
  ASSERT_TRUE(works(*server));
  const auto logged = node.ztunnel_logs().size();
  const auto limit = [&](const std::string& of) {
    return node.shell(culvert::format("prlimit --pid {} --nofile{}", node.pid_of("ztunnel"), of));
  };
  const long before = std::atol(limit(" --noheadings -o SOFT").out.c_str());
  ASSERT_GT(before, 100);
  ASSERT_EQ(limit(culvert::format("={}:", descriptors(node) + 20)).code, 0);

  auto greedy = client->start({"python3", "-c", kHold, address(*server), std::to_string(kPeerPort), "200"});
  ASSERT_TRUE(greedy.says("holding", 20s));
  EXPECT_TRUE(eventually([&] { return lines(node, logged, {"accepting for"}) > 0; }, 20s));
  std::this_thread::sleep_for(2s);
  greedy.finish();
  ASSERT_EQ(limit(culvert::format("={}:", before)).code, 0);

  EXPECT_TRUE(eventually([&] { return works(*server); }));
  EXPECT_LE(lines(node, logged, {"accepting for"}), 8) << "each worker tells it once in a while";
}

TEST_P(Edges, APodThatLeavesResetsWhatItHadWhateverItsState) {
  auto &one = world->node("node1"), &two = world->node("node2");
  const auto logged_one = one.ztunnel_logs().size(), logged_two = two.ztunnel_logs().size();
  const std::string nobody = GetParam() ? "fd00:10:244:2::fe" : "10.244.2.254";
  std::vector<Process> open;
  const auto connect = [&](Pod& from, const std::string& to) {
    open.push_back(from.start({World::program("peer"), "open", to, std::to_string(kPeerPort)}));
    EXPECT_TRUE(open.back().says("open")) << open.back().out();
  };
  connect(*client, address(*server));   // through a tunnel
  connect(*client, address(*visitor));  // out in plaintext
  connect(*visitor, address(*server));  // in by plaintext
  connect(*client, nobody);             // being dialled
  ASSERT_FALSE(open.front().says("end", 300ms)) << open.front().out();

  world->set_ambient("mesh", false);
  for (auto& each : open) EXPECT_TRUE(each.says("\"end\":\"reset\"", 5s)) << each.out();

  // The two ends of the tunnel leave side by side: whichever is later hears of the other's end first.
  EXPECT_TRUE(eventually([&] {
    return lines(one, logged_one, {"reason=\"pod_removed\"", "direction=\"outbound\""}) >= 2 &&
           lines(two, logged_two, {"reason=\"pod_removed\"", "direction=\"inbound\""}) >= 1;
  })) << one.ztunnel_logs().substr(logged_one)
      << two.ztunnel_logs().substr(logged_two);
  world->set_ambient("mesh", true);
  EXPECT_TRUE(world->settle());
  EXPECT_TRUE(eventually([&] { return works(*server); }));
}

// The first packet of a captured connection is lost, as it is when its caller gets no processor between being captured and sending it: nobody
// but ztunnel can answer the second one, a second later.
TEST_P(Edges, APodThatLeavesWaitsForWhatItsApplicationsHaveJustDialled) {
  const auto filter = [&](const std::string& commands) { ASSERT_EQ(client->privileged(commands).code, 0); };
  const auto lost = [&] { return client->privileged("nft list table inet lost | grep -c 'packets [1-9]'").code == 0; };
  filter(
      "nft 'table inet lost { chain out { type filter hook output priority 0; "
      "oif lo tcp dport 7000 tcp flags & (syn | ack) == syn counter drop; }; }'");
  auto dialled = client->start({World::program("peer"), "echo", address(*server), std::to_string(kPeerPort), "1000"});
  EXPECT_TRUE(eventually(lost));

  world->set_ambient("mesh", false);
  filter("nft delete table inet lost");

  EXPECT_THAT(dialled.wait(20s).out, HasSubstr("\"ok\":true"));
  EXPECT_TRUE(world->settle());
  world->set_ambient("mesh", true);
  EXPECT_TRUE(world->settle());
  EXPECT_TRUE(eventually([&] { return works(*server); }));
}

}  // namespace
}  // namespace culvert::testing
