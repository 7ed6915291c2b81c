#include "common/xds/local_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/net/timer.h"

namespace culvert::xds {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kSample = R"(
workloads:
- uid: cluster1//v1/Pod/default/client
  name: client
  namespace: default
  serviceAccount: client
  trustDomain: cluster.local
  workloadIps: ["10.99.2.2"]
  protocol: HBONE            # or TCP
  node: n1
  network: ""
  clusterId: Kubernetes
  services: {}
- uid: cluster1//v1/Pod/default/server
  name: server
  namespace: default
  serviceAccount: server
  workloadIps: ["10.99.2.3", "fd00::3"]
  protocol: HBONE
  node: n2
  network: ""
  services:
    "default/server.default.svc.cluster.local":
      80: 8080
policies:
- name: deny-9999
  namespace: default
  scope: Namespace
  action: Allow
  dryRun: false
  rules:
  - - - notDestinationPorts: [9999]
services:
- name: server
  namespace: default
  hostname: server.default.svc.cluster.local
  vips: ["/10.96.0.10"]
  ports:
    80: 8080
  subjectAltNames: []
)";

TEST(LocalParse, ReadsIstiosSample) {
  const auto config = parse_local(kSample, "x.yaml");

  ASSERT_TRUE(config) << config.error().text;
  ASSERT_EQ(config->workloads.size(), 2u);
  const auto& server = config->workloads[1];
  EXPECT_EQ(server.identity().uri(), "spiffe://cluster.local/ns/default/sa/server");
  EXPECT_EQ(server.protocol, model::TunnelProtocol::kHbone);
  EXPECT_EQ(server.addresses.size(), 2u);
  EXPECT_EQ(server.services.at("default/server.default.svc.cluster.local"), (model::PortMap{{80, 8080}}));
  ASSERT_EQ(config->services.size(), 1u);
  EXPECT_EQ(config->services[0].vips, (std::vector<model::Vip>{{"", Cidr::parse("10.96.0.10").value()}}));
  EXPECT_EQ(config->services[0].port(80)->target_port, 8080);
  ASSERT_EQ(config->policies.size(), 1u);
  EXPECT_EQ(config->policies[0].rules[0].text(), "(not ports [9999])");
  EXPECT_EQ(config->policies[0].scope, model::Policy::Scope::kNamespace);
}

TEST(LocalParse, ReadsEveryOtherKey) {
  const auto config = parse_local(R"(
workloads:
- {uid: u, networkMode: HostNetwork, nativeTunnel: true, canonicalName: a, canonicalRevision: v1, workloadType: pod, workloadName: d,
   status: Unhealthy, capacity: 5, hostname: h, authorizationPolicies: [ns/p], locality: {region: r, zone: z, subzone: s},
   waypoint: {destination: ns/wp, hboneMtlsPort: 15009}, networkGateway: {destination: net/1.2.3.4}, applicationTunnel: {protocol: PROXY, port: 1}}
services:
- {name: s, namespace: ns, hostname: h, vips: ["net/fd00::1"], cidrVips: ["/10.0.0.0/8"], ports: {80: 0}, canonical: true, visibility: Namespace,
   ipFamilies: Dual, waypoint: {destination: ns/wp}, weightedWaypoints: [{destination: {destination: ns/wp}, weight: 2}],
   loadBalancer: {routingPreferences: [Network, Region], mode: Failover, healthPolicy: AllowAll}}
policies:
- name: p
  scope: WorkloadSelector
  action: Deny
  dryRun: true
  rules:
  - - - namespaces: [{Exact: a}, {Prefix: b}]
        principals: [{Suffix: c}, {Presence: []}, "d*"]
        serviceAccounts: [ns/sa, {namespace: n, serviceAccount: s}]
        sourceIps: [10.0.0.0/8, fd00::1]
      - notPrincipals: ["*"]
    - []
)",
                                  "x");

  ASSERT_TRUE(config) << config.error().text;
  const auto& w = config->workloads[0];
  EXPECT_EQ(w.waypoint->text(), "ns/wp:15009");
  EXPECT_EQ(w.network_gateway->text(), "net/1.2.3.4:15008");
  EXPECT_EQ(w.capacity, 5u);
  EXPECT_EQ(w.locality, (model::Locality{"r", "z", "s"}));
  EXPECT_EQ(w.application_tunnel->port, 1);
  const auto& s = config->services[0];
  EXPECT_EQ(s.vips.size(), 2u);
  EXPECT_FALSE(s.vips[1].is_host());
  EXPECT_EQ(s.load_balancing->routing_preference.size(), 2u);
  EXPECT_EQ(s.load_balancing->mode, model::LoadBalancing::Mode::kFailover);
  EXPECT_EQ(s.weighted_waypoints[0].weight, 2u);
  EXPECT_EQ(config->policies[0].rules[0].text(),
            "(namespaces [a, b*], principals [*c, *, d*], service accounts [ns/sa, n/s], source IPs [10.0.0.0/8, fd00::1/128] or "
            "not principals [*])");
}

TEST(LocalParse, AnEmptyFileIsAnEmptyConfiguration) {
  for (const char* text : {"", "# nothing\n", "workloads: []\n", "workloads:\nservices:\npolicies:\n"}) {
    const auto config = parse_local(text, "x");
    ASSERT_TRUE(config) << config.error().text;
    EXPECT_EQ(*config, LocalConfig());
  }
}

TEST(LocalParse, SaysWhereAndWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"workload: []", "x:1: unknown key \"workload\""},
      {"[]", "x:1: must be a map"},
      {"workloads: 3", "x:1: workloads: must be a list"},
      {"workloads:\n- name: a\n", "x:2: workloads[0]: \"uid\" is missing"},
      {"workloads:\n- uid: a\n  protocol: FOO\n", "x:3: workloads[0].protocol: \"FOO\" is none of TCP, HBONE"},
      {"workloads:\n- uid: a\n  sericeAccount: b\n", "x:3: workloads[0]: unknown key \"sericeAccount\""},
      {"workloads:\n- uid: a\n  workloadIps: [1.2.3.4.5]\n", "x:3: workloads[0].workloadIps[0]: "},
      {"workloads:\n- uid: a\n  capacity: -1\n", "x:3: workloads[0].capacity: must be a number from 0 to 4294967295"},
      {"workloads:\n- uid: a\n  nativeTunnel: yes\n", "x:3: workloads[0].nativeTunnel: must be true or false"},
      {"workloads:\n- uid: a\n  services: {b: {80: 80}}\n", "x:3: workloads[0].services.b: \"b\" is not namespace/hostname"},
      {"workloads:\n- uid: a\n  services: {a/b: {80: 65536}}\n",
       "x:3: workloads[0].services.a/b.80: must be a number from 0 to 65535"},
      {"workloads:\n- uid: a\n- uid: a\n", "x:3: workloads[1]: workload a occurs twice"},
      {"services:\n- namespace: a\n", "x:2: services[0]: \"hostname\" is missing"},
      {"services:\n- {namespace: a, hostname: b, vips: [10.0.0.1]}\n",
       "x:2: services[0].vips[0]: \"10.0.0.1\" is not network/address"},
      {"services:\n- {namespace: a, hostname: b, ports: {http: 1}}\n", "x:2: services[0].ports.http: the key must be a port"},
      {"services:\n- {namespace: a, hostname: b, endpoints: {}}\n", "x:2: services[0]: unknown key \"endpoints\""},
      {"policies:\n- {name: a, scope: Global}\n", "x:2: policies[0]: \"action\" is missing"},
      {"policies:\n- {name: a, action: Deny}\n", "x:2: policies[0]: \"scope\" is missing"},
      {"policies:\n- name: a\n  scope: Global\n  action: Deny\n  rules:\n  - - - sourceIps: [10.0.0.0/33]\n",
       "x:6: policies[0].rules[0][0][0].sourceIps[0]: "},
      {"policies:\n- name: a\n  scope: Global\n  action: Deny\n  rules:\n  - - - principals: [{Exakt: a}]\n",
       "x:6: policies[0].rules[0][0][0].principals[0]: unknown key \"Exakt\""},
      {"policies:\n- name: a\n  scope: Global\n  action: Deny\n  rules:\n  - sourceIps: []\n",
       "x:6: policies[0].rules[0]: must be a list"},
      {"a: 1\na: 2\n", "x:2: key \"a\" occurs twice"},
      {"a: &x 1\nb: *x\n", "x:1: anchors are not supported"},
      {"a: !!int 1\n", "x:1: tags are not supported"},
      {"a: [1\n", "x:2: "},
      {"a: 1\n---\nb: 1\n", "x:3: a second document"},
  };
  for (const auto& [text, error] : cases) {
    const auto config = parse_local(text, "x");
    ASSERT_FALSE(config) << text;
    EXPECT_THAT(config.error().text, testing::StartsWith(error));
  }
}

TEST(LocalParse, BoundsDepth) {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "- ";
  EXPECT_THAT(parse_local(deep + "x", "x").error().text, HasSubstr("nested too deeply"));
  EXPECT_FALSE(parse_local(std::string(100000, '['), "x"));
  EXPECT_FALSE(parse_local(std::string(100000, '{'), "x"));
}

TEST(Difference, IsWhatHasToChange) {
  const auto before = parse_local(kSample, "x").value();
  auto after = before;
  after.workloads[0].node = "n3";
  after.workloads.erase(after.workloads.begin() + 1);
  after.services.clear();
  after.policies[0].name = "other";

  const Update update = difference(before, after);

  ASSERT_EQ(update.workloads.size(), 1u);
  EXPECT_EQ(update.workloads[0].node, "n3");
  EXPECT_THAT(update.services, IsEmpty());
  EXPECT_THAT(update.removed_addresses,
              ElementsAre("cluster1//v1/Pod/default/server", "default/server.default.svc.cluster.local"));
  EXPECT_EQ(update.policies.size(), 1u);
  EXPECT_THAT(update.removed_policies, ElementsAre("default/deny-9999"));
  EXPECT_TRUE(difference(after, after).empty());

  model::MeshBuilder builder;
  difference({}, before).apply_to(builder);
  difference(before, after).apply_to(builder);
  EXPECT_EQ(builder.current().workload_count(), 1u);
  EXPECT_EQ(builder.current().service_count(), 0u);
  EXPECT_EQ(builder.current().policy_count(), 1u);
}

struct Folder {
  std::string path;
  Folder() {
    char pattern[] = "/tmp/culvert-local-XXXXXX";
    path = ::mkdtemp(pattern);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file() const { return path + "/xds.yaml"; }
  void write(std::string_view text) const { std::ofstream(file()) << text; }
  void replace(std::string_view text) const {
    std::ofstream(path + "/.xds.yaml.new") << text;
    std::filesystem::rename(path + "/.xds.yaml.new", file());
  }
};

// A file that is followed into a mesh.
struct Followed : testing::Test {
  net::Loop loop;
  Folder folder;
  model::MeshBuilder builder;
  int updates = 0;
  std::vector<std::string> problems;
  std::optional<LocalFile> file;

  void follow(const std::string& path) {
    auto opened = LocalFile::open(
        loop, path, [&](Update update) { ++updates, std::move(update).apply_to(builder); },
        [&](const Error& error) { problems.push_back(error.text); });
    ASSERT_TRUE(opened) << opened.error().text;
    file.emplace(std::move(*opened));
  }
  void until(const std::function<bool()>& done) {
    loop.run([](net::Loop* on, const std::function<bool()>* enough) -> net::Task<> {
      const auto end = net::Clock::now() + 5s;
      while (!(*enough)() && net::Clock::now() < end) co_await net::sleep_for(*on, 2ms);
    }(&loop, &done));
    EXPECT_TRUE(done());
  }
  std::size_t workloads() const { return builder.current().workload_count(); }
};

TEST_F(Followed, KeepsTheLastGoodVersion) {
  folder.write("workloads: [{uid: a}]");
  follow(folder.file());
  EXPECT_EQ(workloads(), 1u);

  folder.write("workloads: [{uid: a}, {uid: b}]");
  until([&] { return workloads() == 2; });

  folder.write("workloads: [{uid: a}, {uid: }]");
  until([&] { return problems.size() == 1; });
  EXPECT_THAT(problems[0], HasSubstr("xds.yaml:1: workloads[1]: \"uid\" is missing"));
  EXPECT_EQ(workloads(), 2u);

  folder.replace("workloads: [{uid: c}]");
  until([&] { return workloads() == 1; });

  const int before = updates;
  std::filesystem::remove(folder.file());
  until([&] { return problems.size() == 2; });
  EXPECT_EQ(workloads(), 1u);
  EXPECT_EQ(updates, before);
}

TEST_F(Followed, AFolderThatIsReplacedIsFollowedOn) {
  const std::string inner = folder.path + "/inner", path = inner + "/xds.yaml";
  const auto make = [&](const std::string& at, std::string_view text) {
    std::filesystem::create_directory(at);
    std::ofstream(at + "/xds.yaml") << text;
  };
  make(inner, "workloads: [{uid: a}]");
  follow(path);

  std::filesystem::remove_all(inner);
  until([&] { return !problems.empty(); });
  EXPECT_EQ(workloads(), 1u);
  make(folder.path + "/next", "workloads: [{uid: a}, {uid: b}]");
  std::filesystem::rename(folder.path + "/next", inner);
  until([&] { return workloads() == 2; });

  std::ofstream(path) << "workloads: []";
  until([&] { return workloads() == 0; });
}

TEST_F(Followed, AKubernetesVolumeChangesByALink) {
  const auto version = [&](const std::string& name, std::string_view text) {
    std::filesystem::create_directory(folder.path + "/" + name);
    std::ofstream(folder.path + "/" + name + "/xds.yaml") << text;
    std::filesystem::create_symlink(name, folder.path + "/..data_tmp");
    std::filesystem::rename(folder.path + "/..data_tmp", folder.path + "/..data");
  };
  version("..1", "workloads: [{uid: a}]");
  std::filesystem::create_symlink("..data/xds.yaml", folder.file());
  follow(folder.file());
  EXPECT_EQ(workloads(), 1u);

  version("..2", "workloads: [{uid: a}, {uid: b}]");
  until([&] { return workloads() == 2; });
}

TEST(LocalFile, FailsWhenTheFirstVersionIsBad) {
  net::Loop loop;
  Folder folder;
  const auto open = [&] { return LocalFile::open(loop, folder.file(), [](Update) {}, [](const Error&) {}); };
  EXPECT_THAT(open().error().text, HasSubstr("No such file"));

  folder.write("x: 1");
  EXPECT_THAT(open().error().text, HasSubstr("unknown key \"x\""));
}

}  // namespace
}  // namespace culvert::xds
