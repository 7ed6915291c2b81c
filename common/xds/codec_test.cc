#include "common/xds/codec.h"

#include <gtest/gtest.h>

#include <functional>

#include "proto/authorization.pb.h"
#include "proto/workload.pb.h"

namespace culvert::xds {
namespace {

namespace wire = istio::workload;
namespace security = istio::security;
using model::GatewayAddress;
using model::NetworkAddress;
using model::ServiceName;

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

model::Workload full_workload() {
  model::Workload w;
  w.uid = "c1//Pod/ns/a", w.name = "a", w.name_space = "ns", w.hostname = "a.example.com", w.network = "net1";
  w.addresses = {ip("10.0.0.1"), ip("fd00::1")};
  w.network_mode = model::NetworkMode::kHostNetwork;
  w.protocol = model::TunnelProtocol::kHbone;
  w.native_tunnel = true;
  w.trust_domain = "td", w.service_account = "sa", w.node = "n1", w.cluster_id = "c1";
  w.canonical_name = "app", w.canonical_revision = "v1", w.type = model::WorkloadType::kJob, w.workload_name = "dep";
  w.locality = {"r", "z", "s"};
  w.health = model::Health::kUnhealthy;
  w.capacity = 7;
  w.waypoint = GatewayAddress{ServiceName{"ns", "wp"}, 15008};
  w.network_gateway = GatewayAddress{NetworkAddress{"net1", ip("1.2.3.4")}, 15009};
  w.application_tunnel = model::ApplicationTunnel{model::ApplicationTunnel::Protocol::kProxy, 15088};
  w.services = {{"ns/a", {{80, 8080}, {90, 0}}}, {"ns/b", {}}};
  w.policies = {"ns/p", "root/q"};
  return w;
}

model::Service full_service() {
  model::Service s;
  s.name = "s", s.name_space = "ns", s.hostname = "s.ns.svc.cluster.local";
  s.vips = {
      {"net1", Cidr::parse("10.96.0.1").value()}, {"", Cidr::parse("240.0.0.0/8").value()}, {"", Cidr::parse("fd00::1").value()}};
  s.ports = {{80, 8080, model::AppProtocol::kHttp2}, {90, 0, model::AppProtocol::kTls}};
  s.subject_alt_names = {"spiffe://td/ns/a/sa/b"};
  s.waypoint = GatewayAddress{ServiceName{"ns", "wp"}, 15008};
  s.weighted_waypoints = {{GatewayAddress{ServiceName{"ns", "wp2"}, 15008}, 3}};
  s.load_balancing = model::LoadBalancing{{model::LoadBalancing::Scope::kNetwork, model::LoadBalancing::Scope::kNode},
                                          model::LoadBalancing::Mode::kFailover,
                                          model::LoadBalancing::HealthPolicy::kAllowAll};
  s.ip_families = model::IpFamilies::kDual;
  s.canonical = s.ingress_use_waypoint = true;
  s.visibility = model::Visibility::kNamespace;
  return s;
}

model::Policy full_policy() {
  using model::StringMatch;
  model::Match match{.namespaces = {StringMatch::parse("a")},
                     .not_namespaces = {StringMatch::parse("b*")},
                     .principals = {StringMatch::parse("*c")},
                     .not_principals = {StringMatch::parse("*")},
                     .service_accounts = {{"ns", "sa"}},
                     .not_service_accounts = {{"ns", "sb"}},
                     .source_ips = {Cidr::parse("10.0.0.0/8").value()},
                     .not_source_ips = {Cidr::parse("fd00::/8").value()},
                     .destination_ips = {Cidr::parse("10.0.0.1").value()},
                     .not_destination_ips = {Cidr::parse("0.0.0.0/0").value()},
                     .destination_ports = {80, 443},
                     .not_destination_ports = {22}};
  return {.name = "p",
          .name_space = "ns",
          .scope = model::Policy::Scope::kWorkloadSelector,
          .action = model::Policy::Action::kDeny,
          .rules = {{{{{match, {}}}, {}}}, {}},
          .dry_run = true};
}

TEST(Codec, EveryFieldSurvivesTheWay) {
  const auto workload = decode_address(encode(full_workload()));
  ASSERT_TRUE(workload) << workload.error().text;
  EXPECT_EQ(std::get<model::Workload>(*workload), full_workload());
  EXPECT_EQ(key(*workload), "c1//Pod/ns/a");

  const auto service = decode_address(encode(full_service()));
  ASSERT_TRUE(service) << service.error().text;
  EXPECT_EQ(std::get<model::Service>(*service), full_service());
  EXPECT_EQ(key(*service), "ns/s.ns.svc.cluster.local");

  const auto policy = decode_policy(encode(full_policy()));
  ASSERT_TRUE(policy) << policy.error().text;
  EXPECT_EQ(*policy, full_policy());
}

TEST(Codec, TheWireHasIstiosNumbers) {
  wire::Address address;
  wire::Workload workload;
  ASSERT_TRUE(address.ParseFromString(encode(full_workload())));
  ASSERT_TRUE(workload.ParseFromString(encode_as_workload(full_workload())));
  EXPECT_EQ(address.workload().SerializeAsString().size(), workload.SerializeAsString().size());
  const auto number = [](const char* name) { return wire::Workload::descriptor()->FindFieldByName(name)->number(); };
  EXPECT_EQ(number("uid"), 20);
  EXPECT_EQ(number("services"), 22);
  EXPECT_EQ(number("capacity"), 27);
  EXPECT_EQ(security::Clause::descriptor()->FindFieldByName("matches")->number(), 2);
  EXPECT_EQ(wire::Service::descriptor()->FindFieldByName("visibility")->number(), 14);
  EXPECT_EQ(wire::Address::descriptor()->full_name(), "istio.workload.Address");
  EXPECT_EQ(security::Authorization::descriptor()->full_name(), "istio.security.Authorization");
}

TEST(Codec, MissingTextsHaveIstiosDefaults) {
  wire::Address in;
  in.mutable_workload()->set_uid("u");

  const auto workload = std::get<model::Workload>(decode_address(in.SerializeAsString()).value());

  EXPECT_EQ(workload.identity().uri(), "spiffe://cluster.local/ns//sa/default");
  EXPECT_EQ(workload.cluster_id, "Kubernetes");
  EXPECT_EQ(workload.capacity, 1u);
}

TEST(Codec, AMappedAddressIsTheIpv4One) {
  wire::Address in;
  in.mutable_workload()->set_uid("u");
  in.mutable_workload()->add_addresses(std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01", 16));

  EXPECT_EQ(std::get<model::Workload>(decode_address(in.SerializeAsString()).value()).addresses.front(), ip("10.0.0.1"));
}

struct BadWorkload {
  const char* error;
  std::function<void(wire::Workload&)> spoil;
};

TEST(Codec, SaysWhatIsWrongWithAWorkload) {
  const BadWorkload cases[] = {
      {"the workload has no uid", [](auto& w) { w.clear_uid(); }},
      {"address has 3 bytes, not 4 or 16", [](auto& w) { w.add_addresses("abc"); }},
      {"address has 0 bytes, not 4 or 16", [](auto& w) { w.add_addresses(""); }},
      {"tunnel protocol LEGACY_ISTIO_MTLS is not supported", [](auto& w) { w.set_tunnel_protocol(wire::LEGACY_ISTIO_MTLS); }},
      {"tunnel protocol 9 is unknown", [](auto& w) { w.set_tunnel_protocol(static_cast<wire::TunnelProtocol>(9)); }},
      {"tunnel protocol -1 is unknown", [](auto& w) { w.set_tunnel_protocol(static_cast<wire::TunnelProtocol>(-1)); }},
      {"workload type 4 is unknown", [](auto& w) { w.set_workload_type(static_cast<wire::WorkloadType>(4)); }},
      {"status 2 is unknown", [](auto& w) { w.set_status(static_cast<wire::WorkloadStatus>(2)); }},
      {"network mode 2 is unknown", [](auto& w) { w.set_network_mode(static_cast<wire::NetworkMode>(2)); }},
      {"waypoint has no destination", [](auto& w) { w.mutable_waypoint(); }},
      {"waypoint has an empty hostname", [](auto& w) { w.mutable_waypoint()->mutable_hostname(); }},
      {"network gateway port 70000 is above 65535", [](auto& w) { w.mutable_network_gateway()->set_hbone_mtls_port(70000); }},
      {"network gateway address has 5 bytes, not 4 or 16",
       [](auto& w) { w.mutable_network_gateway()->mutable_address()->set_address("12345"); }},
      {"application tunnel port 65536 is above 65535", [](auto& w) { w.mutable_application_tunnel()->set_port(65536); }},
      {"target port 65536 is above 65535", [](auto& w) { (*w.mutable_services())["ns/s"].add_ports()->set_target_port(65536); }},
      {"services: \"s\" is not namespace/hostname", [](auto& w) { (*w.mutable_services())["s"]; }},
  };
  for (const auto& [error, spoil] : cases) {
    wire::Address in;
    in.mutable_workload()->set_uid("u");
    spoil(*in.mutable_workload());
    const auto read = decode_address(in.SerializeAsString());
    ASSERT_FALSE(read) << error;
    EXPECT_EQ(read.error().text, error);
  }
}

TEST(Codec, SaysWhatIsWrongWithAService) {
  const std::pair<const char*, std::function<void(wire::Service&)>> cases[] = {
      {"the service has no hostname", [](auto& s) { s.clear_hostname(); }},
      {"the service has no namespace", [](auto& s) { s.clear_namespace_(); }},
      {"address has 1 bytes, not 4 or 16", [](auto& s) { s.add_addresses()->set_address("1"); }},
      {"prefix length 33 of 1.2.3.4 is longer than the address",
       [](auto& s) { s.add_addresses()->set_address("\1\2\3\4"), s.mutable_addresses(0)->set_length(33); }},
      {"service port 65536 is above 65535", [](auto& s) { s.add_ports()->set_service_port(65536); }},
      {"routing preference 7 is unknown",
       [](auto& s) { s.mutable_load_balancing()->add_routing_preference(static_cast<wire::LoadBalancing::Scope>(7)); }},
      {"load balancing mode 4 is unknown",
       [](auto& s) { s.mutable_load_balancing()->set_mode(static_cast<wire::LoadBalancing::Mode>(4)); }},
      {"health policy 2 is unknown",
       [](auto& s) { s.mutable_load_balancing()->set_health_policy(static_cast<wire::LoadBalancing::HealthPolicy>(2)); }},
      {"weighted waypoint has no destination", [](auto& s) { s.add_weighted_waypoints(); }},
      {"visibility 2 is unknown", [](auto& s) { s.set_visibility(static_cast<wire::Service::Visibility>(2)); }},
  };
  for (const auto& [error, spoil] : cases) {
    wire::Address in;
    in.mutable_service()->set_namespace_("ns");
    in.mutable_service()->set_hostname("h");
    spoil(*in.mutable_service());
    const auto read = decode_address(in.SerializeAsString());
    ASSERT_FALSE(read) << error;
    EXPECT_EQ(read.error().text, error);
  }
}

TEST(Codec, WhatIsOnlyAHintCostsNoService) {
  wire::Address in;
  in.mutable_service()->set_namespace_("ns");
  in.mutable_service()->set_hostname("h");
  in.mutable_service()->add_ports()->set_app_protocol(static_cast<wire::AppProtocol>(6));
  in.mutable_service()->set_ip_families(static_cast<wire::IPFamilies>(4));

  const auto read = decode_address(in.SerializeAsString());

  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(std::get<model::Service>(*read).ip_families, model::IpFamilies::kAutomatic);
}

TEST(Codec, RefusesWhatIsNoAddress) {
  EXPECT_EQ(decode_address("").error().text, "neither a workload nor a service");
  EXPECT_EQ(decode_address("\xff").error().text, "not an istio.workload.Address");
}

security::Authorization policy() {
  security::Authorization in;
  in.set_name("p");
  in.set_namespace_("ns");
  return in;
}

TEST(Codec, SaysWhatIsWrongWithAPolicy) {
  auto in = policy();
  in.clear_name();
  EXPECT_EQ(decode_policy(in.SerializeAsString()).error().text, "the policy has no name");
  in = policy();
  in.set_scope(static_cast<security::Scope>(3));
  EXPECT_EQ(decode_policy(in.SerializeAsString()).error().text, "scope 3 is unknown");
  in = policy();
  in.set_action(static_cast<security::Action>(2));
  EXPECT_EQ(decode_policy(in.SerializeAsString()).error().text, "action 2 is unknown");
  in = policy();
  in.add_rules()->add_clauses()->add_matches()->add_principals();
  EXPECT_EQ(decode_policy(in.SerializeAsString()).error().text, "a string match of no known kind");
  EXPECT_EQ(decode_policy("\xff").error().text, "not an istio.security.Authorization");
}

TEST(Codec, AnUnreadablePolicyDeniesWhereItWouldHaveApplied) {
  auto in = policy();
  in.set_scope(security::NAMESPACE);
  in.set_action(static_cast<security::Action>(2));

  const auto instead = unreadable_policy(in.SerializeAsString(), "action 2 is unknown");

  ASSERT_TRUE(instead);
  EXPECT_EQ(instead->key(), "ns/p");
  EXPECT_EQ(instead->scope, model::Policy::Scope::kNamespace);
  EXPECT_EQ(instead->invalid, "action 2 is unknown");
  in.set_scope(static_cast<security::Scope>(3));
  EXPECT_FALSE(unreadable_policy(in.SerializeAsString(), "?"));
  EXPECT_FALSE(unreadable_policy("\xff", "?"));
}

TEST(Codec, DropsMalformedPrefixesButNeverWidensARule) {
  auto in = policy();
  auto* match = in.add_rules()->add_clauses()->add_matches();
  match->add_source_ips()->set_address("bad");
  auto* good = match->add_source_ips();
  good->set_address("\x0a\1\1\1");
  good->set_length(32);
  auto* long_one = match->add_source_ips();
  long_one->set_address("\x0a\1\1\2");
  long_one->set_length(33);

  const auto dropped = decode_policy(in.SerializeAsString()).value();
  EXPECT_EQ(dropped.rules[0].clauses[0].matches[0].source_ips, std::vector{Cidr::parse("10.1.1.1").value()});
  EXPECT_EQ(dropped.invalid, "");

  match->mutable_source_ips()->DeleteSubrange(1, 1);
  EXPECT_EQ(decode_policy(in.SerializeAsString())->invalid, "a list of addresses holds nothing but malformed ones");
}

TEST(Codec, PortsOfPoliciesAreCutTo16Bits) {
  auto in = policy();
  in.add_rules()->add_clauses()->add_matches()->add_destination_ports(65536 + 80);

  EXPECT_EQ(decode_policy(in.SerializeAsString())->rules[0].clauses[0].matches[0].destination_ports,
            std::vector<std::uint16_t>{80});
}

TEST(Codec, AnInvalidPolicyDeniesEverythingForThoseWhoDoNotKnowTheMark) {
  model::Policy broken{
      .name = "p", .name_space = "ns", .scope = model::Policy::Scope::kNamespace, .invalid = "p.yaml:3: unknown field"};
  const std::string bytes = encode(broken);

  security::Authorization raw;
  ASSERT_TRUE(raw.ParseFromString(bytes));
  EXPECT_EQ(raw.action(), security::DENY);
  ASSERT_EQ(raw.rules_size(), 1);
  EXPECT_EQ(raw.rules(0).clauses_size(), 0);
  EXPECT_EQ(decode_policy(bytes)->invalid, "p.yaml:3: unknown field");
}

TEST(Codec, EqualValuesGiveEqualBytes) {
  auto workload = full_workload();
  for (int i = 0; i < 100; ++i) workload.services["ns/s" + std::to_string(i)] = {{1, 2}};

  const std::string first = encode(workload);

  for (int i = 0; i < 10; ++i) EXPECT_EQ(encode(std::get<model::Workload>(decode_address(first).value())), first);
}

}  // namespace
}  // namespace culvert::xds
