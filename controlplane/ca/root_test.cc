#include "controlplane/ca/root.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "controlplane/ca/files.h"

namespace culvert::controlplane {
namespace {

using ::testing::HasSubstr;

struct RootTest : ::testing::Test {
  RootTest() {
    char name[] = "/tmp/culvert-ca-XXXXXX";
    folder = std::string(::mkdtemp(name)) + "/data";
  }
  ~RootTest() override { std::filesystem::remove_all(std::filesystem::path(folder).parent_path()); }
  static unsigned mode(const std::string& path) {
    struct stat about{};
    return ::stat(path.c_str(), &about) == 0 ? about.st_mode & 07777 : 0;
  }

  std::string folder;
};

TEST_F(RootTest, IsMadeOnceAndKept) {
  const auto made = load_or_make_authority(folder, "cluster.local");
  ASSERT_TRUE(made) << made.error().text;
  const auto loaded = load_or_make_authority(folder, "cluster.local");
  ASSERT_TRUE(loaded) << loaded.error().text;

  EXPECT_EQ(loaded->certificate().serial(), made->certificate().serial());
  EXPECT_TRUE(made->certificate().is_ca());
  EXPECT_GT(made->certificate().not_after(), std::chrono::system_clock::now() + std::chrono::hours(24 * 3640));
  EXPECT_EQ(mode(folder), 0700U);
  EXPECT_EQ(mode(DataFiles(folder).ca_key), 0600U);
  EXPECT_EQ(mode(DataFiles(folder).root), 0644U);
}

TEST_F(RootTest, AKeyThatOthersCanReadIsRefused) {
  ASSERT_TRUE(load_or_make_authority(folder, "cluster.local"));
  ::chmod(DataFiles(folder).ca_key.c_str(), 0640);

  const auto loaded = load_or_make_authority(folder, "cluster.local");

  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().text, HasSubstr("mode 0640 lets others at it (chmod 0600"));
}

TEST_F(RootTest, ALostCertificateIsAnErrorAndNoNewRoot) {
  ASSERT_TRUE(load_or_make_authority(folder, "cluster.local"));
  std::filesystem::remove(DataFiles(folder).ca_certificate);

  EXPECT_FALSE(load_or_make_authority(folder, "cluster.local"));
}

TEST_F(RootTest, TheServerProvesItsNames) {
  const auto authority = load_or_make_authority(folder, "cluster.local");
  ASSERT_TRUE(authority);
  const std::vector<std::string> names = {"culvertd.istio-system.svc", "localhost", "127.0.0.1"};

  ASSERT_TRUE(write_server_certificate(*authority, folder, names));

  const DataFiles files(folder);
  EXPECT_EQ(mode(files.server_key), 0600U);
  std::ifstream file(files.server_certificate);
  const std::string pem((std::istreambuf_iterator<char>(file)), {});
  const auto chain = tls::Certificate::parse_all(pem);
  ASSERT_TRUE(chain) << chain.error().text;
  EXPECT_THAT(chain->front().dns_sans(), ::testing::ElementsAre("culvertd.istio-system.svc", "localhost"));
}

}  // namespace
}  // namespace culvert::controlplane
