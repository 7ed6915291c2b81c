// Many connections: idle ones, short ones, live ones beside churn. The numbers are those that Istio's proxy was seen to fail at, or to hold.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/json.hpp>
#include <climits>

#include "common/base/format.h"
#include "tests/support/world.h"

namespace culvert::testing {
namespace {

class Many : public ::testing::TestWithParam<bool> {
 protected:
  static void SetUpTestSuite() {
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < kFiles)
      GTEST_SKIP() << "needs " << kFiles << " open files, has " << files.rlim_cur << " (ulimit -n)";
    world = new World({.nodes = 2});
    client = &world->node("node1").pod("client");
    near = &world->node("node1").pod("near", {.command = World::load_server(), .port = kLoadPort});
    far = &world->node("node2").pod("far", {.command = World::load_server(), .port = kLoadPort});
    outsider = &world->node("node1").pod("outsider", {.name_space = "outside"});
    world->up();
  }
  static void TearDownTestSuite() {
    delete world;
    world = nullptr;
  }

  // What tests/bench's load generator printed. A connection that hangs is one of its errors.
  static boost::json::object load(Pod& from, const std::vector<std::string>& words, Seconds patience) {
    std::vector<std::string> command = {World::program("load")};
    command.insert(command.end(), words.begin(), words.end());
    const auto ran = from.run(command, patience);
    boost::system::error_code failed;
    const auto value = boost::json::parse(ran.out.substr(ran.out.find('{') == ran.out.npos ? 0 : ran.out.find('{')), failed);
    if (failed || !value.is_object()) {
      ADD_FAILURE() << "load: " << ran.code << " " << ran.out;
      return {{"count", 0}, {"errors", -1}};
    }
    return value.as_object();
  }

  // A test of many short connections must not end with the application's own ports: bare TCP stops there, too (the end that closes first waits
  // for 60 s).
  static void reuse_ports(Pod& pod) { ASSERT_EQ(pod.privileged("sysctl -w net.ipv4.tcp_tw_reuse=1").code, 0); }

  static void expect_no_errors(const boost::json::object& seen) {
    EXPECT_EQ(seen.at("errors").to_number<long>(), 0) << boost::json::serialize(seen);
  }

  // Holds that many idle connections, and sees that the others are served all the same.
  static void hold(Pod& server, int connections) {
    const auto target = server.address(GetParam());
    auto idle = client->start({World::program("load"), "hold", target, std::to_string(kLoadPort), std::to_string(connections)});
    ASSERT_TRUE(idle.says("ready", 60s)) << idle.out();

    const auto beside = load(*client, {"rr", target, std::to_string(kLoadPort), "1", "0.5"}, 20s);
    idle.finish();
    const auto ended = idle.wait(30s);

    EXPECT_GT(beside.at("count").to_number<long>(), 100);
    expect_no_errors(beside);
    EXPECT_THAT(ended.out, ::testing::HasSubstr("\"errors\":0"));
    EXPECT_THAT(ended.out, ::testing::HasSubstr(culvert::format("\"count\":{}", connections)));
  }

  static constexpr rlim_t kFiles = 12'288;

  static inline World* world = nullptr;
  static inline Pod *client = nullptr, *near = nullptr, *far = nullptr, *outsider = nullptr;
};

std::string family_of(const ::testing::TestParamInfo<bool>& info) { return info.param ? "V6" : "V4"; }
INSTANTIATE_TEST_SUITE_P(, Many, ::testing::Bool(), family_of);

TEST_P(Many, TenThousandIdleConnectionsAcrossNodes) { hold(*far, 10'000); }

TEST_P(Many, FiveThousandIdleConnectionsOnOneNode) { hold(*near, 5'000); }

TEST_P(Many, TwoThousandLivePlaintextConnectionsBesideChurnHangNowhere) {
  const auto target = far->address(GetParam());
  reuse_ports(*outsider);
  auto live = outsider->start({World::program("load"), "hold", target, std::to_string(kLoadPort), "2000"});
  ASSERT_TRUE(live.says("ready", 60s)) << live.out();

  const auto churn = load(*outsider, {"churn", target, std::to_string(kLoadPort), "16", "5"}, 60s);
  live.finish();

  expect_no_errors(churn);
  EXPECT_GT(churn.at("count").to_number<long>(), 1000);
  EXPECT_THAT(live.wait(30s).out, ::testing::HasSubstr("\"errors\":0")) << "each of them answers once more";
}

TEST_P(Many, ThirtyThousandShortConnectionsBetweenOnePairDoNotCollapse) {
  const auto target = far->address(GetParam());
  reuse_ports(*client);
  long count = 0, slowest = LONG_MAX;
  for (int second = 0; second < 55 && count < 30'000; second += 5) {
    const auto churn = load(*client, {"churn", target, std::to_string(kLoadPort), "32", "5"}, 30s);
    expect_no_errors(churn);
    count += churn.at("count").to_number<long>();
    slowest = std::min(slowest, churn.at("count").to_number<long>() / 5);
  }

  EXPECT_GE(count, 30'000) << "in less than a minute";
  EXPECT_GT(slowest, 300) << "connections a second, in the worst five seconds";
}

}  // namespace
}  // namespace culvert::testing
