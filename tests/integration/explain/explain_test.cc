// What `culvert explain` says is what ztunnel does: 100,000 connections by chance, each planned and admitted by the code that carries connections, in
// a mesh that came over discovery, and explained in one that came from a dump.
#include "common/model/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <memory>
#include <optional>

#include "common/dump/dump.h"
#include "common/net/event.h"
#include "common/xds/codec.h"
#include "tests/integration/explain/random_mesh.h"
#include "ztunnel/inbound/door.h"

namespace culvert::test {
namespace {

using model::Plan;
using model::Route;

// Both nodes of a mesh, as ztunnel has them: a worker each, with the pods that are on it.
class Nodes {
 public:
  Nodes(net::Loop& loop, const RandomMesh& from) : loop_(loop), published_(loop) {
    for (const char* name : {"n1", "n2"}) {
      Node& node = nodes_[name];
      node.settings.node_name = name;
      ztunnel::Worker::Parts parts;
      parts.loop = &loop;
      parts.settings = &node.settings;
      parts.mesh = published_.view(loop);
      parts.ask_certificate = [](const Identity&) {};
      node.worker.emplace(std::move(parts));
    }
    model::MeshBuilder builder;
    for (const auto& service : from.services)
      builder.upsert(std::get<model::Service>(*xds::decode_address(xds::encode(service))));
    for (const auto& policy : from.policies) builder.upsert(*xds::decode_policy(xds::encode(policy)));
    for (const auto& workload : from.workloads)
      builder.upsert(std::get<model::Workload>(*xds::decode_address(xds::encode(workload))));
    mesh_ = builder.build();
    std::uint64_t cookie = 0;
    for (const auto& workload : from.workloads) {
      pods_[workload.uid] = nodes_[workload.node].worker->add_pod({.uid = workload.uid,
                                                                   .name = workload.name,
                                                                   .name_space = workload.name_space,
                                                                   .service_account = workload.service_account},
                                                                  {.fd = nullptr, .cookie = ++cookie}, {});
    }
    loop.run([](Nodes* self) -> net::Task<> {
      net::Event done(self->loop_);
      self->published_.publish(self->mesh_, [&] { done.set(); });
      co_await done.wait();
    }(this));
  }

  const model::Mesh& mesh() const { return *mesh_; }
  // May `peer` come in? As an inbound connection of ztunnel asks.
  Status admit(const model::Workload& own, const model::Peer& peer, const Endpoint& to) {
    return loop_.run(ztunnel::admit(*nodes_[own.node].worker, pods_.at(own.uid), peer, to));
  }

 private:
  struct Node {
    ztunnel::Settings settings;
    std::optional<ztunnel::Worker> worker;
  };
  net::Loop& loop_;
  net::Published<model::Mesh> published_;
  std::map<std::string, Node> nodes_;
  std::shared_ptr<const model::Mesh> mesh_;
  std::map<std::string, std::shared_ptr<ztunnel::Pod>> pods_;
};

bool same(const Plan& a, const Plan& b) {
  return a.via == b.via && a.dial == b.dial && a.upstream == b.upstream && a.target == b.target && a.expect == b.expect &&
         a.service_addressed == b.service_addressed &&
         (a.workload ? a.workload->uid : "") == (b.workload ? b.workload->uid : "") &&
         (a.service ? a.service->key() : "") == (b.service ? b.service->key() : "");
}

struct Counts {
  std::size_t connections = 0, tunnels = 0, plaintext = 0, allowed = 0, denied = 0, refused = 0, unplanned = 0, several = 0,
              unknown = 0;
};

class Case {
 public:
  Case(Nodes& nodes, const Endpoint& destination, const std::vector<Route>& routes, Counts& counts)
      : nodes_(nodes), destination_(destination), routes_(routes), counts_(counts) {}

  // The source's ztunnel, then the far end's.
  void through_ztunnel(const model::Workload& source, std::uint64_t random) {
    const auto plan = model::plan_outbound(nodes_.mesh(), source, destination_, random);
    const auto route = std::ranges::find_if(routes_, [&](const Route& one) {
      return plan ? one.plan && same(*one.plan, *plan) : !one.plan && one.plan.error().text == plan.error().text;
    });
    ASSERT_NE(route, routes_.end()) << (plan ? plan->dial.text() : plan.error().text);
    if (plan) leaves_pods_alone(source, *plan);
    if (!plan) {
      ++counts_.unplanned;
      EXPECT_EQ(route->plan.error().reason, plan.error().reason);
      EXPECT_FALSE(route->allowed());
      return;
    }
    plan->via == Plan::Via::kTunnel ? tunnel(source, *plan, *route) : plaintext(source, *plan, *route);
  }

  // The kernel takes any of them.
  void past_ztunnel(const model::Workload& source) {
    if (!nodes_.mesh().kubernetes_service_by_vip({source.network, destination_.address})) {
      ASSERT_EQ(routes_.size(), 1U);
      EXPECT_EQ(routes_.front().plan->dial, destination_) << "it knows of no ServiceEntry";
    }
    for (const Route& route : routes_)
      if (route.plan) plaintext(source, *route.plan, route);
  }

 private:
  // Whatever a ServiceEntry of another namespace claims, a pod's address leads to the pod.
  void leaves_pods_alone(const model::Workload& source, const Plan& plan) {
    const model::WorkloadRef& owner = nodes_.mesh().by_address({source.network, destination_.address});
    if (!owner || !plan.service) return;
    EXPECT_EQ(plan.service->name_space, owner->name_space) << "took the address of " << owner->uid;
  }

  void tunnel(const model::Workload& source, const Plan& plan, const Route& route) {
    ++counts_.tunnels;
    const model::WorkloadRef& far = nodes_.mesh().workload(plan.workload->uid);
    if (far->trust_domain != source.trust_domain) {  // the handshake's business
      EXPECT_EQ(route.refused.reason, Reason::kTlsFailure);
      return;
    }
    const auto inbound = model::plan_inbound(nodes_.mesh(), *far, plan.dial.address, plan.target,
                                             plan.service && plan.service_addressed ? plan.service->hostname : "");
    if (!inbound) {
      ++counts_.refused;
      EXPECT_EQ(route.refused.reason, inbound.error().reason);
      EXPECT_EQ(route.text(), inbound.error().text);
      return;
    }
    if (far->native_tunnel) {
      EXPECT_FALSE(route.verdict) << "no ztunnel is asked";
      return;
    }
    EXPECT_EQ(route.arrives, inbound->upstream);
    judged(*far, {source.identity(), address_of(source, plan.dial.address)}, inbound->upstream, route);
  }

  void plaintext(const model::Workload& source, const Plan& plan, const Route& route) {
    ++counts_.plaintext;
    const model::WorkloadRef& far = nodes_.mesh().by_address({source.network, plan.dial.address});
    if (!far || far->protocol != model::TunnelProtocol::kHbone || far->native_tunnel) {
      EXPECT_FALSE(route.verdict) << "no ztunnel is asked";
      return;
    }
    if (model::is_illegal_port(plan.dial.port)) {
      EXPECT_EQ(route.refused.reason, Reason::kIllegalPort);
      return;
    }
    judged(*far, {std::nullopt, address_of(source, plan.dial.address)}, plan.dial, route);
  }

  void judged(const model::Workload& far, const model::Peer& peer, const Endpoint& to, const Route& route) {
    ASSERT_TRUE(route.verdict);
    // ztunnel holds such a connection for a second: a few are enough to see that it then denies it.
    if (model::admit(nodes_.mesh(), far, peer, to).reason == Reason::kPolicyUnknown && ++counts_.unknown > 3) {
      EXPECT_EQ(route.verdict->reason, Reason::kPolicyUnknown);
      return;
    }
    const Status admitted = nodes_.admit(far, peer, to);
    EXPECT_EQ(route.allowed(), admitted.has_value()) << route.text();
    if (admitted) {
      ++counts_.allowed;
    } else {
      ++counts_.denied;
      EXPECT_EQ(route.verdict->reason, admitted.error().reason);
      EXPECT_EQ(route.text(), admitted.error().text) << "the same policy, the same rule";
    }
  }

  static IpAddress address_of(const model::Workload& source, const IpAddress& to) {
    for (const IpAddress& address : source.addresses)
      if (address.is_v4() == to.is_v4()) return address;
    return {};
  }

  Nodes& nodes_;
  const Endpoint& destination_;
  const std::vector<Route>& routes_;
  Counts& counts_;
};

TEST(Explain, SaysOfAHundredThousandConnectionsWhatZtunnelDoes) {
  constexpr std::size_t kMeshes = 500, kConnections = 200;
  net::Loop loop;
  Counts counts;
  for (std::size_t seed = 0; seed < kMeshes && !HasFailure(); ++seed) {
    Chance chance(seed);
    const RandomMesh mesh = make_mesh(chance);
    Nodes nodes(loop, mesh);
    const auto known = dump::read(boost::json::serialize(dump::write(nodes.mesh())));
    ASSERT_TRUE(known) << known.error().text;
    for (std::size_t i = 0; i < kConnections && !HasFailure(); ++i) {
      const model::Workload& source = chance.of(mesh.workloads);
      const Endpoint destination = make_destination(chance, mesh);
      const auto routes = model::explain(**known, *(*known)->workload(source.uid), destination);
      ASSERT_FALSE(routes.empty());
      SCOPED_TRACE(source.uid + " to " + destination.text() + ", mesh " + std::to_string(seed));
      ++counts.connections;
      counts.several += routes.size() > 1;
      Case one(nodes, destination, routes, counts);
      if (source.protocol == model::TunnelProtocol::kHbone) one.through_ztunnel(source, chance.next());
      else one.past_ztunnel(source);
    }
  }
  EXPECT_EQ(counts.connections, kMeshes * kConnections);
  for (const std::size_t seen :
       {counts.tunnels, counts.plaintext, counts.allowed, counts.denied, counts.unplanned, counts.several})
    EXPECT_GT(seen, 5000U);
  EXPECT_GT(counts.refused, 100U);
  EXPECT_GT(counts.unknown, 100U);
}

// No route is made up: chance takes each of them.
TEST(Explain, EveryRouteIsOneThatChanceTakes) {
  for (std::size_t seed = 0; seed < 300; ++seed) {
    Chance chance(seed);
    const RandomMesh mesh = make_mesh(chance);
    model::MeshBuilder builder;
    for (const auto& service : mesh.services) builder.upsert(service);
    for (const auto& workload : mesh.workloads) builder.upsert(workload);
    const model::Workload& source = mesh.workloads.front();
    const Endpoint destination{mesh.services.front().vips.front().range.address, 80};
    const auto plans = model::plans_outbound(builder.current(), source, destination);
    std::vector<bool> taken(plans.size());
    for (int tries = 0; tries < 2000 && std::ranges::contains(taken, false); ++tries) {
      const auto plan = model::plan_outbound(builder.current(), source, destination, chance.next());
      bool found = false;
      for (std::size_t i = 0; i < plans.size(); ++i) {
        const bool it =
            plan && plans[i] ? same(*plan, *plans[i]) : !plan && !plans[i] && plan.error().text == plans[i].error().text;
        if (it) found = taken[i] = true;
      }
      ASSERT_TRUE(found) << "mesh " << seed;
    }
    EXPECT_THAT(taken, testing::Not(testing::Contains(false))) << "mesh " << seed;
  }
}

}  // namespace
}  // namespace culvert::test
