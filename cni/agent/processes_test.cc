#include "cni/agent/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "common/base/format.h"

namespace culvert::agent {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::Pair;

constexpr auto kShop = "9d2c7a10-1a2b-3c4d-5e6f-0123456789ab";
constexpr auto kCafe = "ffffffff-1a2b-3c4d-5e6f-0123456789ab";

// A folder that looks like /proc: network namespaces are files, the same one under several names.
class Processes : public testing::Test {
 protected:
  Processes() {
    fs::remove_all(proc_);
    fs::create_directories(proc_ / "net");
    add(1, "systemd", "0::/init.scope", "host", 1);
  }
  ~Processes() override { fs::remove_all(proc_); }

  void add(pid_t pid, const std::string& name, const std::string& cgroup, const std::string& netns, std::uint64_t started) {
    const auto folder = proc_ / std::to_string(pid);
    fs::create_directories(folder / "ns");
    if (!fs::exists(proc_ / "net" / netns)) std::ofstream(proc_ / "net" / netns) << netns;
    fs::remove(folder / "ns" / "net");
    fs::create_hard_link(proc_ / "net" / netns, folder / "ns" / "net");
    std::ofstream(folder / "cgroup") << cgroup << "\n";
    std::ofstream(folder / "comm") << name << "\n";
    std::ofstream(folder / "stat") << culvert::format("{} ({}) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {} 1000 1\n", pid,
                                                      name, started);
  }
  std::uint64_t inode(const std::string& netns) const {
    struct stat status{};
    ::stat((proc_ / "net" / netns).c_str(), &status);
    return status.st_ino;
  }

  const fs::path proc_ = fs::path(testing::TempDir()) / culvert::format("processes-{}", ::getpid());
};

std::string of_pod(std::string_view uid) { return culvert::format("0::/kubepods/besteffort/pod{}/c1", uid); }

TEST_F(Processes, FindsTheOldestOfAPod) {
  add(40, "app", of_pod(kShop), "shop", 900);
  add(30, "a ) b (", of_pod(kShop), "shop", 500);  // a name may hold anything
  add(20, "late", of_pod(kShop), "other", 901);    // one that has unshared its network namespace
  add(50, "pause", of_pod(kCafe), "cafe", 700);

  EXPECT_THAT(pod_processes(proc_), ElementsAre(Pair(kShop, PodProcess{.pid = 30, .netns = inode("shop"), .started = 500}),
                                                Pair(kCafe, PodProcess{.pid = 50, .netns = inode("cafe"), .started = 700})));
}

TEST_F(Processes, LeavesOutWhoIsInTheNodesNetwork) {
  add(40, "agent", of_pod(kShop), "host", 900);

  EXPECT_TRUE(pod_processes(proc_).empty());
}

TEST_F(Processes, KnowsWhenAProcessIsNoLongerThePods) {
  add(40, "app", of_pod(kShop), "shop", 900);
  EXPECT_TRUE(is_of_pod(proc_, 40, kShop, inode("shop")));
  EXPECT_FALSE(is_of_pod(proc_, 40, kCafe, inode("shop")));
  EXPECT_FALSE(is_of_pod(proc_, 41, kShop, inode("shop")));

  add(40, "other", of_pod(kCafe), "cafe", 950);  // its number is used again
  EXPECT_FALSE(is_of_pod(proc_, 40, kShop, inode("shop")));
}

TEST_F(Processes, FindsKubeletsAndNobodyWhoOnlySaysSo) {
  add(10, "kubelet", "0::/system.slice/kubelet.service", "host", 10);
  add(11, "k3s-server", "0::/system.slice/k3s.service", "host", 10);
  add(12, "kubelet", of_pod(kShop), "host", 20);     // a pod with hostNetwork
  add(13, "kubelet", "0::/user.slice", "shop", 20);  // not on the node's network
  add(14, "kubelet-evil", "0::/user.slice", "host", 20);

  EXPECT_THAT(kubelets(proc_), testing::UnorderedElementsAre(10, 11));
}

}  // namespace
}  // namespace culvert::agent
