#include "cli/verify/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/tls/authority.h"

namespace culvert::cli::verify {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::IsEmpty;

json::value mesh_config(const char* text) {
  return json::object{{"metadata", json::object{{"name", "istio"}, {"namespace", "istio-system"}}},
                      {"data", json::object{{"mesh", text}}}};
}

MeshSources sources(const char* text) {
  return {.trust_domain = "of.settings",
          .config = mesh_config(text),
          .namespaces = json::parse(R"([{"metadata":{"name":"istio-system"}},{"metadata":{"name":"shop","labels":{"mesh":"in"}}},
                          {"metadata":{"name":"other"}}])")
                            .as_array()};
}

TEST(VerifiedMesh, HasTheTrustDomainThatTheControlPlaneTakes) {
  MeshSources from = sources("trustDomain: of.mesh\n");
  EXPECT_EQ(mesh_of(from).trust_domain, "of.mesh");
  from.config = nullptr;
  EXPECT_EQ(mesh_of(from).trust_domain, "of.settings");

  from.config = mesh_config("trustDomain: of.mesh\n");
  from.roots_pem = tls::Authority::make_root("of.root")->certificate().pem();
  EXPECT_EQ(mesh_of(from).trust_domain, "of.root") << "it can sign for no other";
}

TEST(VerifiedMesh, LeavesOutWhatNoSelectorSelects) {
  EXPECT_THAT(mesh_of(sources("discoverySelectors: [{matchLabels: {mesh: in}}]\n")).left_out, ElementsAre("other"));
  EXPECT_THAT(mesh_of(sources("{}\n")).left_out, IsEmpty());
}

}  // namespace
}  // namespace culvert::cli::verify
