#include "bpf/loader/cgroup.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

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

TEST(CgroupOf, NamesTheFolderOfAProcess) {
  if (!cgroup2_root()) GTEST_SKIP() << "no cgroup2 here";

  const auto folder = cgroup_of(getpid());

  ASSERT_TRUE(folder) << folder.error().text;
  EXPECT_TRUE(std::filesystem::exists(*folder / "cgroup.procs")) << *folder;
  EXPECT_EQ(cgroup_of(1 << 30).has_value(), false);
}

TEST(CgroupPopulated, TellsWhetherProcessesLiveThere) {
  const auto root = cgroup2_root();
  if (!root || ::geteuid() != 0) GTEST_SKIP() << "needs root and cgroup2";
  const auto folder = *root / culvert::format("culvert-cgroup-test-{}", ::getpid());
  ASSERT_EQ(::mkdir(folder.c_str(), 0755), 0);
  const auto id = cgroup_id(folder);
  ASSERT_TRUE(id);

  EXPECT_FALSE(cgroup_populated(*root, *id));
  const pid_t child = ::fork();
  if (child == 0) {
    std::ofstream(folder / "cgroup.procs") << "0" << std::flush;
    ::pause();
    ::_exit(0);
  }
  bool populated = false;
  for (int round = 0; round < 500 && !populated; round++) {
    populated = cgroup_populated(*root, *id);
    if (!populated) ::usleep(10'000);
  }
  EXPECT_TRUE(populated);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (int round = 0; round < 500 && cgroup_populated(*root, *id); round++) ::usleep(10'000);
  EXPECT_FALSE(cgroup_populated(*root, *id));
  ASSERT_EQ(::rmdir(folder.c_str()), 0);
  EXPECT_FALSE(cgroup_populated(*root, *id));
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
