// Agents of another ABI version take over and give back, under load, without one connection noticing.

#include <bpf/bpf.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/include/culvert_abi.h"
#include "bpf/loader/cgroup.h"
#include "common/base/format.h"
#include "tests/bpf/lifecycle.h"
#include "tests/bpf/packet.h"

namespace culvert::bpf_test {
namespace {

using testing::StartsWith;

class Upgrade : public Lifecycle {
 protected:
  // Runs the agent of the other version to its end, for pods a and b or for a alone.
  int run_other_version(bool both = true) {
    const auto self = std::filesystem::read_symlink("/proc/self/exe");
    const auto netns = [&](const char* name) {
      return culvert::format("/proc/{}/fd/{}", ::getpid(), lab_.pod(name).netns.get());
    };
    std::vector<std::string> words{self.parent_path() / "bpf_other_version",
                                   lab_.pins(),
                                   std::to_string(lab_.pod("node").cookie),
                                   std::to_string(must(bpf::cgroup_id(lab_.cgroup("ztunnel")))),
                                   std::to_string(must(bpf::cgroup_id(lab_.cgroup("kubelet")))),
                                   netns("a"),
                                   "dns"};
    if (both) words.insert(words.end(), {netns("b"), "-"});
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    int status = -1;
    ::waitpid(pid, &status, 0);
    return status;
  }

  std::unique_ptr<Process> probes_of(const std::string& to) {
    return std::make_unique<Process>(
        lab_.place("node", "kubelet"), [=](int report) { keep_dialling(to, {"app"}, report); }, true);
  }

  // The sk_lookup program that is in force for a pod.
  Fd lookup_of(const std::string& name) {
    const Fd link(bpf_obj_get((lab_.pins() / "links" / culvert::format("pod-{}", lab_.pod(name).cookie)).c_str()));
    bpf_link_info info{};
    __u32 size = sizeof(info);
    EXPECT_EQ(bpf_obj_get_info_by_fd(link.get(), &info, &size), 0) << errno_text(errno);
    return Fd(bpf_prog_get_fd_by_id(info.prog_id));
  }

  bool pinned(const std::string& name) { return std::filesystem::exists(lab_.pins() / name); }

  const std::string ours = culvert::format("v{}", CULVERT_ABI_VERSION);
};

TEST_F(Upgrade, AnAgentOfAnotherAbiVersionTakesOverUnderLoad) {
  auto first = lab_.load();
  enrol_all(first);
  const auto outbound = load_on("a", "10.77.0.4:80", {"outbound"});
  const auto outbound_v6 = load_on("a", "[fd77::4]:80", {"outbound"});
  const auto inbound = load_on("c", "10.77.0.3:80", {"inbound"});
  const auto probes = probes_of("10.77.0.3:80");
  Process queries(lab_.place("a"), [](int report) { keep_asking("192.0.2.53:53", {"dns"}, report); }, true);

  EXPECT_EQ(run_other_version(), 0);

  EXPECT_TRUE(pinned("v1000/pods"));
  EXPECT_FALSE(pinned(ours));
  EXPECT_TRUE(pinned("links/connect4-v1000"));
  EXPECT_FALSE(pinned("links/connect4-" + ours));
  must(first.withdraw(lab_.pod("a").cookie));  // its maps are nobody's any more
  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));

  {  // and back again
    auto third = lab_.load();
    EXPECT_TRUE(third.fresh());
    enrol_all(third);
    EXPECT_FALSE(third.fresh());
    EXPECT_FALSE(pinned("v1000"));
    EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));
    EXPECT_GT(lab_.count(third, "connect", "captured"), 0U);  // by this version's programs
  }

  EXPECT_EQ(verdict(*outbound), "");
  EXPECT_EQ(verdict(*outbound_v6), "");
  EXPECT_EQ(verdict(*inbound), "");
  EXPECT_EQ(verdict(*probes), "");
  EXPECT_EQ(verdict(queries), "");
}

// What would be a race for a SYN: noted by one version's connect hook, looked up by the other's sk_lookup. And no more than that.
TEST_F(Upgrade, AnAgentOfAnotherAbiVersionKnowsTheProbesThatWereRegisteredBeforeIt) {
  auto first = lab_.load();
  enrol_all(first);
  const Packet packets[] = {{.source = "10.77.0.1", .destination = "10.77.0.3", .source_port = 47001},
                            {.source = "fd77::1", .destination = "fd77::3", .source_port = 47001}};
  const auto probe = [&](const char* to, const char* from) {
    return std::make_unique<Process>(
        lab_.place("node", "kubelet"), [=](int report) { dial_and_stay({.to = to, .bind = from}, report); }, true);
  };
  const auto v4 = probe("10.77.0.3:80", "10.77.0.1:47001"), v6 = probe("[fd77::3]:80", "[fd77::1]:47001");
  const Fd before = lookup_of("b");

  EXPECT_EQ(run_other_version(), 0);

  const Fd after = lookup_of("b");
  const std::pair<int, __u64> to_the_application{SK_PASS, 0};
  for (const auto& packet : packets) {
    EXPECT_EQ(run_lookup(before.get(), packet), to_the_application) << packet.source;
    EXPECT_EQ(run_lookup(after.get(), packet), to_the_application) << packet.source;
  }
  for (auto* process : {v4.get(), v6.get()}) {
    process->ask_to_stop();
    EXPECT_THAT(process->finish(), StartsWith("app"));
  }
  for (const auto& packet : packets) {  // the other version's sockops sees the end of a probe that it has not registered
    for (int round = 0; round < 500 && run_lookup(after.get(), packet) == to_the_application; round++) ::usleep(10'000);
    EXPECT_EQ(run_lookup(after.get(), packet), std::pair(static_cast<int>(SK_PASS), kOneOfAGroup)) << packet.source;
  }
}

TEST_F(Upgrade, MapsThatOtherVersionsSharedGoWithThem) {
  must(lab_.load().activate());
  const auto theirs = lab_.pins() / "shared-v999";
  std::filesystem::create_directory(theirs);
  const Fd probes(bpf_obj_get((lab_.pins() / culvert::format("shared-v{}", CULVERT_SHARED_ABI_VERSION) / "probes").c_str()));
  ASSERT_EQ(bpf_obj_pin(probes.get(), (theirs / "probes").c_str()), 0) << errno_text(errno);

  must(lab_.load().activate());

  EXPECT_FALSE(std::filesystem::exists(theirs));
}

TEST_F(Upgrade, AnAgentOfAnotherAbiVersionHoldsThePodsThatItKnowsNothingOf) {
  auto first = lab_.load();
  enrol_all(first);

  EXPECT_EQ(run_other_version(false), 0);

  EXPECT_THAT(lab_.dial("a", "10.77.0.4:80"), StartsWith("outbound"));
  EXPECT_THAT(lab_.dial("b", "10.77.0.4:80"), testing::AnyOf("refused", "timeout"));
  ztunnels_.erase("b");
  EXPECT_EQ(lab_.dial("b", "10.77.0.4:80"), "refused");
  EXPECT_EQ(lab_.dial("c", "10.77.0.3:80"), "refused");
}

TEST_F(Upgrade, AnUpgradeThatWasInterruptedBeginsAgain) {
  auto first = lab_.load();
  EXPECT_TRUE(first.fresh());
  { auto unfinished = lab_.load(); }

  auto again = lab_.load();

  EXPECT_TRUE(again.fresh());
}

TEST_F(Upgrade, WhatAPodsSysctlsWereIsKnownToAgentsOfEveryVersionUntilThePodIsForgotten) {
  const auto cookie = lab_.pod("a").cookie;
  const culvert_sysctls before{.tcp_fwmark_accept = 1, .fwmark_reflect_v4 = 0, .fwmark_reflect_v6 = 255, .tcp_migrate_req = 1};
  {
    auto first = lab_.load();
    EXPECT_FALSE(must(first.noted_sysctls(cookie)));
    must(first.note_sysctls(cookie, before));
    enrol_all(first);
  }
  EXPECT_EQ(run_other_version(), 0);
  const auto pinned_value = must(bpf::Datapath::pinned_sysctls(lab_.pins(), cookie));
  ASSERT_TRUE(pinned_value);
  EXPECT_EQ(pinned_value->fwmark_reflect_v6, 255);

  auto third = lab_.load();
  const auto noted = must(third.noted_sysctls(cookie));
  ASSERT_TRUE(noted);
  EXPECT_EQ(noted->tcp_fwmark_accept, 1);
  EXPECT_EQ(noted->fwmark_reflect_v4, 0);
  EXPECT_EQ(noted->fwmark_reflect_v6, 255);
  EXPECT_EQ(noted->tcp_migrate_req, 1);
  must(third.forget(cookie));
  EXPECT_FALSE(must(third.noted_sysctls(cookie)));
}

}  // namespace
}  // namespace culvert::bpf_test
