#include "ztunnel/identity/roots_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "common/tls/authority.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

struct RootsFileTest : testing::Test {
  RootsFileTest() {
    char name[] = "/tmp/culvert-roots-XXXXXX";
    folder = ::mkdtemp(name);
  }
  ~RootsFileTest() override { std::filesystem::remove_all(folder); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder + "/new") << text;
    std::filesystem::rename(folder + "/new", folder + "/" + name);
  }
  void follow() {
    file.emplace(loop, folder + "/root-cert.pem", [this] { ++changes; }, 5ms);
  }
  // As long as it takes, or for some of its looks when nothing is to happen: in turns of the loop, since a busy machine lets time pass without any.
  int after(int wanted) {
    loop.run([](RootsFileTest* test, int count) -> net::Task<> {
      constexpr int kSomeLooks = 25;
      const bool nothing = count <= test->changes;
      const auto end = net::Clock::now() + 5000ms;
      for (int turn = 0; nothing ? turn < kSomeLooks : test->changes < count && net::Clock::now() < end; ++turn)
        co_await net::sleep_for(test->loop, 2ms);
    }(this, wanted));
    return changes;
  }

  const std::string one = tls::Authority::make_root("cluster.local")->certificate().pem();
  const std::string two = tls::Authority::make_root("cluster.local")->certificate().pem();
  std::string folder;
  net::Loop loop;
  std::optional<RootsFile> file;
  int changes = 0;
};

TEST_F(RootsFileTest, ToldWhenItHoldsOthers) {
  write("root-cert.pem", one);
  follow();
  write("root-cert.pem", one + two);
  EXPECT_EQ(after(1), 1);
  write("root-cert.pem", one + two);
  EXPECT_EQ(after(1), 1) << "the same again";
  write("root-cert.pem", "half a certific");
  EXPECT_EQ(after(1), 1) << "no roots at all";
  write("root-cert.pem", two);
  EXPECT_EQ(after(2), 2);
}

// As the kubelet does it.
TEST_F(RootsFileTest, ToldWhenALinkLeadsElsewhere) {
  std::filesystem::create_directory(folder + "/..1");
  std::filesystem::create_directory(folder + "/..2");
  write("..1/root-cert.pem", one);
  write("..2/root-cert.pem", one + two);
  std::filesystem::create_symlink("..1", folder + "/..data");
  std::filesystem::create_symlink("..data/root-cert.pem", folder + "/root-cert.pem");
  follow();

  std::filesystem::create_symlink("..2", folder + "/..new");
  std::filesystem::rename(folder + "/..new", folder + "/..data");

  EXPECT_EQ(after(1), 1);
}

TEST_F(RootsFileTest, ThatAppearsIsNoChange) {
  follow();
  write("root-cert.pem", one);
  EXPECT_EQ(after(0), 0);
  write("root-cert.pem", two);
  EXPECT_EQ(after(1), 1);
}

}  // namespace
}  // namespace culvert::ztunnel
