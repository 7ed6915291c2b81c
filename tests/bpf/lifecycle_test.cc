// Agents that end and start again, pods that come and go: all of it under load, without one connection noticing.

#include "tests/bpf/lifecycle.h"

#include <unistd.h>

#include <filesystem>

#include "bpf/loader/cgroup.h"
#include "cni/redirect/redirect.h"

namespace culvert::bpf_test {
namespace {

using testing::StartsWith;

void remove(Lab& lab, bpf::Datapath& datapath, const std::string& name) {
  auto& pod = lab.pod(name);
  must(datapath.withdraw(pod.cookie));
  must(redirect::capture_dns(pod.netns.get(), false));
  must(datapath.detach_lookup(pod.cookie));
  must(datapath.forget(pod.cookie));
  for (int round = 0; round < 100 && must(redirect::marked_sockets(pod.netns.get())).open > 0; round++) ::usleep(10'000);
  must(redirect::restore(pod.netns.get(), {}));
}

// Whether the namespace that this pod had is still there, for the kernel.
bool alive(const bpf::Datapath& datapath, std::uint64_t cookie) { return must(datapath.netns_inode(cookie)) != 0; }

TEST_F(Lifecycle, AnAgentRestartInterruptsNothing) {
  {
    auto first = lab_.load();
    EXPECT_TRUE(first.fresh());
    enrol_all(first);
  }
  const auto outbound = load_on("a", "10.77.0.4:80", {"outbound"});
  const auto inbound = load_on("c", "[fd77::3]:80", {"inbound"});

  for (int restart = 0; restart < 3; restart++) {
    auto again = lab_.load();
    EXPECT_FALSE(again.fresh());
    enrol_all(again);
    EXPECT_EQ(must(again.known_pods()).size(), 2U);
  }

  EXPECT_EQ(verdict(*outbound), "");
  EXPECT_EQ(verdict(*inbound), "");
  EXPECT_THAT(lab_.query(lab_.place("a"), "192.0.2.53:53"), StartsWith("dns"));
}

TEST_F(Lifecycle, WithoutAnAgentTheDatapathStaysInForce) {
  {
    auto datapath = lab_.load();
    enrol_all(datapath);
  }

  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));
  ztunnels_.clear();
  EXPECT_EQ(lab_.dial("a", "10.77.0.4:80"), "refused");
  EXPECT_EQ(lab_.query(lab_.place("a"), "192.0.2.53:53"), "refused");  // else a resolver would wait for seconds
  EXPECT_EQ(lab_.query(lab_.place("a"), "[2001:db8::53]:53"), "refused");
  EXPECT_EQ(lab_.dial("c", "10.77.0.3:80"), "refused");
}

TEST_F(Lifecycle, ANamespaceIsGoneWhenTheKernelSaysSoAndNotBefore) {
  auto datapath = lab_.load();
  enrol_all(datapath);
  const auto cookie = lab_.pod("b").cookie;

  lab_.pod("b").netns.reset();
  EXPECT_TRUE(alive(datapath, cookie));  // its processes live
  apps_.clear();
  ztunnels_.clear();
  for (int round = 0; round < 500 && alive(datapath, cookie); round++) ::usleep(10'000);

  EXPECT_FALSE(alive(datapath, cookie));
  EXPECT_TRUE(alive(datapath, lab_.pod("a").cookie));
}

TEST_F(Lifecycle, CapturesAtTheCgroupRootThatIsAskedFor) {
  const auto load = [&](const std::filesystem::path& root) {
    auto datapath =
        must(bpf::Datapath::load({.pin_dir = lab_.pins(), .cgroup_root = root, .host_netns_cookie = lab_.pod("node").cookie}));
    enrol_all(datapath);
  };
  load(lab_.cgroup("elsewhere"));
  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("app"));

  load(lab_.cgroup("app"));

  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("refused"));  // no cgroup is ztunnel's here
  EXPECT_THAT(lab_.dial(lab_.place("a", "elsewhere"), {.to = "10.77.0.4:80"}), StartsWith("app"));
}

TEST_F(Lifecycle, PodsComeAndGoUnderLoad) {
  auto datapath = lab_.load();
  must(datapath.activate());
  const auto outbound = load_on("a", "10.77.0.4:80", {"outbound", "app"});
  const auto outbound_v6 = load_on("a", "[fd77::4]:80", {"outbound", "app"});
  const auto inbound = load_on("c", "10.77.0.3:80", {"inbound", "app"});

  for (int round = 0; round < 5; round++) {
    lab_.enrol(datapath, "a", round % 2 == 0);
    lab_.enrol(datapath, "b");
    EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));
    remove(lab_, datapath, "a");
    remove(lab_, datapath, "b");
    EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("app"));
    EXPECT_THAT(lab_.dial("c", "10.77.0.3:80"), StartsWith("app"));
  }

  EXPECT_EQ(verdict(*outbound), "");
  EXPECT_EQ(verdict(*outbound_v6), "");
  EXPECT_EQ(verdict(*inbound), "");
  EXPECT_THAT(must(datapath.known_pods()), testing::IsEmpty());
}

TEST_F(Lifecycle, TheKubeletsPortsAreThoseThatTheLatestAgentNames) {
  const auto cookie = lab_.pod("b").cookie;
  {
    auto first = lab_.load();
    enrol_all(first);
  }
  auto second = lab_.load();
  EXPECT_THAT(lab_.dial(lab_.place("node", "kubelet"), {.to = "10.77.0.3:80"}), StartsWith("app"));

  const std::uint16_t other[] = {81, 82};
  must(second.set_probe_ports(cookie, other));
  EXPECT_THAT(lab_.dial(lab_.place("node", "kubelet"), {.to = "10.77.0.3:80"}), StartsWith("inbound"));
  EXPECT_EQ(lab_.dial(lab_.place("node", "kubelet"), {.to = "10.77.0.3:82"}), "refused") << "by the application: nobody listens";

  must(second.set_probe_ports(cookie, kProbed));
  EXPECT_THAT(lab_.dial(lab_.place("node", "kubelet"), {.to = "[fd77::3]:80"}), StartsWith("app"));
}

// What an agent before this one has left in it.
TEST_F(Lifecycle, AFullSetOfCgroupsHasRoomForWhoComes) {
  auto datapath = lab_.load();
  enrol_all(datapath);
  std::vector<std::uint64_t> many;
  for (std::uint64_t id = 0; id < CULVERT_MAX_CGROUPS; id++) many.push_back((std::uint64_t{1} << 40) + id);
  must(datapath.set_kubelet_cgroups(many));
  must(datapath.set_exempt_cgroups(many));
  EXPECT_THAT(lab_.dial(lab_.place("node", "kubelet"), {.to = "10.77.0.3:80"}), StartsWith("inbound"));

  const std::uint64_t kubelet[] = {must(bpf::cgroup_id(lab_.cgroup("kubelet")))};
  const std::uint64_t ztunnel[] = {must(bpf::cgroup_id(lab_.cgroup("ztunnel")))};
  must(datapath.set_kubelet_cgroups(kubelet));
  must(datapath.set_exempt_cgroups(ztunnel));

  EXPECT_THAT(lab_.dial(lab_.place("node", "kubelet"), {.to = "10.77.0.3:80"}), StartsWith("app"));
  EXPECT_THAT(must(datapath.exempt_cgroups()), testing::ElementsAre(ztunnel[0]));
}

TEST_F(Lifecycle, EveryStepMayBeRepeated) {
  auto datapath = lab_.load();
  for (int round = 0; round < 2; round++) enrol_all(datapath);
  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));

  for (int round = 0; round < 2; round++) {
    remove(lab_, datapath, "a");
    remove(lab_, datapath, "b");
    must(bpf::Datapath::unload(lab_.pins()));
  }

  EXPECT_FALSE(std::filesystem::exists(lab_.pins()));
  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("app"));
}

TEST_F(Lifecycle, TwoAgentsOnOneMachineDoNotDisturbEachOther) {
  Lab other;
  auto datapath = lab_.load();
  enrol_all(datapath);
  auto elsewhere = other.load();
  must(elsewhere.activate());

  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));
  EXPECT_THAT(other.dial("node", "10.77.0.2:80"), "refused");  // an ordinary pod without a server
  EXPECT_THAT(must(elsewhere.known_pods()), testing::IsEmpty());
}

TEST(Load, SaysWhatIsWrongWithThePinFolder) {
  const auto wrong = bpf::Datapath::load({.pin_dir = "/tmp/not-a-bpffs", .cgroup_root = {}});

  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().text, testing::HasSubstr("mount -t bpf bpf /sys/fs/bpf"));
}

TEST(Lab, LeavesNothingBehind) {
  std::filesystem::path pins, cgroup;
  {
    Lab lab;
    auto datapath = lab.load();
    const auto ztunnel = lab.ztunnel("a");
    lab.enrol(datapath, "a");
    must(datapath.activate());
    pins = lab.pins();
    cgroup = lab.cgroup("app").parent_path();
  }

  EXPECT_FALSE(std::filesystem::exists(pins));
  EXPECT_FALSE(std::filesystem::exists(cgroup));
}

}  // namespace
}  // namespace culvert::bpf_test
