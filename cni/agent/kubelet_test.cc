#include "cni/agent/kubelet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>

#include "bpf/loader/cgroup.h"
#include "common/base/format.h"

namespace culvert::agent {
namespace {

// A cgroup of the test's own, and processes in it.
class ForeignKubelet : public testing::Test {
 protected:
  void SetUp() override {
    const auto root = bpf::cgroup2_root();
    if (!root || ::geteuid() != 0) GTEST_SKIP() << "needs root and cgroup2";
    folder_ = *root / culvert::format("culvert-kubelet-test-{}", ::getpid());
    ASSERT_EQ(::mkdir(folder_.c_str(), 0755), 0);
  }
  void TearDown() override {
    end();
    if (!folder_.empty() && ::rmdir(folder_.c_str()) != 0) std::perror(folder_.c_str());
  }

  void start(bool elsewhere) {
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    child_ = ::fork();
    if (child_ == 0) {
      std::ofstream(folder_ / "cgroup.procs") << "0" << std::flush;
      if (elsewhere && ::unshare(CLONE_NEWNET) != 0) ::_exit(1);
      (void)!::write(ready[1], "r", 1);
      ::pause();
      ::_exit(0);
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }
  void end() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }
  std::string found() const { return foreign_kubelet({{folder_}}); }

  std::filesystem::path folder_;
  pid_t child_ = 0;
};

TEST_F(ForeignKubelet, IsOneInAnotherNetworkNamespace) {
  start(true);

  EXPECT_THAT(found(), testing::HasSubstr(culvert::format("the kubelet (pid {})", child_)));
  EXPECT_THAT(found(), testing::HasSubstr("hostNetwork: true"));
}

TEST_F(ForeignKubelet, IsNoneThatSharesOurs) {
  start(false);

  EXPECT_EQ(found(), "");
}

TEST_F(ForeignKubelet, IsNoneThatDoesNotRun) {
  EXPECT_EQ(found(), "");
  EXPECT_EQ(foreign_kubelet({{folder_ / "missing"}}), "");
}

}  // namespace
}  // namespace culvert::agent
