#include "controlplane/epochs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace culvert::controlplane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Absent, AreNodesThatShouldHaveADataPlaneAndHaveNone) {
  const auto absent = Absent::of({"n1", "n2", "n3"}, {"n1", "n3"}, {}, {"n1"}, false);

  EXPECT_THAT(absent.nodes, ElementsAre("n2", "n3"));
  EXPECT_THAT(absent.awaited, IsEmpty());
  EXPECT_THAT(absent.ready, ElementsAre("n3"));
}

TEST(Absent, OneThatLeftAMomentAgoIsAwaitedAlsoWhileNoPodOfItRuns) {
  const auto absent = Absent::of({"n1"}, {"n1"}, {"n2"}, {"n1"}, false);

  EXPECT_THAT(absent.nodes, ElementsAre("n2"));
  EXPECT_THAT(absent.awaited, ElementsAre("n2"));
}

TEST(Absent, WhoHasJustBegunAwaitsThemAll) {
  EXPECT_THAT(Absent::of({"n1", "n2"}, {}, {}, {"n1"}, true).awaited, ElementsAre("n2"));
}

// MeshConfig is told by the ConfigMap that holds it, and no other ConfigMap is anything to the mesh.
TEST(EpochsAsked, OfConfigMapsIsTheOneOfMeshConfig) {
  const config::Key mesh_config{config::Kind::kConfigMap, "mesh-system", "istio"};
  const auto ask = [&](const std::string& object) {
    http::Request request;
    request.target = "/debug/epochs?object=" + object;
    return EpochsAsked::of(request, mesh_config);
  };

  EXPECT_EQ(ask("configmap/mesh-system/istio").value().object, mesh_config);
  EXPECT_EQ(ask("cm/mesh-system/istio").value().object, mesh_config);
  for (const std::string other : {"istio-system/istio", "mesh-system/web"})
    EXPECT_EQ(
        ask("configmaps/" + other).error().text,
        "ConfigMap " + other +
            " says nothing to the mesh: of all ConfigMaps only istio in namespace mesh-system, which holds MeshConfig, can be "
            "waited for");
}

}  // namespace
}  // namespace culvert::controlplane
