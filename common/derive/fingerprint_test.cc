#include "common/derive/fingerprint.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <vector>

namespace culvert::derive {
namespace {

using model::Workload;

TEST(Fingerprint, OfEqualOnesIsEqual) {
  const Workload one{.uid = "a", .name = "b", .services = {{"shop/web", {{80, 8080}}}}};
  const Workload other = one;

  EXPECT_EQ(fingerprint(one), fingerprint(other));
}

TEST(Fingerprint, DiffersWithEachField) {
  const std::vector<std::function<void(Workload&)>> changes = {
      [](Workload& w) { w.uid = "x"; },
      [](Workload& w) { w.name = "x"; },
      [](Workload& w) { w.name_space = "x"; },
      [](Workload& w) { w.addresses = {IpAddress::v4(1)}; },
      [](Workload& w) { w.addresses = {IpAddress::v4(1), IpAddress::v4(2)}; },
      [](Workload& w) { w.hostname = "x"; },
      [](Workload& w) { w.network = "x"; },
      [](Workload& w) { w.network_mode = model::NetworkMode::kHostNetwork; },
      [](Workload& w) { w.protocol = model::TunnelProtocol::kHbone; },
      [](Workload& w) { w.native_tunnel = true; },
      [](Workload& w) { w.trust_domain = "x"; },
      [](Workload& w) { w.service_account = "x"; },
      [](Workload& w) { w.node = "x"; },
      [](Workload& w) { w.cluster_id = "x"; },
      [](Workload& w) { w.canonical_name = "x"; },
      [](Workload& w) { w.canonical_revision = "x"; },
      [](Workload& w) { w.type = model::WorkloadType::kJob; },
      [](Workload& w) { w.workload_name = "x"; },
      [](Workload& w) { w.locality.region = "x"; },
      [](Workload& w) { w.locality.zone = "x"; },
      [](Workload& w) { w.locality.subzone = "x"; },
      [](Workload& w) { w.health = model::Health::kUnhealthy; },
      [](Workload& w) { w.capacity = 2; },
      [](Workload& w) { w.waypoint = {model::ServiceName{"n", "h"}, 15008}; },
      [](Workload& w) { w.waypoint = {model::ServiceName{"n", "h"}, 15009}; },
      [](Workload& w) { w.waypoint = {model::NetworkAddress{"n", IpAddress::v4(1)}, 15008}; },
      [](Workload& w) { w.network_gateway = {model::ServiceName{"n", "h"}, 15008}; },
      [](Workload& w) { w.application_tunnel.emplace(); },
      [](Workload& w) { w.application_tunnel = {model::ApplicationTunnel::Protocol::kProxy, 1}; },
      [](Workload& w) { w.services["a/b"]; },
      [](Workload& w) { w.services["a/b"] = {{80, 80}}; },
      [](Workload& w) { w.services["a/b"] = {{80, 81}}; },
      [](Workload& w) { w.policies = {"a/b"}; },
      [](Workload& w) { w.policies = {"a", "b"}; },
  };
  std::set<std::uint64_t> seen = {fingerprint(Workload())};
  for (const auto& change : changes) {
    Workload workload;
    change(workload);
    EXPECT_TRUE(seen.insert(fingerprint(workload)).second) << "change " << &change - changes.data();
  }
}

}  // namespace
}  // namespace culvert::derive
