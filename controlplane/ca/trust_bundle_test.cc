#include "controlplane/ca/trust_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <vector>

#include "common/kube/test_line.h"
#include "common/kube/test_peer.h"

namespace culvert::controlplane {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

const std::string kRoot = tls::Authority::make_root("cluster.local")->certificate().pem();

struct TrustBundleTest : testing::Test {
  net::Loop loop;
  std::string served = "v1";
  kube::Peer peer{loop, [this](const http::Request& request) {
                    return kube::answer(request.target.contains("/certificates.k8s.io/" + served + "/") ? 200 : 404, "{}");
                  }};
  kube::Client client{loop, peer.access()};
  telemetry::Registry registry;
  TrustBundle bundle{client, kRoot, registry};

  std::vector<std::string> asked() const {
    std::vector<std::string> out;
    for (const auto& request : peer.asked) out.push_back(request.target.substr(0, request.target.find('?')));
    return out;
  }
  void until(std::size_t count) {
    loop.run([](TrustBundleTest* test, std::size_t wanted, net::Clock::time_point end) -> net::Task<> {
      while (test->peer.asked.size() < wanted && net::Clock::now() < end) co_await net::sleep_for(test->loop, 5ms);
      co_await net::sleep_for(test->loop, 50ms);
    }(this, count, net::Clock::now() + 5s));
  }
};

TEST_F(TrustBundleTest, IsTheLeadersToWrite) {
  until(0);
  EXPECT_THAT(asked(), IsEmpty());

  bundle.lead(true);
  until(1);

  EXPECT_THAT(asked(), ElementsAre("/apis/certificates.k8s.io/v1/clustertrustbundles/istio.io%3Aistiod-ca%3Aroot-cert"));
  EXPECT_THAT(registry.text(), testing::HasSubstr("culvert_trust_bundle_published 1\n"));
}

TEST_F(TrustBundleTest, WhoLosesTheLeaseWhileItWaitsForItsTurnWritesNothing) {
  kube::lose_in_line(loop, peer, client, [&](kube::Leadership leads) { bundle.lead(std::move(leads)); });
  EXPECT_THAT(asked(), IsEmpty());
}

TEST_F(TrustBundleTest, TakesTheVersionThatIsServed) {
  served = "v1beta1";
  bundle.lead(true);
  until(2);
  EXPECT_EQ(peer.asked.size(), 2U);
  EXPECT_THAT(registry.text(), testing::HasSubstr("culvert_trust_bundle_published 1\n"));
}

TEST_F(TrustBundleTest, IsDoneWithoutWhereNoneAreServed) {
  served = "none";
  bundle.lead(true);
  until(3);
  EXPECT_EQ(peer.asked.size(), 2U);
  EXPECT_THAT(registry.text(), testing::HasSubstr("culvert_trust_bundle_published 0\n"));
}

TEST_F(TrustBundleTest, OtherRootsAreWrittenAtOnce) {
  bundle.lead(true);
  until(1);
  bundle.publish(kRoot + kRoot + tls::Authority::make_root("cluster.local")->certificate().pem());
  until(2);
  ASSERT_EQ(peer.asked.size(), 2U);
  const auto sent = boost::json::parse(peer.asked[1].body).at_pointer("/spec/trustBundle").as_string();
  EXPECT_EQ(tls::Certificate::parse_all(sent)->size(), 2U) << "each once";
}

}  // namespace
}  // namespace culvert::controlplane
