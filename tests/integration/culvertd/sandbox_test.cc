// The filter that culvertd puts on itself, and what has to work under it all the same.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/sanitizer.h"
#include "tests/integration/culvertd/fixture.h"
#include "tests/support/process.h"

namespace culvert::test {
namespace {

struct Sandboxed : CulvertdTest {
  // How many filters a process has: it inherits those of who starts it.
  static int filters(const std::string& process) {
    std::ifstream status("/proc/" + process + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("Seccomp_filters:")) return std::stoi(line.substr(line.find('\t')));
    }
    return -1;
  }
};

TEST_F(Sandboxed, HasAFilterOfItsOwnButUnderASanitizer) {
  ASSERT_TRUE(start());

  EXPECT_EQ(filters(std::to_string(pid)), filters("self") + (CULVERT_WATCHED ? 0 : 1));
}

TEST_F(Sandboxed, StartsTheCredentialPluginOfAKubeconfig) {
  ASSERT_TRUE(start());
  std::ofstream(folder + "/kubeconfig")
      << "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: "
         "'https://127.0.0.1:"
      << port << "', certificate-authority: data/root-cert.pem}}]\nusers: [{name: u, user: {exec: {"
      << "apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: touch, args: ['" << folder
      << "/asked']}}}]\n";

  const testing::Process other({CULVERTD, "--kubeconfig", folder + "/kubeconfig", "--data-dir", folder + "/other"});

  EXPECT_TRUE(testing::eventually([&] { return std::filesystem::exists(folder + "/asked"); })) << other.out();
}

}  // namespace
}  // namespace culvert::test
