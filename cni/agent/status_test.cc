#include "cni/agent/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <sstream>

#include "cni/agent/enrol.h"
#include "common/config/parse.h"

namespace culvert::agent {
namespace {

namespace fs = std::filesystem;

class StatusFiles : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/status-test-XXXXXX";
    dir_ = ::mkdtemp(path);
    pod_.name = "web-0";
    pod_.name_space = "shop";
    pod_.uid = "u1";
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::string read(const std::string& file) {
    std::ifstream in(dir_ / "status/pods" / file);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  std::vector<std::string> files() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_ / "status/pods")) names.push_back(entry.path().filename());
    return names;
  }

  fs::path dir_;
  config::Metadata pod_;
};

TEST_F(StatusFiles, AreReadAsThePodsAnnotation) {
  auto status = StatusFolder::open(dir_, "n1");
  ASSERT_TRUE(status) << status.error().text;

  ASSERT_TRUE(status->write(pod_, Redirection::kEnabled));

  const auto parsed = config::parse_yaml("x.yaml", read("n1_shop_web-0.yaml"));
  ASSERT_EQ(parsed.objects.size(), 1u);
  const auto& metadata = config::metadata_of(*parsed.objects[0].object);
  EXPECT_EQ(metadata.uid, "u1");
  EXPECT_EQ(config::value_of(metadata.annotations, kRedirection), "enabled");
}

TEST_F(StatusFiles, GoWithTheEnrolment) {
  auto status = StatusFolder::open(dir_, "n1");
  ASSERT_TRUE(status->write(pod_, Redirection::kPending));

  ASSERT_TRUE(status->write(pod_, Redirection::kNone));
  ASSERT_TRUE(status->write(pod_, Redirection::kNone));

  EXPECT_THAT(files(), testing::IsEmpty());
}

TEST_F(StatusFiles, AreNotMadeInAFolderThatDoesNotExist) {
  EXPECT_FALSE(StatusFolder::open(dir_ / "typo", "n1"));
  EXPECT_FALSE(fs::exists(dir_ / "typo"));
}

TEST_F(StatusFiles, OfOtherNodesAreLeftAlone) {
  auto mine = StatusFolder::open(dir_, "n1");
  auto other = StatusFolder::open(dir_, "n2");
  ASSERT_TRUE(mine->write(pod_, Redirection::kEnabled));
  ASSERT_TRUE(other->write(pod_, Redirection::kEnabled));

  ASSERT_TRUE(mine->prune({"shop/else"}));

  EXPECT_THAT(files(), testing::ElementsAre("n2_shop_web-0.yaml"));
}

}  // namespace
}  // namespace culvert::agent
