#include "cli/bug_report/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::cli {
namespace {

using testing::ElementsAre;

TEST(ClusterPieces, AskForEachVersionOfAKindThatItIsReadIn) {
  const auto pieces = cluster_pieces("istio-system");

  const auto versions_of = [&](const std::string& file) {
    for (const Piece& piece : pieces)
      if (piece.file == file) return piece.versions;
    return std::vector<std::string>();
  };
  EXPECT_THAT(versions_of("cluster/virtualservices.networking.istio.io.json"), ElementsAre("v1", "v1beta1", "v1alpha3"));
  EXPECT_THAT(versions_of("cluster/pods.json"), ElementsAre("v1"));
}

}  // namespace
}  // namespace culvert::cli
