#include "cni/agent/sandboxes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "cni/agent/enrol.h"
#include "common/base/format.h"

namespace culvert::agent {
namespace {

namespace fs = std::filesystem;

constexpr auto kPodUid = "9d2c7a10-1a2b-3c4d-5e6f-0123456789ab";

config::Pod sandboxed(std::string uid = kPodUid) {
  config::Pod pod;
  pod.metadata.name = "web-0";
  pod.metadata.name_space = "shop";
  pod.metadata.uid = std::move(uid);
  return pod;
}

// Network namespaces are files here, and so is /proc.
class SandboxesTest : public testing::Test {
 protected:
  SandboxesTest() {
    fs::remove_all(root_);
    fs::create_directories(root_ / "proc");
    add_process(1, "0::/init.scope", "host", 1);
  }
  ~SandboxesTest() override { fs::remove_all(root_); }

  fs::path netns(const std::string& name) const {
    if (!fs::exists(root_ / name)) std::ofstream(root_ / name) << name;
    return root_ / name;
  }
  Fd open(const std::string& name) const { return Fd(::open(netns(name).c_str(), O_RDONLY | O_CLOEXEC)); }
  std::uint64_t inode(const std::string& name) const {
    struct stat status{};
    ::stat(netns(name).c_str(), &status);
    return status.st_ino;
  }
  void add_process(pid_t pid, const std::string& cgroup, const std::string& in, int started) const {
    const auto folder = root_ / "proc" / std::to_string(pid);
    fs::create_directories(folder / "ns");
    fs::create_hard_link(netns(in), folder / "ns" / "net");
    std::ofstream(folder / "cgroup") << cgroup << "\n";
    std::ofstream(folder / "stat") << culvert::format("{} (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0\n", pid, started);
  }
  void add_process_of(const char* uid, pid_t pid, const std::string& in, int started = 5) const {
    add_process(pid, culvert::format("0::/kubepods/pod{}/c", uid), in, started);
  }
  void end_process(pid_t pid) const { fs::remove_all(root_ / "proc" / std::to_string(pid)); }

  // One that looks at /proc whenever it is asked.
  Sandboxes on_kubernetes() const {
    using namespace std::chrono_literals;
    return Sandboxes({.plugin = true, .processes = true, .proc = root_ / "proc", .every = 0ms, .least = 0ms});
  }

  const fs::path root_ = fs::path(testing::TempDir()) / culvert::format("sandboxes-{}", ::getpid());
};

TEST_F(SandboxesTest, KeepsWhatThePluginGivesUntilItEnds) {
  auto sandboxes = on_kubernetes();
  EXPECT_EQ(sandboxes.inode(sandboxed()), 0U);

  ASSERT_TRUE(sandboxes.given(sandboxed(), open("a")));
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("a"));  // although no process is in it yet
  EXPECT_TRUE(sandboxes.was_given(sandboxed()));

  sandboxes.ended(sandboxed(), inode("b"));  // an earlier sandbox of the pod, heard of late
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("a"));
  sandboxes.ended(sandboxed(), inode("a"));
  EXPECT_EQ(sandboxes.inode(sandboxed()), 0U);
}

TEST_F(SandboxesTest, TakesTheNewSandboxOfAPod) {
  auto sandboxes = on_kubernetes();
  add_process_of(kPodUid, 40, "a");
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("a"));
  EXPECT_FALSE(sandboxes.was_given(sandboxed()));

  end_process(40);
  EXPECT_EQ(sandboxes.inode(sandboxed()), 0U);
  ASSERT_TRUE(sandboxes.given(sandboxed(), open("b")));
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("b"));
  add_process_of(kPodUid, 41, "b");
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("b"));
  EXPECT_TRUE(sandboxes.was_given(sandboxed()));
}

TEST_F(SandboxesTest, SeesThatAProcessNumberIsAnotherPodsNow) {
  auto sandboxes = on_kubernetes();
  add_process_of(kPodUid, 40, "a");
  ASSERT_EQ(sandboxes.inode(sandboxed()), inode("a"));

  end_process(40);
  add_process_of("ffffffff-1a2b-3c4d-5e6f-0123456789ab", 40, "b");

  EXPECT_EQ(sandboxes.inode(sandboxed()), 0U);
}

TEST_F(SandboxesTest, ForgetsPodsThatAreGone) {
  auto sandboxes = on_kubernetes();
  ASSERT_TRUE(sandboxes.given(sandboxed(), open("a")));

  sandboxes.forget(sandboxed());

  EXPECT_EQ(sandboxes.inode(sandboxed()), 0U);
  EXPECT_FALSE(sandboxes.open(sandboxed()));
}

TEST_F(SandboxesTest, BelievesAnAnnotationOnlyFromAFolder) {
  auto with = sandboxed();
  with.metadata.annotations.edit()[std::string(kNetnsAnnotation)] = netns("a");

  EXPECT_EQ(on_kubernetes().inode(with), 0U);
  Sandboxes of_folder({.annotation = true});
  EXPECT_EQ(of_folder.inode(with), inode("a"));
  EXPECT_TRUE(of_folder.sought(with));
  EXPECT_FALSE(of_folder.sought(sandboxed()));
}

TEST_F(SandboxesTest, TakesNobodysWordForBeingAStaticPod) {
  constexpr auto kHash = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
  auto mirror = sandboxed();
  mirror.metadata.annotations = {{"kubernetes.io/config.hash", kHash}, {"kubernetes.io/config.mirror", kHash}};
  EXPECT_EQ(kubelet_uid(mirror), kHash);

  constexpr auto kOther = "ffffffff-1a2b-3c4d-5e6f-0123456789ab";  // another pod's uid
  mirror.metadata.annotations = {{"kubernetes.io/config.hash", kOther}, {"kubernetes.io/config.mirror", kOther}};
  EXPECT_EQ(kubelet_uid(mirror), kPodUid);
}

}  // namespace
}  // namespace culvert::agent
