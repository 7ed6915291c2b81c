#include "controlplane/remains.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/kube/traces.h"

namespace culvert::controlplane {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::IsEmpty;

json::array list(std::string_view text) { return json::parse(text).as_array(); }

constexpr const char* kNow = "2026-11-27T10:00:00Z";

TEST(AgentsLeft, AreAwaitedWhereAKubeletCanEndThem) {
  const json::array nodes = list(R"([
    {"metadata":{"name":"good"},"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}]}},
    {"metadata":{"name":"dead"},"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}},
    {"metadata":{"name":"new"},"status":{}}])");
  const json::array pods =
      list(R"([{"metadata":{"name":"a"},"spec":{"nodeName":"good"}},{"metadata":{"name":"b"},"spec":{"nodeName":"dead"}},
    {"metadata":{"name":"c"},"spec":{"nodeName":"removed"}},{"metadata":{"name":"d"},"spec":{"nodeName":"new"}},{"metadata":{"name":"e"},"spec":{}}])");

  const AgentsLeft left = agents_left(pods, nodes, kNow);

  EXPECT_THAT(left.awaited, ElementsAre("good", "")) << "the scheduler may still be at the last one";
  EXPECT_THAT(left.lost, ElementsAre("dead", "removed", "new"));
}

// Its kubelet is there and says that it is not ready: it can still end a pod.
TEST(AgentsLeft, HaveTheirTimeOnANodeThatIsNotReady) {
  const json::array nodes = list(R"([{"metadata":{"name":"n"},"status":{"conditions":[{"type":"Ready","status":"False"}]}}])");
  const auto pod = [](const char* ends) {
    return json::array{json::object{{"metadata", json::object{{"deletionTimestamp", ends}}}, {"spec", {{"nodeName", "n"}}}}};
  };

  EXPECT_THAT(agents_left(pod("2026-11-27T10:00:20Z"), nodes, kNow).awaited, ElementsAre("n"));
  EXPECT_THAT(agents_left(pod("2026-11-27T09:59:59Z"), nodes, kNow).lost, ElementsAre("n"));
}

TEST(Others, AreControlPlanesOfThisClusterThatGoOn) {
  const Others others = others_of(list(R"([
    {"metadata":{"name":"culvertd-canary","namespace":"mesh","labels":{"istio.io/rev":"canary"}}},
    {"metadata":{"name":"culvertd","namespace":"mesh","deletionTimestamp":"2026-11-27T10:00:00Z","labels":{"istio.io/rev":"default"}}},
    {"metadata":{"name":"culvertd","namespace":"second"}},
    {"metadata":{"name":"culvertd","namespace":"far"},"spec":{"template":{"spec":{"containers":[{"args":["--kubeconfig=/c"]}]}}}}])"),
                                  "mesh");

  EXPECT_THAT(others.here, ElementsAre("Deployment mesh/culvertd-canary"));
  EXPECT_THAT(others.revisions, ElementsAre("canary"));
  EXPECT_THAT(others.elsewhere, ElementsAre("Deployment second/culvertd"));
  EXPECT_EQ(others.text(), "Deployment mesh/culvertd-canary, Deployment second/culvertd");
}

std::vector<std::string> needed(const Others& others) {
  std::vector<std::string> out;
  auto all = kube::traces("mesh");
  all.push_back(kube::root_config_map("mesh"));
  all.push_back(kube::root_config_map("shop"));
  for (const kube::Place& each : all)
    if (is_needed(others, each, "mesh")) out.push_back(each.ns + "/" + each.name);
  return out;
}

TEST(Others, NeedAllOfWhatIsTheirs) {
  EXPECT_THAT(needed({}), IsEmpty());
  EXPECT_EQ(needed({.here = {"a"}}).size(), kube::traces("mesh").size() + 2);
  EXPECT_THAT(needed({.elsewhere = {"a"}}),
              ElementsAre("/culvert-validator", "/istio.io:istiod-ca:root-cert", "/istio.io:istiod-ca:root-cert",
                          "mesh/istio-ca-root-cert", "shop/istio-ca-root-cert"))
      << "the CA and the lease of a namespace are its own";
}

TEST(Others, AreServedByTheirServices) {
  const auto service = json::parse(R"({"spec":{"selector":{"app":"culvertd","istio.io/rev":"canary"}}})");

  EXPECT_TRUE(is_served({.here = {"a"}, .revisions = {"canary"}}, service));
  EXPECT_FALSE(is_served({.here = {"a"}, .revisions = {"other"}}, service)) << "it leads nowhere any more";
  EXPECT_FALSE(is_served({}, service));
  EXPECT_FALSE(is_served({.here = {"a"}, .revisions = {"canary"}}, json::parse(R"({"spec":{"type":"ExternalName"}})")));
}

}  // namespace
}  // namespace culvert::controlplane
