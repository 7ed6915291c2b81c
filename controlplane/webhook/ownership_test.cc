#include "controlplane/webhook/ownership.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "common/config/parse.h"

namespace culvert::controlplane {
namespace {

derive::Objects a_cluster() {
  derive::Objects objects;
  for (
      const char* text :
      {R"({"apiVersion":"gateway.networking.k8s.io/v1","kind":"GatewayClass","metadata":{"name":"mine"},"spec":{"controllerName":"culvert.dev/gateway-controller"}})",
       R"({"apiVersion":"gateway.networking.k8s.io/v1","kind":"GatewayClass","metadata":{"name":"theirs"},"spec":{"controllerName":"example.com/gateways"}})",
       R"({"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway","metadata":{"name":"in","namespace":"shop"},"spec":{"gatewayClassName":"mine","listeners":[{"name":"http","port":80,"protocol":"HTTP"}]}})",
       R"({"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway","metadata":{"name":"other","namespace":"shop"},"spec":{"gatewayClassName":"theirs","listeners":[{"name":"http","port":80,"protocol":"HTTP"}]}})"}) {
    const config::ParsedFile file = config::parse_json("kubernetes", text);
    EXPECT_TRUE(file.broken.empty()) << text;
    for (const config::Parsed& parsed : file.objects) objects.put(config::key_of(*parsed.object), parsed.object);
  }
  return objects;
}

bool ours(const std::string& kind, const std::string& spec, bool alone = false,
          const std::string& group = "gateway.networking.k8s.io") {
  static const derive::Objects kCluster = a_cluster();
  const boost::json::value object = boost::json::parse(R"({"apiVersion":")" + group + R"(/v1","kind":")" + kind +
                                                       R"(","metadata":{"name":"x","namespace":"shop"},"spec":)" + spec + "}");
  return concerns_us(object.as_object(), alone ? nullptr : &kCluster);
}

TEST(Ownership, EveryKindOfIstioIsOurs) { EXPECT_TRUE(ours("AuthorizationPolicy", "{}", false, "security.istio.io")); }

TEST(Ownership, AGatewayIsWhoseClassItIs) {
  EXPECT_TRUE(ours("Gateway", R"({"gatewayClassName":"mine"})"));
  EXPECT_FALSE(ours("Gateway", R"({"gatewayClassName":"mine"})", true));
  EXPECT_TRUE(ours("Gateway", R"({"gatewayClassName":"istio-waypoint"})", true));
  EXPECT_FALSE(ours("Gateway", R"({"gatewayClassName":"theirs"})"));
  EXPECT_FALSE(ours("Gateway", R"({"gatewayClassName":7})"));
  EXPECT_TRUE(ours("GatewayClass", R"({"controllerName":"culvert.dev/mesh-controller"})"));
  EXPECT_FALSE(ours("GatewayClass", R"({"controllerName":"example.com/gateways"})"));
}

TEST(Ownership, ARouteIsOursWhenOneOfItsParentsIs) {
  EXPECT_TRUE(ours("HTTPRoute", R"({"parentRefs":[{"name":"other"},{"name":"in"}]})"));
  EXPECT_TRUE(ours("GRPCRoute", R"({"parentRefs":[{"name":"in","namespace":"shop","kind":"Gateway"}]})"));
  EXPECT_TRUE(ours("HTTPRoute", R"({"parentRefs":[{"kind":"Service","group":"","name":"web"}]})", true));
  EXPECT_FALSE(ours("HTTPRoute", R"({"parentRefs":[{"name":"other"}]})"));
  EXPECT_FALSE(ours("HTTPRoute", R"({"parentRefs":[{"name":"in","namespace":"elsewhere"}]})"));
  EXPECT_FALSE(ours("HTTPRoute", R"({"parentRefs":"in"})"));
  EXPECT_FALSE(ours("HTTPRoute", "[]"));
  EXPECT_TRUE(ours("ListenerSet", R"({"parentRef":{"name":"in"}})"));
  EXPECT_FALSE(ours("ReferenceGrant", R"({"from":[],"to":[]})"));
}

}  // namespace
}  // namespace culvert::controlplane
