#include "ztunnel/config_dump.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "common/base/version.h"
#include "common/tls/authority.h"
#include "common/xds/local_file.h"

namespace culvert::ztunnel {
namespace {

namespace json = boost::json;

constexpr std::string_view kMesh = R"(
workloads:
- {uid: c1//Pod/ns/web, name: web, namespace: ns, workloadIps: [10.0.0.1, "fd00::1"], protocol: HBONE, node: n1, serviceAccount: sa,
   workloadType: pod, workloadName: w, canonicalName: a, canonicalRevision: v1, status: Unhealthy, capacity: 5, hostname: h,
   nativeTunnel: true, authorizationPolicies: [ns/p], locality: {region: r, zone: z, subzone: s}, network: net,
   waypoint: {destination: ns/wp, hboneMtlsPort: 15009}, networkGateway: {destination: net/1.2.3.4},
   applicationTunnel: {protocol: PROXY, port: 1}, services: {ns/s.ns.svc: {80: 8080}, ns/late.ns.svc: {81: 0}}}
services:
- {name: s, namespace: ns, hostname: s.ns.svc, vips: [/10.96.0.1], cidrVips: ["net/10.0.0.0/8"], ports: {80: 8080}, canonical: true,
   visibility: Namespace, ipFamilies: Dual, subjectAltNames: [spiffe://x], waypoint: {destination: ns/wp},
   weightedWaypoints: [{destination: {destination: ns/wp}, weight: 2}],
   loadBalancer: {routingPreferences: [Network, Region], mode: Failover, healthPolicy: AllowAll}}
policies:
- name: p
  namespace: ns
  scope: WorkloadSelector
  action: Deny
  dryRun: true
  rules:
  - - - namespaces: [{Exact: a}, {Prefix: b}]
        notPrincipals: [{Suffix: c}, {Presence: []}]
        serviceAccounts: [ns/sa]
        sourceIps: [10.0.0.0/8]
        destinationPorts: [80]
)";

constexpr std::string_view kMatch = R"({
  "namespaces": [{"Exact": "a"}, {"Prefix": "b"}], "notNamespaces": [],
  "serviceAccounts": [{"namespace": "ns", "serviceAccount": "sa"}], "notServiceAccounts": [],
  "principals": [], "notPrincipals": [{"Suffix": "c"}, {"Presence": []}],
  "sourceIps": ["10.0.0.0/8"], "notSourceIps": [], "destinationIps": [], "notDestinationIps": [],
  "destinationPorts": [80], "notDestinationPorts": []})";

Dump dump_of(std::string_view yaml) {
  const auto config = xds::parse_local(yaml, "mesh.yaml").value();
  model::MeshBuilder builder;
  xds::difference({}, config).apply_to(builder);
  Dump out;
  out.mesh = builder.build();
  return out;
}

json::value shown(const Dump& dump) { return json::parse(config_dump(dump)); }

TEST(ConfigDump, ShowsTheMeshInTheNamesThatIstioctlReads) {
  const auto value = shown(dump_of(kMesh));

  EXPECT_EQ(value.at("workloads"), json::parse(R"([{
    "workloadIps": ["10.0.0.1", "fd00::1"], "waypoint": {"destination": "ns/wp", "hboneMtlsPort": 15009},
    "networkGateway": {"destination": "net/1.2.3.4", "hboneMtlsPort": 15008}, "protocol": "HBONE", "networkMode": "Standard",
    "uid": "c1//Pod/ns/web", "name": "web", "namespace": "ns", "trustDomain": "cluster.local", "serviceAccount": "sa", "network": "net",
    "workloadName": "w", "workloadType": "pod", "canonicalName": "a", "canonicalRevision": "v1", "hostname": "h", "node": "n1",
    "nativeTunnel": true, "applicationTunnel": {"protocol": "PROXY", "port": 1}, "authorizationPolicies": ["ns/p"],
    "status": "Unhealthy", "clusterId": "Kubernetes", "locality": {"region": "r", "zone": "z", "subzone": "s"},
    "services": ["ns/late.ns.svc", "ns/s.ns.svc"], "capacity": 5}])"));
  EXPECT_EQ(value.at("services"), json::parse(R"([{
    "name": "s", "namespace": "ns", "hostname": "s.ns.svc", "vips": ["/10.96.0.1"], "cidrVips": ["net/10.0.0.0/8"], "ports": {"80": 8080},
    "endpoints": {"c1//Pod/ns/web": {"workloadUid": "c1//Pod/ns/web", "port": {"80": 8080}, "status": "Unhealthy"}},
    "subjectAltNames": ["spiffe://x"], "waypoint": {"destination": "ns/wp", "hboneMtlsPort": 15008},
    "weightedWaypoints": [{"destination": {"destination": "ns/wp", "hboneMtlsPort": 15008}, "weight": 2}],
    "loadBalancer": {"routingPreferences": ["Network", "Region"], "mode": "Failover", "healthPolicy": "AllowAll"},
    "ipFamilies": "Dual", "canonical": true, "visibility": "Namespace"}])"));
  EXPECT_EQ(value.at("policies"),
            json::parse(R"([{"name": "p", "namespace": "ns", "scope": "WorkloadSelector", "action": "Deny", "rules": [[[)" +
                        std::string(kMatch) + R"(]]], "dryRun": true}])"));
  EXPECT_EQ(value.at("stagedServices"), json::parse(R"({"ns/late.ns.svc": {"c1//Pod/ns/web": {"81": 0}}})"));
  EXPECT_EQ(value.at("version"), (json::object{{"version", kVersion}}));
}

// What tests/golden/ztunnel_config/keys.txt lists: the names that istioctl and Kiali read.
std::set<std::string> listed(const std::string& kind) {
  std::ifstream file("tests/golden/ztunnel_config/keys.txt");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kind + ": ")) continue;
    std::istringstream words(line.substr(kind.size() + 2));
    return {std::istream_iterator<std::string>(words), {}};
  }
  ADD_FAILURE() << kind << " is not listed";
  return {};
}

std::set<std::string> keys_of(const json::value& value) {
  std::set<std::string> out;
  for (const auto& [key, member] : value.as_object()) out.emplace(key);
  return out;
}

TEST(ConfigDump, HasTheListedKeysAndNoOthers) {
  auto dump = dump_of(kMesh);
  const Identity identity{"td", "ns", "a"};
  const auto authority = tls::Authority::make_root("td");
  const auto pair =
      authority.and_then([&](const tls::Authority& by) { return by.make_workload(identity, std::chrono::hours(1)); });
  const auto roots = authority.and_then([](const tls::Authority& by) { return tls::Roots::parse(by.certificate().pem()); });
  ASSERT_TRUE(pair && roots);
  dump.certificates = {
      {.identity = identity, .credentials = std::make_shared<const Credentials>(Credentials{*pair, *roots}), .error = ""}};
  dump.pods["up"] = {.name = {.uid = "up", .name = "a", .name_space = "ns", .service_account = "sa"},
                     .connections = {{.way = Connection::Way::kInbound,
                                      .source = *Endpoint::parse("10.0.0.1:1"),
                                      .actual = *Endpoint::parse("10.0.0.2:2"),
                                      .original = {},
                                      .peer = {}}}};

  const auto all = shown(dump);

  const json::value &workload = all.at("workloads").at(0), &service = all.at("services").at(0),
                    &policy = all.at("policies").at(0);
  EXPECT_EQ(keys_of(all.at("certificates").at(0).at("rootCerts").at(0)), listed("oneCertificate"));
  const json::value &pod = all.at("workloadState").at("up"), &connections = pod.at("connections");
  for (const auto& [kind, value] :
       std::map<std::string, const json::value*>{{"dump", &all},
                                                 {"workload", &workload},
                                                 {"gateway", &workload.at("waypoint")},
                                                 {"applicationTunnel", &workload.at("applicationTunnel")},
                                                 {"locality", &workload.at("locality")},
                                                 {"service", &service},
                                                 {"endpoint", &service.at("endpoints").as_object().begin()->value()},
                                                 {"weightedWaypoint", &service.at("weightedWaypoints").at(0)},
                                                 {"loadBalancer", &service.at("loadBalancer")},
                                                 {"policy", &policy},
                                                 {"match", &policy.at("rules").at(0).at(0).at(0)},
                                                 {"certificate", &all.at("certificates").at(0)},
                                                 {"oneCertificate", &all.at("certificates").at(0).at("certChain").at(0)},
                                                 {"pod", &pod},
                                                 {"connections", &connections},
                                                 {"connection", &connections.at("inbound").at(0)},
                                                 {"info", &pod.at("info")}})
    EXPECT_EQ(keys_of(*value), listed(kind)) << kind;
}

TEST(ConfigDump, LeavesOutWhatIsNotSet) {
  EXPECT_EQ(
      shown(dump_of("workloads: [{uid: u, name: a}]")).at("workloads"),
      json::parse(R"([{"workloadIps": [], "protocol": "TCP", "networkMode": "Standard", "uid": "u", "name": "a", "namespace": "",
                             "trustDomain": "cluster.local", "serviceAccount": "default", "workloadType": "deployment",
                             "status": "Healthy", "clusterId": "Kubernetes", "capacity": 1}])"));
}

TEST(ConfigDump, TheStaticConfigIsTheFiles) {
  auto dump = dump_of(kMesh);
  const auto streamed = shown(dump);
  EXPECT_EQ(streamed.at("staticConfig"), json::parse(R"({"workloads": [], "policies": [], "services": []})"));

  dump.from_file = true;
  const auto read = shown(dump);
  for (const char* key : {"workloads", "policies", "services"}) EXPECT_EQ(read.at("staticConfig").at(key), read.at(key));
}

TEST(ConfigDump, ShowsPodsSettingsAndCertificates) {
  Dump dump;
  dump.mesh = std::make_shared<const model::Mesh>();
  dump.settings = {{.name = "NODE_NAME", .flag = {}, .value = "n1", .fallback = {}, .unit = {}, .doc = {}}};
  dump.certificates = {{.identity = {"td", "ns", "a"}, .credentials = nullptr, .error = ""},
                       {.identity = {"td", "ns", "b"}, .credentials = nullptr, .error = "refused"}};
  const auto source = *Endpoint::parse("10.0.0.1:1000"), actual = *Endpoint::parse("10.0.0.2:15008");
  dump.pods["up"] = {
      .name = {.uid = "up", .name = "a", .name_space = "ns", .service_account = "sa"},
      .connections = {{.way = Connection::Way::kInbound, .source = source, .actual = actual, .original = {}, .peer = {}},
                      {.way = Connection::Way::kOutbound,
                       .tunnel = true,
                       .source = source,
                       .actual = actual,
                       .original = "10.96.0.1:80",
                       .peer = {}}}};
  dump.pods["failing"] = {
      .name = {.uid = "failing", .name = "b", .name_space = "ns", .service_account = "sa"}, .pending = true, .connections = {}};

  const auto value = shown(dump);

  EXPECT_EQ(value.at("config"), json::parse(R"({"NODE_NAME": "n1"})"));
  EXPECT_EQ(value.at("certificates"), json::parse(R"([
    {"identity": "spiffe://td/ns/ns/sa/a", "state": "Initializing", "certChain": [], "rootCerts": []},
    {"identity": "spiffe://td/ns/ns/sa/b", "state": "Unavailable: refused", "certChain": [], "rootCerts": []}])"));
  EXPECT_EQ(value.at("workloadState"), json::parse(R"({
    "up": {"state": "Up", "connections": {
             "inbound": [{"src": "10.0.0.1:1000", "originalDst": null, "actualDst": "10.0.0.2:15008", "protocol": "TCP"}],
             "outbound": [{"src": "10.0.0.1:1000", "originalDst": "10.96.0.1:80", "actualDst": "10.0.0.2:15008", "protocol": "HBONE"}]},
           "info": {"name": "a", "namespace": "ns", "serviceAccount": "sa"}},
    "failing": {"state": "Pending", "connections": {"inbound": [], "outbound": []},
                "info": {"name": "b", "namespace": "ns", "serviceAccount": "sa"}}})"));
}

}  // namespace
}  // namespace culvert::ztunnel
