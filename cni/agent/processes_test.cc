#include "cni/agent/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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
class ProcessesTest : public testing::Test {
 protected:
  ProcessesTest() {
    fs::remove_all(proc_);
    fs::create_directories(proc_ / "net");
    fs::create_directories(proc_ / "self");
    std::ofstream(proc_ / "self" / "mountinfo") << culvert::format("31 23 0:28 / {} rw - cgroup2 cgroup2 rw\n", tree_.string());
    add(1, "systemd", "0::/init.scope", "host", 1);
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, whose folders are believed";
  }
  ~ProcessesTest() override { fs::remove_all(proc_); }

  void add(pid_t pid, const std::string& name, const std::string& cgroup, const std::string& netns, std::uint64_t started) {
    const auto folder = proc_ / std::to_string(pid);
    fs::create_directories(folder / "ns");
    if (!fs::exists(proc_ / "net" / netns)) std::ofstream(proc_ / "net" / netns) << netns;
    fs::remove(folder / "ns" / "net");
    fs::create_hard_link(proc_ / "net" / netns, folder / "ns" / "net");
    std::ofstream(folder / "cgroup") << cgroup << "\n";
    fs::create_directories(tree_ / fs::path(cgroup.substr(std::string_view("0::").size())).relative_path());
    set_uids(pid, "0\t0\t0\t0");
    std::ofstream(folder / "comm") << name << "\n";
    std::ofstream(folder / "stat") << culvert::format("{} ({}) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {} 1000 1\n", pid,
                                                      name, started);
  }
  std::uint64_t inode(const std::string& netns) const {
    struct stat status{};
    ::stat((proc_ / "net" / netns).c_str(), &status);
    return status.st_ino;
  }

  void set_uids(pid_t pid, std::string_view uids) {
    std::ofstream(proc_ / std::to_string(pid) / "status") << "Name:\tx\nUid:\t" << uids << "\nGid:\t0\t0\t0\t0\n";
  }
  // A cgroup and what is made in it are a login user's from now on.
  void give_to_user(const std::string& cgroup) {
    const auto folder = tree_ / cgroup;
    ASSERT_EQ(::chown(folder.c_str(), 1000, 1000), 0);
    for (const auto& entry : fs::recursive_directory_iterator(folder)) ASSERT_EQ(::chown(entry.path().c_str(), 1000, 1000), 0);
  }

  const fs::path proc_ = fs::path(testing::TempDir()) / culvert::format("processes-{}", ::getpid());
  const fs::path tree_ = proc_ / "cgroups";
};

std::string of_pod(std::string_view uid) { return culvert::format("0::/kubepods/besteffort/pod{}/c1", uid); }

TEST_F(ProcessesTest, FindsTheOldestOfAPodInEachNetworkNamespace) {
  add(40, "app", of_pod(kShop), "shop", 900);
  add(30, "a ) b (", of_pod(kShop), "shop", 500);  // a name may hold anything
  add(20, "late", of_pod(kShop), "other", 901);    // one that has unshared its network namespace
  add(50, "pause", of_pod(kCafe), "cafe", 700);

  EXPECT_THAT(Processes(proc_).of_pods(),
              ElementsAre(Pair(kShop, ElementsAre(PodProcess{.pid = 30, .netns = inode("shop"), .started = 500},
                                                  PodProcess{.pid = 20, .netns = inode("other"), .started = 901})),
                          Pair(kCafe, ElementsAre(PodProcess{.pid = 50, .netns = inode("cafe"), .started = 700}))));
}

TEST_F(ProcessesTest, LeavesOutWhoIsInTheNodesNetwork) {
  add(40, "agent", of_pod(kShop), "host", 900);

  EXPECT_TRUE(Processes(proc_).of_pods().empty());
}

TEST_F(ProcessesTest, KnowsWhenAProcessIsNoLongerThePods) {
  add(40, "app", of_pod(kShop), "shop", 900);
  const Processes processes(proc_);
  EXPECT_TRUE(processes.is_of_pod(40, kShop, inode("shop")));
  EXPECT_FALSE(processes.is_of_pod(40, kCafe, inode("shop")));
  EXPECT_FALSE(processes.is_of_pod(41, kShop, inode("shop")));

  add(40, "other", of_pod(kCafe), "cafe", 950);  // its number is used again
  EXPECT_FALSE(processes.is_of_pod(40, kShop, inode("shop")));
}

// A login user has a part of the tree to himself, and names what he makes there as he likes.
TEST_F(ProcessesTest, BelievesNoCgroupThatAUserHasMade) {
  const std::string home = "user.slice/user-1000.slice/user@1000.service";
  std::string slice = culvert::format("kubepods-pod{}.slice", kShop);
  std::ranges::replace(slice.begin() + 13, slice.end() - 6, '-', '_');
  const auto forged = culvert::format("0::/{}/kubepods/pod{}", home, kShop);
  add(40, "evil", forged, "shop", 1);
  add(41, "evil", culvert::format("0::/{}/kubepods.slice/{}/c.scope", home, slice), "shop", 2);
  add(42, "evil", culvert::format("0::/{}/{}:cri-containerd:c", home, slice), "shop", 3);
  EXPECT_EQ(Processes(proc_).of_pods().size(), 1U) << "while all of it is root's";

  give_to_user(home);

  EXPECT_TRUE(Processes(proc_).of_pods().empty());
  EXPECT_FALSE(Processes(proc_).is_of_pod(40, kShop, inode("shop")));
  add(50, "pause", of_pod(kShop), "real", 900);
  EXPECT_THAT(Processes(proc_).of_pods(),
              ElementsAre(Pair(kShop, ElementsAre(PodProcess{.pid = 50, .netns = inode("real"), .started = 900}))));
}

// What a pod's container is given of the tree, it is given below the pod's own folder.
TEST_F(ProcessesTest, BelievesThePodWhoseContainerHasCgroupsOfItsOwn) {
  add(50, "pause", of_pod(kShop) + "/inner", "shop", 900);
  give_to_user(culvert::format("kubepods/besteffort/pod{}/c1", kShop));

  EXPECT_TRUE(Processes(proc_).of_pods().contains(kShop));
}

TEST_F(ProcessesTest, BelievesNoCgroupThatCannotBeSeen) {
  add(50, "pause", of_pod(kShop), "shop", 900);
  std::ofstream(proc_ / "self" / "mountinfo") << "23 1 254:0 / / rw - ext4 /dev/vda rw\n";

  EXPECT_TRUE(Processes(proc_).of_pods().empty());
}

TEST_F(ProcessesTest, FindsKubeletsAndNobodyWhoOnlySaysSo) {
  add(10, "kubelet", "0::/system.slice/kubelet.service", "host", 10);
  add(11, "k3s-server", "0::/system.slice/k3s.service", "host", 10);
  add(12, "kubelet", of_pod(kShop), "host", 20);     // a pod with hostNetwork
  add(13, "kubelet", "0::/user.slice", "shop", 20);  // not on the node's network
  add(14, "kubelet-evil", "0::/user.slice", "host", 20);
  int pid = 20;
  for (const auto* uids : {"1000\t1000\t1000\t1000", "1000\t0\t0\t0", "0\t1000\t0\t0", "0\t0\t1000\t0", "0\t0\t0\t1000"}) {
    add(pid, "kubelet", "0::/user.slice/user-1000.slice/session-3.scope", "host", 20);
    set_uids(pid++, uids);
  }
  add(30, "kubelet", "0::/user.slice/user-1000.slice/user@1000.service/x", "host", 20);
  give_to_user("user.slice/user-1000.slice/user@1000.service");

  EXPECT_THAT(Processes(proc_).kubelets(), ElementsAre(10, 11));
}

TEST_F(ProcessesTest, TakesTheOldestKubeletsAndNotMany) {
  for (const pid_t pid : {90, 80, 70, 60, 50, 40}) add(pid, "kubelet", "0::/system.slice/kubelet.service", "host", 100 - pid);

  EXPECT_THAT(Processes(proc_).kubelets(), ElementsAre(90, 80, 70, 60));
}

}  // namespace
}  // namespace culvert::agent
