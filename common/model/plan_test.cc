#include "common/model/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/model/test_addresses.h"

namespace culvert::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Via = Plan::Via;

// client 10.0.0.1; server 10.0.0.2 behind server.ns.svc (10.96.0.1:80 -> 8080); plain 10.0.0.3 without HBONE.
struct World {
  MeshBuilder builder;
  Workload client = pod("client", "10.0.0.1");
  Workload server = pod("server", "10.0.0.2");
  Workload plain = pod("plain", "10.0.0.3");
  Service service;

  static Workload pod(std::string_view name, std::string_view address) {
    Workload workload;
    workload.uid = "c1//Pod/ns/" + std::string(name);
    workload.name = workload.service_account = name;
    workload.name_space = "ns";
    workload.protocol = TunnelProtocol::kHbone;
    workload.addresses = {ip(address)};
    return workload;
  }
  World() {
    server.services["ns/server.ns.svc"] = {};
    plain.protocol = TunnelProtocol::kNone;
    service.name = "server", service.name_space = "ns", service.hostname = "server.ns.svc";
    service.vips = {{"", Cidr::parse("10.96.0.1").value()}};
    service.ports = {{80, 8080}};
  }
  const Mesh& mesh() {
    for (const Workload& workload : {client, server, plain}) builder.upsert(workload);
    builder.upsert(service);
    return builder.current();
  }
  Result<Plan> out(std::string_view destination) { return plan_outbound(mesh(), client, to(destination), 0); }
  Result<InboundPlan> in(std::string_view authority, std::string_view forwarded_host = {}) {
    return plan_inbound(mesh(), server, ip("10.0.0.2"), Authority::parse(authority).value(), forwarded_host);
  }
};

TEST(PlanOutbound, AServiceIsReachedThroughATunnelToOneOfItsEndpoints) {
  World world;
  world.service.subject_alt_names = {"spiffe://cluster.local/ns/a/sa/alias", "not-spiffe.example.com"};

  const auto plan = world.out("10.96.0.1:80");

  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_EQ(plan->via, Via::kTunnel);
  EXPECT_EQ(plan->dial, to("10.0.0.2:15008"));
  EXPECT_EQ(plan->target.text(), "10.0.0.2:8080");
  EXPECT_EQ(plan->upstream, to("10.0.0.2:8080"));
  EXPECT_THAT(plan->expect, ElementsAre(Identity{"cluster.local", "a", "alias"}, Identity{"cluster.local", "ns", "server"}));
  EXPECT_EQ(plan->workload->name, "server");
  EXPECT_EQ(plan->service->hostname, "server.ns.svc");
  EXPECT_TRUE(plan->service_addressed);
}

TEST(PlanOutbound, APodAddressIsReachedThroughATunnelWithItsOwnPort) {
  World world;
  world.service.subject_alt_names = {"spiffe://cluster.local/ns/a/sa/alias"};

  const auto plan = world.out("10.0.0.2:8080");

  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->dial, to("10.0.0.2:15008"));
  EXPECT_EQ(plan->target.text(), "10.0.0.2:8080");
  EXPECT_THAT(plan->expect,
              ElementsAre(Identity{"cluster.local", "ns", "server"}));  // a service's names count only when it was addressed
  EXPECT_EQ(plan->service, nullptr);  // the far end guesses by the port; here nobody asked for one
  EXPECT_FALSE(plan->service_addressed);
}

TEST(PlanOutbound, AWorkloadWithoutHboneIsReachedInPlaintext) {
  World world;

  const auto plan = world.out("10.0.0.3:9000");

  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->via, Via::kPlaintext);
  EXPECT_EQ(plan->dial, to("10.0.0.3:9000"));
  EXPECT_TRUE(plan->expect.empty());
  EXPECT_EQ(plan->workload->name, "plain");
}

TEST(PlanOutbound, AnUnknownDestinationIsPassedThrough) {
  World world;

  for (const char* destination : {"1.1.1.1:443", "[fd00::9]:443", "10.96.0.2:80"}) {
    const auto plan = world.out(destination);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->via, Via::kPlaintext);
    EXPECT_EQ(plan->dial, to(destination));
    EXPECT_EQ(plan->workload, nullptr);
    EXPECT_EQ(plan->service, nullptr);
  }
}

TEST(PlanOutbound, RefusesZtunnelsPortsOnLoopbackOnly) {
  World world;
  for (const char* destination : {"127.0.0.1:15001", "127.1.2.3:15006", "[::1]:15008", "[::1]:15053"}) {
    EXPECT_EQ(world.out(destination).error().reason, Reason::kIllegalPort) << destination;
  }
  EXPECT_TRUE(world.out("127.0.0.1:15020"));
  EXPECT_TRUE(world.out("1.1.1.1:15001"));
}

TEST(PlanOutbound, AServiceWithoutHealthyEndpointNeverPassesThrough) {
  World world;
  world.server.health = Health::kUnhealthy;
  EXPECT_EQ(world.out("10.96.0.1:80").error().reason, Reason::kNoEndpoint);
  EXPECT_TRUE(world.out("10.0.0.2:8080"));  // addressed by itself it is tried all the same

  world.server.services.clear();
  EXPECT_EQ(world.out("10.96.0.1:80").error().reason, Reason::kNoEndpoint);
  EXPECT_EQ(world.out("10.96.0.1:81").error().reason, Reason::kNoService);
}

TEST(PlanOutbound, APassthroughServiceGoesWhereItWasGoing) {
  World world;
  world.service.load_balancing = LoadBalancing{.mode = LoadBalancing::Mode::kPassthrough};

  const auto plan = world.out("10.96.0.1:4711");

  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->via, Via::kPlaintext);
  EXPECT_EQ(plan->dial, to("10.96.0.1:4711"));
  EXPECT_EQ(plan->service->hostname, "server.ns.svc");
}

const GatewayAddress kWaypoint{ServiceName{"ns", "waypoint.ns.svc"}, 15008};

TEST(PlanOutbound, AWaypointIsNotYetAndNeverBypassed) {
  World by_service;
  by_service.service.waypoint = kWaypoint;
  const auto refused = by_service.out("10.96.0.1:80");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, Reason::kNotYet);
  EXPECT_EQ(refused.error().text,
            "service ns/server.ns.svc is reached through the waypoint ns/waypoint.ns.svc:15008 (not supported yet)");
  EXPECT_TRUE(by_service.out("10.0.0.2:8080"));  // the service's waypoint is not the pod's

  World weighted;
  weighted.service.weighted_waypoints = {{kWaypoint, 1}};
  EXPECT_EQ(weighted.out("10.96.0.1:80").error().reason, Reason::kNotYet);
  weighted.service.weighted_waypoints = {{kWaypoint, 0}};
  EXPECT_TRUE(weighted.out("10.96.0.1:80"));

  World by_workload;
  by_workload.server.waypoint = kWaypoint;
  EXPECT_EQ(by_workload.out("10.0.0.2:8080").error().reason, Reason::kNotYet);
  EXPECT_TRUE(by_workload.out("10.96.0.1:80"));  // service traffic ignores the workload's waypoint

  World plaintext;
  plaintext.plain.waypoint = kWaypoint;
  EXPECT_EQ(plaintext.out("10.0.0.3:80").error().reason, Reason::kNotYet);

  World passthrough;
  passthrough.service.waypoint = kWaypoint;
  passthrough.service.load_balancing = LoadBalancing{.mode = LoadBalancing::Mode::kPassthrough};
  EXPECT_EQ(passthrough.out("10.96.0.1:80").error().reason, Reason::kNotYet);
}

TEST(PlanOutbound, TheWaypointItselfReachesItsWorkloadsDirectly) {
  World world;
  world.server.waypoint = kWaypoint;
  Service waypoint;
  waypoint.name_space = "ns", waypoint.hostname = "waypoint.ns.svc";
  world.builder.upsert(waypoint);
  world.client.services["ns/waypoint.ns.svc"] = {};
  EXPECT_TRUE(world.out("10.0.0.2:8080"));

  world.client.services.clear();
  EXPECT_FALSE(world.out("10.0.0.2:8080"));

  world.server.waypoint = GatewayAddress{NetworkAddress{"", ip("10.0.0.1")}, 15008};
  EXPECT_TRUE(world.out("10.0.0.2:8080"));
}

TEST(PlanOutbound, AnotherNetworkIsNotYet) {
  World world;
  world.server.network = "net2";
  EXPECT_EQ(world.out("10.96.0.1:80").error().reason, Reason::kNotYet);

  world.server.network = "";
  world.server.addresses.clear();
  world.server.hostname = "db.example.com";
  const auto by_name = world.out("10.96.0.1:80");
  ASSERT_FALSE(by_name);
  EXPECT_EQ(by_name.error().reason, Reason::kNotYet);
  EXPECT_THAT(by_name.error().text, HasSubstr("db.example.com"));
}

TEST(PlanOutbound, AnEndpointThatSomebodyWroteDownIsNeverOurOwnListener) {
  for (const TunnelProtocol protocol : {TunnelProtocol::kNone, TunnelProtocol::kHbone}) {
    World world;
    world.server.addresses = {ip("127.0.0.1")};
    world.server.protocol = protocol;
    world.server.services["ns/server.ns.svc"] = {{80, 15001}};

    const auto plan = world.out("10.96.0.1:80");

    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().reason, Reason::kIllegalPort);
  }
  World plain;
  plain.server.addresses = {ip("127.0.0.1")};
  plain.server.protocol = TunnelProtocol::kNone;
  EXPECT_TRUE(plain.out("10.96.0.1:80")) << "what an application listens on is its own affair";
}

// A service of a ServiceEntry, as it is derived: with a range, a wildcard, endpoints that are names.
TEST(PlanOutbound, AServiceEntryIsReachedOrRefusedAndNeverPassedBy) {
  World world;
  world.service.name = "ext", world.service.hostname = "*.example.com";
  world.service.vips = {{"", Cidr::parse("240.240.0.7").value()}};
  world.service.ports = {{443, 443}};
  world.server.services = {{"ns/*.example.com", {{443, 443}}}};
  world.server.addresses.clear();
  world.server.hostname = "*.example.com";

  EXPECT_EQ(world.out("240.240.0.7:443").error().reason, Reason::kNotYet) << "known by its name alone";
  EXPECT_EQ(world.out("240.240.0.7:80").error().reason, Reason::kNoService) << "a port that it does not have";

  world.server.services.clear();
  EXPECT_EQ(world.out("240.240.0.7:443").error().reason, Reason::kNoEndpoint);

  world.service.waypoint = kWaypoint;
  world.service.vips = {{"", Cidr::parse("192.0.2.0/24").value()}};
  world.service.load_balancing = LoadBalancing{.mode = LoadBalancing::Mode::kPassthrough};
  EXPECT_EQ(world.out("192.0.2.9:443").error().reason, Reason::kNotYet) << "NONE passes through, but not past a waypoint";

  world.service.waypoint.reset();
  const auto through = world.out("192.0.2.9:443");
  ASSERT_TRUE(through);
  EXPECT_EQ(through->via, Plan::Via::kPlaintext);
  EXPECT_EQ(through->dial, to("192.0.2.9:443"));
}

TEST(PlanOutbound, APodIsReachedByItsAddressWhateverEntriesOfOthersSay) {
  for (const char* claim : {"10.0.0.3", "10.0.0.0/8", "0.0.0.0/0"}) {
    World world;
    world.server.name_space = world.service.name_space = "evil";
    world.server.services = {{"evil/server.ns.svc", {}}};
    world.service.vips = {{"", Cidr::parse(claim).value()}};
    world.service.ports = {{9000, 8080}};

    const auto plan = world.out("10.0.0.3:9000");

    ASSERT_TRUE(plan) << claim;
    EXPECT_EQ(plan->workload->name, "plain") << claim;
    EXPECT_EQ(plan->dial, to("10.0.0.3:9000"));
    const auto plans = plans_outbound(world.mesh(), world.client, to("10.0.0.3:9000"));
    ASSERT_EQ(plans.size(), 1U);
    EXPECT_EQ(plans[0]->dial, to("10.0.0.3:9000"));
  }
}

TEST(PlanOutbound, LooksAddressesUpInTheSourcesNetwork) {
  World world;
  world.client.network = "net2";

  const auto plan = world.out("10.0.0.2:8080");

  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->via, Via::kPlaintext);
  EXPECT_EQ(plan->workload, nullptr);
}

TEST(PlanInbound, GoesToTheTunnelsOwnAddressWithTheAuthoritysPort) {
  World world;

  const auto plan = world.in("10.0.0.2:8080");

  ASSERT_TRUE(plan) << plan.error().text;
  EXPECT_EQ(plan->upstream, to("10.0.0.2:8080"));
  EXPECT_EQ(plan->service->hostname, "server.ns.svc");
  EXPECT_EQ(world.in("10.0.0.2:9")->service, nullptr);
}

TEST(PlanInbound, RefusesAnAddressThatIsNotItsOwn) {
  World world;
  for (const char* authority : {"10.0.0.3:8080", "1.1.1.1:80", "10.96.0.1:80", "[fd00::1]:80"}) {
    EXPECT_EQ(world.in(authority).error().reason, Reason::kBadRequest) << authority;
  }
}

TEST(PlanInbound, AWaypointTakesWhatIsServedThroughIt) {
  World world;
  Service waypoint;
  waypoint.name_space = "ns", waypoint.hostname = "waypoint.ns.svc";
  world.builder.upsert(waypoint);
  world.server.services["ns/waypoint.ns.svc"] = {};
  EXPECT_FALSE(world.in("10.96.0.1:80"));
  world.service.waypoint = kWaypoint;
  EXPECT_EQ(world.in("10.96.0.1:80")->upstream, to("10.0.0.2:80"));

  EXPECT_FALSE(world.in("10.0.0.3:80"));
  world.plain.waypoint = kWaypoint;
  EXPECT_TRUE(world.in("10.0.0.3:80"));
  world.plain.waypoint = GatewayAddress{NetworkAddress{"", ip("10.0.0.2")}, 15008};
  EXPECT_TRUE(world.in("10.0.0.3:80"));
  world.plain.waypoint = GatewayAddress{NetworkAddress{"", ip("10.0.0.1")}, 15008};
  EXPECT_FALSE(world.in("10.0.0.3:80"));
}

TEST(PlanInbound, AHostnamesPortIsTheServices) {
  World world;
  EXPECT_EQ(world.in("server.ns.svc:80")->upstream, to("10.0.0.2:8080"));
  EXPECT_EQ(world.in("server.ns.svc:80")->service->hostname, "server.ns.svc");
  EXPECT_EQ(world.in("server.ns.svc:81").error().reason, Reason::kNoService);
  EXPECT_EQ(world.in("unknown.ns.svc:80").error().reason, Reason::kNoService);

  world.server.services["ns/server.ns.svc"] = {{80, 9090}};
  EXPECT_EQ(world.in("server.ns.svc:80")->upstream, to("10.0.0.2:9090"));
  world.service.ports = {{80, 0}};
  EXPECT_EQ(world.in("server.ns.svc:80")->upstream, to("10.0.0.2:9090"));
  world.server.services["ns/server.ns.svc"] = {};
  EXPECT_EQ(world.in("server.ns.svc:80").error().reason, Reason::kNoService);
}

TEST(PlanInbound, RefusesZtunnelsOwnPorts) {
  World world;
  for (const char* authority : {"10.0.0.2:15001", "10.0.0.2:15006", "10.0.0.2:15008", "10.0.0.2:15053"}) {
    EXPECT_EQ(world.in(authority).error().reason, Reason::kIllegalPort);
  }
}

TEST(PlanInbound, AnApplicationTunnelTakesAnyAddressAndMayChangeThePort) {
  World world;
  world.server.application_tunnel = ApplicationTunnel{};
  EXPECT_EQ(world.in("1.1.1.1:80")->upstream, to("10.0.0.2:80"));
  world.server.application_tunnel->port = 15088;
  EXPECT_EQ(world.in("1.1.1.1:80")->upstream, to("10.0.0.2:15088"));
  world.server.application_tunnel->protocol = ApplicationTunnel::Protocol::kProxy;
  EXPECT_EQ(world.in("1.1.1.1:80").error().reason, Reason::kNotYet);
}

TEST(PlanInbound, TheForwardedHostChoosesAmongTheWorkloadsServices) {
  World world;
  Service other;
  other.name_space = "ns", other.hostname = "other.ns.svc", other.ports = {{80, 8080}};
  world.builder.upsert(other);
  world.server.services["ns/other.ns.svc"] = {};

  EXPECT_EQ(world.in("10.0.0.2:8080", "server.ns.svc")->service->hostname, "server.ns.svc");
  EXPECT_EQ(world.in("10.0.0.2:8080", "elsewhere.ns.svc")->service->hostname, "other.ns.svc");
  EXPECT_EQ(world.in("10.0.0.2:8080")->service->hostname, "other.ns.svc");
}

TEST(Authority, ReadsAddressesAndHostnames) {
  for (const char* text : {"10.0.0.1:80", "[fd00::1]:65535", "a.b-c.svc:1", "name:80"}) {
    const auto authority = Authority::parse(text);
    ASSERT_TRUE(authority) << text;
    EXPECT_EQ(authority->text(), text);
  }
  EXPECT_TRUE(Authority::parse("10.0.0.1:80")->hostname.empty());
}

TEST(Authority, RefusesEverythingElse) {
  for (const char* text : {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "fd00::1", "name", "name:", ":80",
                           "name:x", "name:80x", "na me:80", "http://name:80", "[fd00::1]", "[::1]:0", "name:-1", "name: 80"}) {
    const auto authority = Authority::parse(text);
    ASSERT_FALSE(authority) << text;
    EXPECT_EQ(authority.error().reason, Reason::kBadRequest);
  }
}

}  // namespace
}  // namespace culvert::model
