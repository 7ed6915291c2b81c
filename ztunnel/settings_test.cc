#include "ztunnel/settings.h"

#include <gtest/gtest.h>

#include <map>

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

settings::Table::Lookup lookup(std::map<std::string, std::string> environment) {
  return [environment = std::move(environment)](std::string_view name) -> std::optional<std::string> {
    const auto found = environment.find(std::string(name));
    if (found == environment.end()) return std::nullopt;
    return found->second;
  };
}

Settings read(const std::map<std::string, std::string>& environment) {
  Settings values;
  settings::Table table("ztunnel", "test");
  describe(values, table);
  const auto read = table.parse({}, lookup(environment));
  EXPECT_TRUE(read) << read.error().text;
  return values;
}

TEST(Settings, WorkerThreadsAreANumberAShareOrAllCores) {
  EXPECT_EQ(read({}).worker_threads.on(2), 2u);
  EXPECT_EQ(read({}).worker_threads.on(64), 16u);
  EXPECT_EQ(read({{"ZTUNNEL_WORKER_THREADS", "1"}}).worker_threads.on(64), 1u);
  EXPECT_EQ(read({{"ZTUNNEL_WORKER_THREADS", "50%"}}).worker_threads.on(64), 32u);
  EXPECT_EQ(read({{"ZTUNNEL_WORKER_THREADS", "0"}}).worker_threads.on(64), 64u);
}

TEST(Settings, DrainDeadlineComesFromTheGracePeriodUnlessGiven) {
  EXPECT_EQ(read({}).drain_deadline(), 5s);
  EXPECT_EQ(read({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}}).drain_deadline(), 25s);
  EXPECT_EQ(read({{"TERMINATION_GRACE_PERIOD_SECONDS", "10"}}).drain_deadline(), 9s);
  EXPECT_EQ(read({{"TERMINATION_GRACE_PERIOD_SECONDS", "1"}}).drain_deadline(), 1s);
  EXPECT_EQ(read({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}, {"CONNECTION_TERMINATION_DEADLINE", "250ms"}}).drain_deadline(),
            250ms);
}

TEST(Settings, TheClustersNameOfIstioWins) {
  EXPECT_EQ(read({{"CLUSTER_ID", "a"}}).cluster_id, "a");
  EXPECT_EQ(read({{"CLUSTER_ID", "a"}, {"ISTIO_META_CLUSTER_ID", "b"}}).cluster_id, "b");
}

TEST(Settings, AnAddressThatIsSetToNothingIsNone) {
  const auto values = read({{"XDS_ADDRESS", ""}, {"CA_ADDRESS", ""}, {"AUTH_TOKEN", ""}, {"NETWORK", ""}});

  EXPECT_EQ(values.xds_address, "");
  EXPECT_EQ(values.ca_address, "");
  EXPECT_EQ(values.auth_token, "");
  EXPECT_NE(read({}).xds_address, "");
}

TEST(Settings, RefuseWhatMustNotBeLeftUndoneInSilence) {
  using Environment = std::map<std::string, std::string>;
  const auto refused = [](const Environment& environment) {
    const auto told = unsupported(read(environment), lookup(environment));
    return told ? std::string() : told.error().text;
  };
  EXPECT_EQ(refused({}), "");
  EXPECT_EQ(refused({{"PROXY_MODE", "shared"}, {"CRL_PATH", ""}}), "");
  EXPECT_TRUE(refused({{"FAKE_CA", "true"}}).contains("CA_ADDRESS at culvertd"));
  EXPECT_TRUE(refused({{"CA_ADDRESS", ""}}).contains("point it at culvertd"));
  EXPECT_TRUE(refused({{"CRL_PATH", "/crl"}}).starts_with("CRL_PATH is not supported"));
  EXPECT_TRUE(refused({{"PROXY_MODE", "dedicated"}}).starts_with("PROXY_MODE=dedicated is not supported"));
  EXPECT_EQ(unsupported(read({}), lookup({{"XDS_ON_DEMAND", "true"}}))->size(), 1u);
}

}  // namespace
}  // namespace culvert::ztunnel
