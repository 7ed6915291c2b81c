#include "cni/agent/sandboxes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <map>
#include <thread>

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

// Network namespaces are real, a folder looks like /proc.
class SandboxesTest : public testing::Test {
 protected:
  SandboxesTest() {
    fs::remove_all(root_);
    fs::create_directories(root_ / "proc" / "self");
    std::ofstream(root_ / "proc" / "self" / "mountinfo")
        << culvert::format("31 23 0:28 / {} rw - cgroup2 cgroup2 rw\n", (root_ / "cgroups").string());
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    add_process(1, "0::/init.scope", "host", 1);
  }
  ~SandboxesTest() override { fs::remove_all(root_); }

  // One of this name, made when it is first asked for.
  const Fd& made(const std::string& name) {
    auto& netns = made_[name];
    if (!netns) {
      std::thread([&] {
        if (::unshare(CLONE_NEWNET) == 0) netns = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
      }).join();
    }
    EXPECT_TRUE(netns) << name;
    return netns;
  }
  // One that somebody without privileges has made, who is root in a user namespace of his own. False when this machine has none.
  bool make_for_user(const std::string& name) {
    int ready[2];
    if (::pipe(ready) != 0) return false;
    const pid_t child = ::fork();
    if (child == 0) {
      const char done = ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 'y' : 'n';
      (void)!::write(ready[1], &done, 1);
      ::pause();
      ::_exit(0);
    }
    char done = 'n';
    (void)!::read(ready[0], &done, 1);
    if (done == 'y') made_[name] = Fd(::open(culvert::format("/proc/{}/ns/net", child).c_str(), O_RDONLY | O_CLOEXEC));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    return static_cast<bool>(made_[name]);
  }
  fs::path netns(const std::string& name) { return culvert::format("/proc/self/fd/{}", made(name).get()); }
  Fd open(const std::string& name) { return Fd(::fcntl(made(name).get(), F_DUPFD_CLOEXEC, 0)); }
  std::uint64_t inode(const std::string& name) {
    struct stat status{};
    ::fstat(made(name).get(), &status);
    return status.st_ino;
  }
  void add_process(pid_t pid, const std::string& cgroup, const std::string& in, int started) {
    const auto folder = root_ / "proc" / std::to_string(pid);
    fs::create_directories(folder / "ns");
    fs::create_symlink(netns(in), folder / "ns" / "net");
    fs::create_directories(root_ / "cgroups" / fs::path(cgroup.substr(3)).relative_path());
    std::ofstream(folder / "cgroup") << cgroup << "\n";
    std::ofstream(folder / "stat") << culvert::format("{} (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0\n", pid, started);
  }
  void add_process_of(const char* uid, pid_t pid, const std::string& in, int started = 5) {
    add_process(pid, culvert::format("0::/kubepods/pod{}/c", uid), in, started);
  }
  void end_process(pid_t pid) const { fs::remove_all(root_ / "proc" / std::to_string(pid)); }

  // One that looks at /proc whenever it is asked.
  Sandboxes on_kubernetes() const {
    using namespace std::chrono_literals;
    return Sandboxes({.plugin = true, .processes = true, .proc = root_ / "proc", .every = 0ms, .least = 0ms});
  }

  std::map<std::string, Fd> made_;
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

// Somebody on the node says that he is the pod, and has been for longer.
TEST_F(SandboxesTest, KeepsWhatThePluginGaveWhateverProcShows) {
  auto sandboxes = on_kubernetes();
  ASSERT_TRUE(sandboxes.given(sandboxed(), open("a")));
  add_process_of(kPodUid, 30, "forged", 1);
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("a")) << "no process is in it yet";

  add_process_of(kPodUid, 40, "a", 5);
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("a"));
  add_process_of(kPodUid, 41, "a", 6);
  end_process(40);
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("a")) << "the other one lives in it";
  EXPECT_TRUE(sandboxes.was_given(sandboxed()));
}

TEST_F(SandboxesTest, KeepsWhatItFoundAsLongAsSomebodyLivesInIt) {
  auto sandboxes = on_kubernetes();
  add_process_of(kPodUid, 40, "a", 5);
  ASSERT_EQ(sandboxes.inode(sandboxed()), inode("a"));

  add_process_of(kPodUid, 30, "forged", 1);
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("a"));

  end_process(40);
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("forged"));
}

TEST_F(SandboxesTest, TakesNoNamespaceThatTheNodesRootHasNotMade) {
  if (!make_for_user("of-user")) GTEST_SKIP() << "no user namespaces here";
  auto sandboxes = on_kubernetes();
  add_process_of(kPodUid, 30, "of-user", 1);
  EXPECT_EQ(sandboxes.inode(sandboxed()), 0U);

  add_process_of(kPodUid, 40, "a", 5);
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("a"));
}

// The users of such a pod are not the node's, and so its namespace is not.
TEST_F(SandboxesTest, TakesTheNamespaceOfAPodWithUsersOfItsOwn) {
  if (!make_for_user("of-pod")) GTEST_SKIP() << "no user namespaces here";
  auto pod = sandboxed();
  pod.spec.host_users = false;
  add_process_of(kPodUid, 30, "of-pod", 1);

  EXPECT_EQ(on_kubernetes().inode(pod), inode("of-pod")) << "an agent that comes later has no word of the plugin's";
  auto sandboxes = on_kubernetes();
  ASSERT_TRUE(sandboxes.given(sandboxed(), open("of-pod")));
  EXPECT_EQ(sandboxes.inode(sandboxed()), inode("of-pod"));
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
