// What `culvert local` leaves behind: nothing, however it ends.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/base/format.h"
#include "tests/support/world.h"

namespace culvert::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What a world could leave on the machine.
std::string traces() {
  return run({"sh", "-c",
              culvert::format(
                  "unshare -m sh -c 'mount -t cgroup2 x /mnt && ls /mnt | grep culvert.local.test-{}'; ip -o link | wc -l; "
                  "ls /run/netns 2>/dev/null; bpftool prog | grep -c name; bpftool link | grep -c prog",
                  getpid())})
      .out;
}

class LocalEnd : public ::testing::TestWithParam<bool> {};
std::string with_what(const ::testing::TestParamInfo<bool>& mesh) { return mesh.param ? "WithTheMesh" : "WithoutAMesh"; }
INSTANTIATE_TEST_SUITE_P(, LocalEnd, ::testing::Bool(), with_what);

TEST_P(LocalEnd, NothingIsLeftBehindAlsoAfterACrash) {
  const std::string before = traces();
  for (const bool crash : {false, true}) {
    {
      World world({.nodes = 2, .mesh = GetParam()});
      world.node("node1").pod("one");
      world.up();
      EXPECT_NE(traces(), before);
      if (crash) world.crash();
    }
    EXPECT_TRUE(eventually([&] { return traces() == before; })) << traces() << "before:\n"
                                                                << before;  // the kernel frees BPF a little later
  }
}

TEST(LocalUp, InterruptedTakesTheWorldDownAgain) {
  char folder[] = "/tmp/culvert-world-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  run({"sh", "-c",
       culvert::format(
           "printf 'apiVersion: v1\\nkind: Pod\\nmetadata: {{name: one}}\\nspec: {{containers: [{{name: main, command: "
           "[\"false\"]}}]}}"
           "\\n' >{}/pod.yaml",
           folder)});
  const std::string name = culvert::format("test-{}-late", getpid());
  Process up({World::program("culvert"), "local", "up", folder, "--name", name, "--no-mesh"});
  const auto status = [&] { return run({World::program("culvert"), "local", "status", "--name", name}).code; };
  ASSERT_TRUE(eventually([&] { return status() != 3; }));

  up.signal(SIGINT);

  EXPECT_EQ(up.wait(10s).code, 1);
  EXPECT_EQ(status(), 3);
  EXPECT_THAT(traces(), Not(HasSubstr(name)));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace culvert::testing
