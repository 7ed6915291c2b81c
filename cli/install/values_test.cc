#include "cli/install/values.h"

#include <gtest/gtest.h>

namespace culvert::cli::install {
namespace {

std::string said(std::string value) { return istio_word({.set = {"global.hub=x", std::move(value)}}); }

TEST(IstioWord, IsCalledWhatTheChartCallsIt) {
  EXPECT_EQ(said("values.global.hub=x"), "--set values.global.hub: the chart calls it global.hub");
  EXPECT_EQ(said("values.pilot.autoscaleMin=2"), "--set values.pilot.autoscaleMin: the chart calls it controlplane.autoscaleMin");
  EXPECT_EQ(said("meshConfig.trustDomain=td"),
            "--set meshConfig.trustDomain: the chart calls it controlplane.meshConfig.trustDomain");
  EXPECT_EQ(said("revision=canary"), "--set revision: the chart calls it controlplane.revision");
  EXPECT_EQ(said("components.cni.enabled=true"),
            "--set components.cni.enabled: there is no such value (write cni.enabled, ztunnel.enabled)");
  EXPECT_EQ(said("profile=demo"), "--set profile: there is no such value (write --profile NAME)");
  EXPECT_EQ(istio_word({.set_json = {"env={}"}}), "--set-json env: the chart calls it controlplane.env");
}

TEST(IstioWord, IsNothingThatTheChartKnowsOrNobodyDoes) {
  for (const char* value : {"global.hub=x", "controlplane.revision=a", "cni.enabled=false", "ztunnel.logLevel=debug",
                            "base.crds.istio=auto", "revisions=1", "nonsense=1", "environment.x=1"})
    EXPECT_EQ(said(value), "") << value;
}

}  // namespace
}  // namespace culvert::cli::install
