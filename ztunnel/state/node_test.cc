#include "ztunnel/state/node.h"

#include <gtest/gtest.h>

#include "common/base/version.h"

namespace culvert::ztunnel {
namespace {

TEST(Node, TellsWhoWeAre) {
  Settings settings;
  settings.instance_ip = "10.0.0.9";
  settings.pod_name = "ztunnel-x";
  settings.pod_namespace = "istio-system";
  settings.node_name = "n1";

  const auto node = node_of(settings, {{"ISTIO_META_DNS_CAPTURE", "true"}, {"ISTIO_METAJSON_LABELS", "{}"}, {"HOME", "/"}});

  EXPECT_EQ(node.id, "ztunnel~10.0.0.9~ztunnel-x.istio-system~istio-system.svc.cluster.local");
  EXPECT_EQ(node.metadata.at("NODE_NAME"), "n1");
  EXPECT_EQ(node.metadata.at("DNS_CAPTURE"), "true");
  EXPECT_EQ(node.json_metadata.at("LABELS"), "{}");
  EXPECT_EQ(node.metadata.at("CULVERT_VERSION"), kVersion);
  EXPECT_FALSE(node.metadata.contains("HOME"));
}

TEST(Node, TakesHeadersFromTheEnvironment) {
  EXPECT_EQ(*extra_headers("XDS_HEADER_", {{"XDS_HEADER_X-Tenant", "a"}, {"CA_HEADER_x", "b"}}),
            (rpc::Metadata{{"x-tenant", "a"}}));
}

TEST(Node, RefusesWhatNoHeaderCanBe) {
  for (const auto& [name, value] : std::map<std::string, std::string>{{"CA_HEADER_a b", "x"},
                                                                      {"CA_HEADER_:path", "x"},
                                                                      {"CA_HEADER_grpc-x", "x"},
                                                                      {"CA_HEADER_x-bin", "x"},
                                                                      {"CA_HEADER_a", "x\n"},
                                                                      {"CA_HEADER_b", "\xc3\xa9"}}) {
    const auto headers = extra_headers("CA_HEADER_", {{name, value}});
    ASSERT_FALSE(headers) << name;
    EXPECT_TRUE(headers.error().text.starts_with(name)) << headers.error().text;
  }
}

}  // namespace
}  // namespace culvert::ztunnel
