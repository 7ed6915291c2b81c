#include "common/rpc/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/rpc/test_world.h"

namespace culvert::rpc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Credentials, WithoutATokenSayNothingOfThemselves) {
  const Credentials none{.token = "", .roots = "", .cluster_id = "c1", .extra = {{"a", "b"}}};

  EXPECT_THAT(none.metadata().value(), ElementsAre(std::pair<std::string, std::string>("a", "b")));
}

TEST(Credentials, RefuseATokenThatNoHeaderCanCarry) {
  const std::string path = certificates().folder + "/bad-token";
  spit(path, "two words");
  EXPECT_THAT((Credentials{.token = path, .roots = "", .cluster_id = ""}).metadata().error().text,
              HasSubstr("holds a character"));
  spit(path, "\n");
  EXPECT_THAT((Credentials{.token = path, .roots = "", .cluster_id = ""}).metadata().error().text, HasSubstr("is empty"));
}

TEST(Credentials, TheTokenIsAFileOrTheTextItself) {
  EXPECT_THAT((Credentials{.token = "abc.def", .roots = "", .cluster_id = ""}).metadata().value(),
              ElementsAre(std::pair<std::string, std::string>("authorization", "Bearer abc.def")));

  const std::string path = certificates().folder + "/late";
  const Credentials late{.token = path, .roots = "", .cluster_id = "", .extra = {}, .token_may_be_missing = true};
  EXPECT_TRUE(late.metadata().value().empty());
  spit(path, "now\n");
  EXPECT_THAT(late.metadata().value(), ElementsAre(std::pair<std::string, std::string>("authorization", "Bearer now")));
}

TEST(Credentials, RootsAreAFileOrTheTextItself) {
  const std::string pem = slurp(certificates().certificate("ca"));
  EXPECT_EQ((Credentials{.token = "", .roots = pem}).roots_pem().value(), pem);
  EXPECT_EQ((Credentials{.token = "", .roots = certificates().certificate("ca")}).roots_pem().value(), pem);
  EXPECT_FALSE((Credentials{.token = "", .roots = "/nonexistent"}).roots_pem());
  EXPECT_THAT((Credentials{.token = "", .roots = certificates().key("ca")}).roots_pem().error().text,
              HasSubstr("no certificate in"));
  EXPECT_TRUE((Credentials{.token = "", .roots = "SYSTEM"}).roots_pem());
}

}  // namespace
}  // namespace culvert::rpc
