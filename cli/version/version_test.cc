#include "cli/version/version.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace culvert::cli {
namespace {

Versions mesh() {
  return {.client = "0.2.0",
          .commit = "abc",
          .planes = {{"culvertd-0.istio-system", "0.1.0"}, {"culvertd-1.istio-system", "0.1.0"}},
          .proxies = {{"0.1.0", 2}, {"", 1}},
          .asked = true};
}

TEST(Version, IsFoundAmongTheMetrics) {
  EXPECT_EQ(version_in("# HELP pilot_info x\npilot_info{version=\"1.29.0\"} 1\nother 2\n"), "1.29.0");
  EXPECT_EQ(version_in("# TYPE pilot_info gauge\nother{version=\"2\"} 1\n"), "");
  EXPECT_EQ(version_in("a 1\npilot_info{} 1\n"), "");
}

TEST(Version, ShortSaysOneNumberForAllReplicasThatAgree) {
  EXPECT_EQ(text_of(mesh(), true),
            "client version: 0.2.0\ncontrol plane version: 0.1.0\ndata plane version: unknown (1 proxy), 0.1.0 (2 proxies)\n");
  Versions mixed = mesh();
  mixed.planes[1].second = "0.2.0";
  EXPECT_EQ(text_of(mixed, true),
            "client version: 0.2.0\nculvertd-0.istio-system version: 0.1.0\nculvertd-1.istio-system version: 0.2.0\n"
            "data plane version: unknown (1 proxy), 0.1.0 (2 proxies)\n");
}

TEST(Version, WithoutAMeshThereIsOnlyTheClient) {
  const Versions alone{.client = "0.2.0", .commit = "abc"};

  EXPECT_EQ(text_of(alone, false), "client version: 0.2.0 (abc)\n");
  EXPECT_EQ(text_of(alone, true), "0.2.0\n");
  EXPECT_EQ(json_of(alone, VersionOptions::Form::kJson),
            "{\n    \"clientVersion\": {\n        \"version\": \"0.2.0\",\n        \"revision\": \"abc\"\n    }\n}\n");
}

TEST(Version, JsonHasTheWordsOfIstioctl) {
  const auto value = boost::json::parse(json_of(mesh(), VersionOptions::Form::kJson));

  EXPECT_EQ(value.at("meshVersion").at(1).at("component"), "culvertd-1.istio-system");
  EXPECT_EQ(value.at("meshVersion").at(1).at("info").at("version"), "0.1.0");
  EXPECT_EQ(value.at("dataPlaneVersion").at(1), boost::json::parse(R"({"version":"0.1.0","proxies":2})"));
}

}  // namespace
}  // namespace culvert::cli
