#include "cni/agent/enrol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::agent {
namespace {

struct Case {
  std::string pod_label;
  std::string namespace_label;
  Verdict expect;
};

config::Pod pod(std::string_view label) {
  config::Pod pod;
  pod.metadata.name = "web-0";
  pod.metadata.name_space = "shop";
  if (!label.empty()) pod.metadata.labels.edit()[std::string(kModeLabel)] = label;
  return pod;
}

config::Namespace name_space(std::string_view label) {
  config::Namespace object;
  object.metadata.name = "shop";
  if (!label.empty()) object.metadata.labels.edit()[std::string(kModeLabel)] = label;
  return object;
}

TEST(Enrol, FollowsTheLabelOfThePodBeforeThatOfTheNamespace) {
  const Case cases[] = {
      {"", "", Verdict::kNotLabelled},      {"", "ambient", Verdict::kEnrolled},     {"", "none", Verdict::kNotLabelled},
      {"ambient", "", Verdict::kEnrolled},  {"ambient", "none", Verdict::kEnrolled}, {"none", "ambient", Verdict::kOptedOut},
      {"x", "ambient", Verdict::kEnrolled}, {"x", "", Verdict::kNotLabelled},
  };
  for (const auto& [of_pod, of_namespace, expect] : cases) {
    const auto space = name_space(of_namespace);
    EXPECT_EQ(decide(pod(of_pod), &space, false, {}).verdict, expect) << "pod=" << of_pod << " namespace=" << of_namespace;
  }
}

TEST(Enrol, WaitsForANamespaceThatIsNotKnownYet) {
  EXPECT_EQ(decide(pod(""), nullptr, false, {}).verdict, Verdict::kUnknownNamespace);
  EXPECT_EQ(decide(pod("ambient"), nullptr, false, {}).verdict, Verdict::kEnrolled);
}

TEST(Enrol, HoldsACapturedPodWhoseNamespaceIsNotKnown) {
  EXPECT_EQ(decide(pod(""), nullptr, true, {}).verdict, Verdict::kHeld);
  EXPECT_TRUE(decide(pod(""), nullptr, true, {}).enrolled());
  EXPECT_EQ(decide(pod("none"), nullptr, true, {}).verdict, Verdict::kOptedOut);
  const auto space = name_space("none");
  EXPECT_EQ(decide(pod(""), &space, true, {}).verdict, Verdict::kNotLabelled);
}

TEST(Enrol, NeverTakesWhatCannotOrMustNotBeCaptured) {
  const auto space = name_space("ambient");

  auto host = pod("ambient");
  host.spec.host_network = true;
  EXPECT_EQ(decide(host, &space, false, {}).verdict, Verdict::kHostNetwork);

  auto ended = pod("ambient");
  ended.phase = config::PodPhase::kSucceeded;
  EXPECT_EQ(decide(ended, &space, false, {}).verdict, Verdict::kTerminated);

  auto sidecar = pod("ambient");
  sidecar.metadata.annotations.edit()["sidecar.istio.io/status"] = "{}";
  EXPECT_EQ(decide(sidecar, &space, false, {}).verdict, Verdict::kSidecar);

  EXPECT_EQ(decide(pod("ambient"), &space, false, {.excluded_namespaces = {"shop"}}).verdict, Verdict::kExcludedNamespace);
}

TEST(Enrol, TakesNobodyOnceTheMeshLeavesTheNode) {
  const auto space = name_space("ambient");

  EXPECT_EQ(decide(pod("ambient"), &space, true, {.leaving = true}).verdict, Verdict::kUninstalled);
  EXPECT_EQ(decide(pod(""), nullptr, true, {.leaving = true}).verdict, Verdict::kUninstalled);
}

TEST(Enrol, LetsThePodSayWhetherItsDnsIsCaptured) {
  auto with = pod("ambient");
  EXPECT_TRUE(decide(with, nullptr, false, {.dns_capture = true}).dns_capture);
  EXPECT_FALSE(decide(with, nullptr, false, {.dns_capture = false}).dns_capture);

  with.metadata.annotations.edit()["ambient.istio.io/dns-capture"] = "false";
  EXPECT_FALSE(decide(with, nullptr, false, {.dns_capture = true}).dns_capture);

  with.metadata.annotations.edit()["ambient.istio.io/dns-capture"] = "maybe";
  const auto decision = decide(with, nullptr, false, {.dns_capture = true});
  EXPECT_TRUE(decision.dns_capture);
  EXPECT_THAT(decision.notes, testing::ElementsAre(testing::HasSubstr("neither true nor false")));
}

TEST(Enrol, SaysWhatAPodAsksForInVain) {
  auto gateway = pod("ambient");
  gateway.metadata.annotations.edit()["ambient.istio.io/bypass-inbound-capture"] = "true";
  gateway.metadata.annotations.edit()["istio.io/reroute-virtual-interfaces"] = "tap0";

  EXPECT_EQ(decide(gateway, nullptr, false, {}).notes.size(), 2u);

  auto probing = pod("ambient");
  probing.spec.on_node->dialled = {{"c", 8080, ""}, {"c", 5432, "10.0.0.9"}};
  EXPECT_THAT(decide(probing, nullptr, false, {}).notes, testing::ElementsAre(testing::HasSubstr("10.0.0.9 port 5432")));
}

}  // namespace
}  // namespace culvert::agent
