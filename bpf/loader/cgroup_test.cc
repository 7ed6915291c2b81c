#include "bpf/loader/cgroup.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <map>

#include "common/base/format.h"

namespace culvert::bpf {
namespace {

TEST(Cgroup2Root, IsTheMountPointOfTheOnlyHierarchy) {
  const auto root = cgroup2_root("31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");

  ASSERT_TRUE(root);
  EXPECT_EQ(*root, "/sys/fs/cgroup");
}

TEST(Cgroup2Root, IsFoundBesideTheV1HierarchiesOfAHybridHost) {
  const auto root = cgroup2_root(
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
      "38 31 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");

  ASSERT_TRUE(root);
  EXPECT_EQ(*root, "/sys/fs/cgroup/unified");
}

TEST(Cgroup2Root, PrefersTheMountThatShowsMore) {
  const auto root = cgroup2_root(
      "40 31 0:31 /system.slice/x /run/part rw - cgroup2 cgroup2 rw\n"
      "41 31 0:31 / /run/a\\040place rw - cgroup2 cgroup2 rw\n");

  ASSERT_TRUE(root);
  EXPECT_EQ(*root, "/run/a place");
}

// On a node that has cgroup v2 alone, a container has one of its own, and ours has the node's beside it. What each shows depends on the cgroup namespace that
// one looks from: the node's, which the agent enters, or the container's.
TEST(Cgroup2Root, IsTheNodesInAContainerOfANodeWithoutV1) {
  const auto from_node = cgroup2_root(
      "56 54 0:38 /kubepods/pod9d2c7a10-1111-2222-3333-444444444444/c1 /sys/fs/cgroup ro,relatime - cgroup2 cgroup2 rw\n"
      "156 155 0:38 / /host/sys/fs/cgroup ro,relatime - cgroup2 cgroup2 rw\n");
  const auto from_container = cgroup2_root(
      "56 54 0:38 / /sys/fs/cgroup ro,relatime - cgroup2 cgroup2 rw\n"
      "155 155 0:38 /../.. /run/part rw,relatime - cgroup2 cgroup2 rw\n"
      "156 155 0:38 /../../.. /host/sys/fs/cgroup ro,relatime - cgroup2 cgroup2 rw\n");

  ASSERT_TRUE(from_node && from_container);
  EXPECT_EQ(*from_node, "/host/sys/fs/cgroup");
  EXPECT_EQ(*from_container, "/host/sys/fs/cgroup");
}

TEST(Cgroup2Root, SaysWhatToDoWithoutCgroup2) {
  const auto root = cgroup2_root("31 23 0:28 / / rw - ext4 /dev/vda rw\n");

  ASSERT_FALSE(root);
  EXPECT_NE(root.error().text.find("mount -t cgroup2"), std::string::npos);
}

TEST(CgroupFolder, IsBelowTheMountThatShowsIt) {
  const std::string own = "56 54 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  const std::string above = "57 54 0:38 /../.. /run/world/cgroup rw - cgroup2 cgroup2 rw\n";
  const auto folder = [](const std::string& mountinfo, std::string_view path) {
    return cgroup_folder(mountinfo, path).value_or("nowhere").string();
  };

  // A mount of more than one's own namespace, too: what is above it there has names that nobody tells.
  EXPECT_EQ(folder(above + own, "/ztunnel"), "/sys/fs/cgroup/ztunnel");
  EXPECT_EQ(folder(own + above, "/ztunnel"), "/sys/fs/cgroup/ztunnel");
  EXPECT_EQ(folder(own + above, "/../../kubepods/pod1"), "/run/world/cgroup/kubepods/pod1");
  EXPECT_EQ(folder(own, "/"), "/sys/fs/cgroup");
  EXPECT_EQ(folder(own, "/../beside"), "nowhere");
  EXPECT_EQ(folder(own + above, "/../../../other"), "nowhere");
  EXPECT_EQ(folder("56 54 0:38 /part /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "/part/of/it"), "/sys/fs/cgroup/of/it");
  EXPECT_EQ(folder("56 54 0:38 /part /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "/parts"), "nowhere");
  // Covered by another.
  EXPECT_EQ(folder(own + "58 56 0:40 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", "/a"), "nowhere");
}

TEST(CgroupPlace, IsInTheHierarchyOfItsControllers) {
  const std::string mountinfo =
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
      "34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
      "38 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  const auto mount = [&](std::string_view controllers) {
    const auto place = cgroup_place(parse_mountinfo(mountinfo), controllers, "/kubepods/pod1");
    return place ? place->mount.string() + " " + place->below.string() : "nowhere";
  };

  EXPECT_EQ(mount(""), "/sys/fs/cgroup/unified kubepods/pod1");
  EXPECT_EQ(mount("cpu,cpuacct"), "/sys/fs/cgroup/cpu,cpuacct kubepods/pod1");
  EXPECT_EQ(mount("cpuset"), "/sys/fs/cgroup/cpuset kubepods/pod1");
  EXPECT_EQ(mount("name=systemd"), "/sys/fs/cgroup/systemd kubepods/pod1");
  EXPECT_EQ(mount("memory"), "nowhere");
}

TEST(CgroupOf, NamesTheFolderOfAProcess) {
  if (!cgroup2_root()) GTEST_SKIP() << "no cgroup2 here";

  const auto folder = cgroup_of(getpid());

  ASSERT_TRUE(folder) << folder.error().text;
  EXPECT_TRUE(std::filesystem::exists(*folder / "cgroup.procs")) << *folder;
  EXPECT_EQ(cgroup_of(1 << 30).has_value(), false);
}

// A cgroup of the test's own, asked of by a process that has the node agent's capabilities and no others.
class CgroupLives : public testing::Test {
 protected:
  void SetUp() override {
    const auto root = cgroup2_root();
    if (!root || ::geteuid() != 0) GTEST_SKIP() << "needs root and cgroup2";
    root_ = *root;
    folder_ = root_ / culvert::format("culvert-cgroup-test-{}", ::getpid());
    ASSERT_EQ(::mkdir(folder_.c_str(), 0755), 0);
    id_ = cgroup_id(folder_).value_or(0);
  }
  void TearDown() override {
    if (!root_.empty()) ::rmdir(folder_.c_str());
  }

  // What `question` answers in a process without CAP_DAC_READ_SEARCH and the like (helm/cni/values.yaml).
  static bool asked_as_agent(const std::function<bool()>& question) {
    const pid_t child = ::fork();
    if (child == 0) {
      __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
      __user_cap_data_struct data[2]{};
      data[0].effective = data[0].permitted = (1U << CAP_NET_ADMIN) | (1U << CAP_SYS_ADMIN) | (1U << CAP_SYS_PTRACE);
      if (::syscall(SYS_capset, &header, data) != 0) ::_exit(2);
      ::_exit(question() ? 1 : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) < 2) << status;
    return WEXITSTATUS(status) == 1;
  }
  bool populated() const {
    return asked_as_agent([this] { return cgroup_populated(folder_, id_); });
  }

  std::filesystem::path root_, folder_;
  std::uint64_t id_ = 0;
};

TEST_F(CgroupLives, AsLongAsAProcessIsInIt) {
  EXPECT_FALSE(populated());
  const pid_t child = ::fork();
  if (child == 0) {
    std::ofstream(folder_ / "cgroup.procs") << "0" << std::flush;
    ::pause();
    ::_exit(0);
  }
  for (int round = 0; round < 500 && !populated(); round++) ::usleep(10'000);
  EXPECT_TRUE(populated());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (int round = 0; round < 500 && populated(); round++) ::usleep(10'000);
  EXPECT_FALSE(populated());
}

TEST_F(CgroupLives, NoLongerWhenItsFolderIsGoneOrAnothers) {
  ASSERT_EQ(::rmdir(folder_.c_str()), 0);
  EXPECT_FALSE(populated());

  const pid_t child = ::fork();
  if (child == 0) {  // in one that has come under the same name
    ::mkdir(folder_.c_str(), 0755);
    std::ofstream(folder_ / "cgroup.procs") << "0" << std::flush;
    ::pause();
    ::_exit(0);
  }
  const auto another = [this] { return cgroup_populated(folder_, cgroup_id(folder_).value_or(0)); };
  for (int round = 0; round < 500 && !(cgroup_id(folder_) && another()); round++) ::usleep(10'000);
  EXPECT_TRUE(another());
  EXPECT_FALSE(populated());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (int round = 0; round < 500 && another(); round++) ::usleep(10'000);
}

TEST_F(CgroupLives, IsFoundByItsIdWhereverItIs) {
  const auto inner = folder_ / "a" / "b";
  std::filesystem::create_directories(inner);
  const auto id = cgroup_id(inner).value_or(0);

  EXPECT_TRUE(asked_as_agent([&] {
    const auto found = find_cgroups(root_, {id, id_, UINT64_MAX});
    return found && *found == std::map<std::uint64_t, std::filesystem::path>{{id_, folder_}, {id, inner}};
  }));
  EXPECT_FALSE(find_cgroups(root_ / "missing", {id}));
  ::rmdir(inner.c_str());
  ::rmdir(inner.parent_path().c_str());
}

TEST(CgroupId, IsTheInodeOfTheFolder) {
  struct stat info{};
  ASSERT_EQ(::stat("/", &info), 0);

  const auto id = cgroup_id("/");

  ASSERT_TRUE(id);
  EXPECT_EQ(*id, info.st_ino);
  EXPECT_FALSE(cgroup_id("/dev/null"));
  EXPECT_FALSE(cgroup_id("/does/not/exist"));
}

}  // namespace
}  // namespace culvert::bpf
