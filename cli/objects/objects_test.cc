#include "cli/objects/objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "common/kube/test_peer.h"

namespace culvert::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const kube::Place kTelemetries = {.of = {.group = "telemetry.istio.io", .version = "v1", .plural = "telemetries"}};

// An API server that knows these versions of the kind, each with its answer.
struct ObjectsTest : testing::Test {
  net::Loop loop;
  std::map<std::string, std::string> served;
  std::vector<std::string> asked;
  kube::Peer peer{loop, [this](const http::Request& request) {
                    const std::string path(request.path());
                    asked.push_back(path);
                    const auto found = served.find(path.substr(0, path.rfind('/')));
                    if (found == served.end()) return kube::answer(404, "{}");
                    return found->second.empty() ? kube::answer(403, "{}") : kube::answer(200, found->second);
                  }};
  kube::Client client{loop, peer.access()};

  Result<boost::json::array> find() { return loop.run(find_all_in(client, kTelemetries, {"v1", "v1beta1", "v1alpha1"})); }
};

TEST_F(ObjectsTest, AreAskedForInTheNewestVersionThatTheServerKnows) {
  served = {{"/apis/telemetry.istio.io/v1beta1", R"({"items":[{"metadata":{"name":"a"}}]})"},
            {"/apis/telemetry.istio.io/v1alpha1", R"({"items":[]})"}};

  const auto found = find();

  ASSERT_TRUE(found) << found.error().text;
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(name_of(found->front()), "a");
  EXPECT_THAT(asked, ElementsAre("/apis/telemetry.istio.io/v1/telemetries", "/apis/telemetry.istio.io/v1beta1/telemetries"));
}

TEST_F(ObjectsTest, OfAKindThatIsNotThereAreNone) {
  EXPECT_TRUE(find()->empty());
  EXPECT_EQ(asked.size(), 3U);
}

TEST_F(ObjectsTest, ARefusalOfAVersionIsNoReasonToAskForAnother) {
  served = {{"/apis/telemetry.istio.io/v1", ""}, {"/apis/telemetry.istio.io/v1beta1", R"({"items":[]})"}};

  const auto found = find();

  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().text, HasSubstr("403"));
}

}  // namespace
}  // namespace culvert::cli
