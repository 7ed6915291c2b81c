#include "controlplane/ca/certificate_caller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/parse.h"
#include "common/tls/authority.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct CertificateCallerTest : testing::Test {
  using Time = std::chrono::system_clock::time_point;

  static std::string chain(const tls::KeyPair& pair) {
    std::string out;
    for (const tls::Certificate& one : pair.chain()) out += one.pem();
    return out;
  }
  static std::string shown(const tls::Authority& by, std::string_view identity) {
    return chain(*by.make_workload(*Identity::parse(identity), 1h));
  }
  Result<Caller> who(const std::string& pem, Time now = std::chrono::system_clock::now()) const {
    return caller_by_certificate(
        pem, *IpAddress::parse("10.0.0.7"),
        {.roots_pem = roots, .trust_domain = "cluster.local", .node_accounts = accounts, .objects = objects}, now);
  }
  std::string why(const std::string& pem, Time now = std::chrono::system_clock::now()) const {
    const auto caller = who(pem, now);
    return caller ? "proved" : caller.error().text;
  }

  const tls::Authority root = *tls::Authority::make_root("cluster.local");
  const tls::Authority other = *tls::Authority::make_root("cluster.local");
  const std::vector<std::string> accounts = {"istio-system/ztunnel"};
  std::string roots = root.certificate().pem();
  derive::Objects objects;
};

TEST_F(CertificateCallerTest, ProvesItsIdentityAndNoNode) {
  const auto caller = who(shown(root, "spiffe://cluster.local/ns/shop/sa/web"));

  ASSERT_TRUE(caller) << caller.error().text;
  EXPECT_EQ(caller->own->uri(), "spiffe://cluster.local/ns/shop/sa/web");
  EXPECT_TRUE(caller->certified);
  EXPECT_EQ(caller->node, "");
  EXPECT_EQ(caller->subscriber(), "") << "a workload gets no configuration";
  EXPECT_FALSE(caller->operates || caller->any);
}

TEST_F(CertificateCallerTest, ANodeProxyIsKnownByItsPodsNodeWhereThatCanBeTold) {
  const std::string pem = shown(root, "spiffe://cluster.local/ns/istio-system/sa/ztunnel");
  EXPECT_EQ(who(pem)->subscriber(), "spiffe://cluster.local/ns/istio-system/sa/ztunnel at 10.0.0.7");

  const std::string pod =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: z, namespace: istio-system}\n"
      "spec: {nodeName: n7, serviceAccountName: ztunnel}\nstatus: {phase: Running, podIPs: [{ip: 10.0.0.7}]}\n";
  for (const config::Parsed& parsed : config::parse_yaml("f.yaml", pod).objects)
    objects.put(config::key_of(*parsed.object), parsed.object);

  EXPECT_EQ(who(pem)->subscriber(), "n7");
  EXPECT_EQ(who(pem)->node, "") << "which proves nothing";
}

TEST_F(CertificateCallerTest, IsRefusedUnlessItChainsToTheRootsOfNow) {
  const std::string foreign = shown(other, "spiffe://cluster.local/ns/shop/sa/web");
  const auto between = root.make_intermediate("between", 1h);

  EXPECT_THAT(why(foreign), HasSubstr("the caller's certificate"));
  EXPECT_EQ(why(shown(*between, "spiffe://cluster.local/ns/shop/sa/web")), "proved");
  EXPECT_NE(why("rubbish"), "proved");
  EXPECT_NE(why(""), "proved");
  roots += other.certificate().pem();
  EXPECT_EQ(why(foreign), "proved") << "the bundle has changed";
}

TEST_F(CertificateCallerTest, IsRefusedBeforeAndAfterItsTime) {
  const std::string pem = shown(root, "spiffe://cluster.local/ns/shop/sa/web");
  const auto now = std::chrono::system_clock::now();

  EXPECT_EQ(why(pem, now + 59min), "proved");
  EXPECT_THAT(why(pem, now + 61min), HasSubstr("expired"));
  EXPECT_THAT(why(pem, now - 10min), HasSubstr("not yet valid"));
}

TEST_F(CertificateCallerTest, IsRefusedWithoutAnIdentityOfTheMesh) {
  const std::vector<std::string> names = {"culvertd.istio-system.svc"};

  EXPECT_THAT(why(shown(root, "spiffe://elsewhere/ns/shop/sa/web")), HasSubstr("trust domain"));
  EXPECT_THAT(why(chain(*root.make_server(names, {}, 1h))), HasSubstr("no identity"));
  EXPECT_THAT(why(root.certificate().pem()), HasSubstr("a CA's"));
}

}  // namespace
}  // namespace culvert::controlplane
