// Who has what in force, as culvertd knows it from its streams; and who may see that.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <boost/json.hpp>
#include <cstdio>
#include <map>
#include <optional>

#include "controlplane/debug_service.h"
#include "proto/client_status.pb.h"
#include "proto/discovery_state.pb.h"
#include "tests/integration/culvertd/fixture.h"

namespace culvert::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using xds::kAddressType;
using xds::kAuthorizationType;

struct Ran {
  int code = -1;
  std::string out;
};

struct Epochs : CulvertdTest {
  std::unique_ptr<Subscriber> subscribed(const std::string& token) {
    auto client = connect(token);
    for (const auto type : {kAuthorizationType, kAddressType}) client->subscribe(type);
    until([&] { return client->responses.size() == 2; }, "the first answers");
    return client;
  }
  boost::json::object epochs(const std::string& query = "") {
    const std::string answer = page("/debug/epochs" + query);
    const auto body = answer.find("\r\n\r\n");
    boost::system::error_code error;
    const auto value = boost::json::parse(answer.substr(body + 4), error);
    EXPECT_TRUE(!error && value.is_object()) << answer;
    return value.is_object() ? value.as_object() : boost::json::object();
  }
  // "n1: has; n2: why not"
  std::string standing(const std::string& query = "") {
    std::string out;
    const auto all = epochs(query);
    for (const auto& one : all.at("nodes").as_array()) {
      const auto& node = one.as_object();
      out += (out.empty() ? "" : "; ") + std::string(node.at("node").as_string()) + ": " +
             (node.at("has").as_bool() ? "has" : std::string(node.at("why").as_string()));
    }
    return out;
  }
  // Only while nobody has to answer on our loop.
  Ran culvert(const std::string& words) const {
    std::FILE* pipe = ::popen((std::string(CULVERT) + " " + words + " 2>&1").c_str(), "r");
    Ran ran;
    char buffer[4096];
    for (std::size_t count; (count = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) ran.out.append(buffer, count);
    const int status = ::pclose(pipe);
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ran;
  }
  Ran wait(const std::string& words) const {
    return culvert("wait --url http://127.0.0.1:" + std::to_string(metrics_port) + " " + words);
  }
  void until_standing(const std::string& wanted, const std::string& query = "") {
    until([&] { return standing(query) == wanted; }, wanted.c_str());
    EXPECT_EQ(standing(query), wanted);
  }
};

TEST_F(Epochs, EachNodeHasWhatItAnswered) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto one = subscribed(kToken1), two = subscribed(kToken2);
  until_standing("n1: has; n2: has");
  EXPECT_EQ(wait("--all").code, 0);

  two->acknowledges = false;
  write("p.yaml", policy("p", "{}"));
  until_standing("n1: has; n2: has WADS in force up to epoch 1, and has not answered what it was sent as 2.3",
                 "?object=authorizationpolicy/shop/p");
  const Ran late = wait("--for-applied authorizationpolicy/p -n shop --timeout 300ms");
  EXPECT_EQ(late.code, 4) << late.out;
  EXPECT_THAT(late.out, AllOf(HasSubstr("in force on 1 of 2"), HasSubstr("n2 (ztunnel~"), Not(HasSubstr("n1 ("))));
  EXPECT_EQ(wait("--for-applied pod/a -n shop").code, 0) << "what came before is there";

  const auto& sent = two->responses[std::string(kAuthorizationType)];
  until([&] { return sent.back().nonce == "2.3"; }, "what was sent, which may still be on its way");
  two->acknowledge(kAuthorizationType, sent.back().nonce);
  until_standing("n1: has; n2: has", "?object=authorizationpolicy/shop/p");
  const Ran applied = wait("--for-applied ap/shop/p --output json");
  EXPECT_EQ(applied.code, 0) << applied.out;
  EXPECT_THAT(applied.out, HasSubstr(R"("state":"applied","have":2,"connected":2)"));
}

TEST_F(Epochs, ARefusalIsToldInItsOwnWordsAndConcernsNothingElse) {
  write("p.yaml", policy("p", "{}"));
  write("q.yaml", policy("q", "{}"));
  ASSERT_TRUE(start());
  auto client = connect();
  client->acknowledges = false;
  client->subscribe(kAuthorizationType);
  until([&] { return !client->responses.empty(); }, "the first answer");
  client->acknowledge(kAuthorizationType, client->responses[std::string(kAuthorizationType)][0].nonce, "shop/q: unknown scope 7");
  until([&] { return standing().contains("unknown scope 7"); }, "the refusal");

  const Ran refused = wait("--for-applied authorizationpolicy/q -n shop --timeout 300ms");

  EXPECT_EQ(refused.code, 4) << "n2 is expected, and culvertd began a moment ago: " << refused.out;
  auto other = subscribed(kToken2);
  until([&] { return standing().ends_with("n2: has"); }, "the other node");
  const Ran again = wait("--for-applied authorizationpolicy/q -n shop");
  EXPECT_EQ(again.code, 5) << again.out;
  EXPECT_THAT(again.out,
              HasSubstr("n1 (ztunnel~127.0.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local): refused shop/q of "
                        "WADS: unknown scope 7"));
  write("r.yaml", policy("r", "{}"));
  client->acknowledges = true;
  until_standing("n1: has; n2: has", "?object=authorizationpolicy/shop/r&fresh");
  EXPECT_EQ(wait("--for-applied authorizationpolicy/q -n shop --timeout 30s").code, 5) << "an answer to something else";
  EXPECT_EQ(wait("--all --timeout 30s").code, 5);

  write("q.yaml", policy("q", "{action: DENY, rules: [{}]}"));
  until_standing("n1: has; n2: has", "?object=authorizationpolicy/shop/q&fresh");
}

TEST_F(Epochs, WhatWasJustSavedOrRemovedIsSeen) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  for (int times = 0; times < 50; ++times) {
    write("p.yaml", policy("p", times % 2 == 0 ? "{}" : "{action: DENY, rules: [{}]}"));
    const auto there = epochs("?object=ap/shop/p&fresh").at("object").as_object();
    EXPECT_EQ(there.at("state").as_string(), "in force");
    EXPECT_EQ(there.at("epoch").as_int64(), 2 + 2 * times);
    remove("p.yaml");
    EXPECT_EQ(epochs("?object=ap/shop/p&fresh").at("object").as_object().at("state").as_string(), "deleted");
  }
}

TEST_F(Epochs, MeshConfigIsInForceWhenEveryDataPlaneHasWhatItSays) {
  const auto mesh_config = [](const std::string& text) {
    return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: '" + text + "'}\n";
  };
  const std::string wanted = "--for-applied configmap/istio -n istio-system ", query = "?object=cm/istio-system/istio";
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto one = subscribed(kToken1), two = subscribed(kToken2);
  EXPECT_EQ(wait(wanted).code, 3) << "there is none";
  two->acknowledges = false;

  write("mesh.yaml", mesh_config("{discoverySelectors: [{matchLabels: {in: \"yes\"}}], trustDomain: other, accessLogFile: x}"));

  until([&] { return standing(query).starts_with("n1: has; n2: has WDS in force up to epoch"); }, "n1 has it and n2 not");
  const Ran late = wait(wanted + "--timeout 300ms");
  EXPECT_EQ(late.code, 4) << late.out;
  EXPECT_THAT(late.out, AllOf(HasSubstr("in force on 1 of 2"), HasSubstr("n2 (ztunnel~"), Not(HasSubstr("n1 ("))));
  two->acknowledge(kAddressType, two->responses[std::string(kAddressType)].back().nonce);
  until_standing("n1: has; n2: has", query);
  const Ran applied = wait(wanted);
  EXPECT_EQ(applied.code, 0) << applied.out;
  EXPECT_THAT(applied.out,
              AllOf(HasSubstr("note: data.mesh.trustDomain is other, and the CA's root certificate is of cluster.local"),
                    HasSubstr("note: data.mesh: this version does not enforce accessLogFile yet")));

  write("mesh.yaml", mesh_config("trustDomian: x"));
  const Ran invalid = wait(wanted);
  EXPECT_EQ(invalid.code, 6) << invalid.out;
  EXPECT_THAT(invalid.out, AllOf(HasSubstr("mesh.yaml:1"), HasSubstr("data.mesh"), HasSubstr("did you mean trustDomain?")));
  const Ran other = wait("--for-applied cm/web -n shop");
  EXPECT_EQ(other.code, 1) << other.out;
  EXPECT_THAT(other.out, HasSubstr("only istio in namespace istio-system, which holds MeshConfig, can be waited for"));
}

TEST_F(Epochs, WhatCannotBeAskedIsSaid) {
  ASSERT_TRUE(start());
  EXPECT_THAT(page("/debug/epochs?object=widget/a/b"), AllOf(HasSubstr(" 400 "), HasSubstr("no kind of object")));
  EXPECT_THAT(page("/debug/epochs?object=pod/a"), HasSubstr("needs KIND/NAMESPACE/NAME"));
  EXPECT_THAT(page("/debug/epochs?epoch=x"), HasSubstr("epoch is no number"));
  const Ran nobody = culvert("wait --all --url http://127.0.0.1:1");
  EXPECT_EQ(nobody.code, 1);
  EXPECT_THAT(nobody.out, HasSubstr("Connection refused"));
  EXPECT_EQ(wait("--for-applied pod/none -n shop").code, 3);
}

TEST_F(Epochs, DebugPagesAreOnTheMonitoringPortForThisMachineOrForATokenOfTheMesh) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  EXPECT_THAT(get(metrics_port, "/debug/syncz"), HasSubstr(" 200 "));
  EXPECT_THAT(get(metrics_port, "/version"), HasSubstr(" 404 "));
  stop();

  ::setenv("CULVERT_DEBUG_ON_LOCALHOST", "false", 1);
  ASSERT_TRUE(start());
  ::unsetenv("CULVERT_DEBUG_ON_LOCALHOST");
  for (const int from : {metrics_port, debug_port}) {
    EXPECT_THAT(get(from, "/debug/config_dump"), AllOf(HasSubstr(" 401 "), Not(HasSubstr("10.0.0.1"))));
    EXPECT_THAT(get(from, "/debug/config_dump", "token-of-nobody-at-all"), HasSubstr(" 401 "));
    EXPECT_THAT(get(from, "/debug/config_dump", kToken1), AllOf(HasSubstr(" 200 "), HasSubstr("10.0.0.1")));
  }
  EXPECT_THAT(get(debug_port, "/ready"), HasSubstr(" 200 "));
  EXPECT_THAT(get(metrics_port, "/metrics"), HasSubstr(" 200 "));
  EXPECT_THAT(log(), Not(HasSubstr(kToken1)));
  const Ran explained = culvert("explain --from shop/a --to 10.0.0.1:80 --token-file " + folder +
                                "/t --url http://127.0.0.1:" + std::to_string(metrics_port));
  EXPECT_EQ(explained.code, 1) << explained.out;
}

TEST_F(Epochs, DebugPagesHaveTheShapesThatToolsRead) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  write("svc.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.1, selector: {app: "
        "web}, ports: [{name: http, port: 80, targetPort: 8080}]}\n");
  ASSERT_TRUE(start());
  auto client = subscribed(kToken1);
  until_standing("n1: has");
  const std::string proxy = R"("proxy":"ztunnel~127.0.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local")";

  EXPECT_THAT(page("/debug/syncz"),
              AllOf(HasSubstr(proxy), HasSubstr(R"("proxy_type":"ztunnel")"),
                    HasSubstr(R"("type.googleapis.com/istio.workload.Address":{"sent":"1.2","acked":"1.2","sentTime":"2)")));
  EXPECT_THAT(page("/debug/syncz?namespace=elsewhere"), HasSubstr("\r\n\r\n[]\n"));
  EXPECT_THAT(page("/debug/connections"), AllOf(HasSubstr(R"("totalClients":1)"), HasSubstr("connectionId"), HasSubstr("ID-1")));
  EXPECT_THAT(page("/debug/registryz"), AllOf(HasSubstr(R"("hostname":"web.shop.svc.cluster.local")"),
                                              HasSubstr(R"({"name":"http","port":80,"protocol":"TCP"})"),
                                              HasSubstr(R"("clusterVIPs":{"Addresses":{"Kubernetes":["10.96.0.1"]}})")));
  EXPECT_THAT(
      page("/debug/endpointz"),
      AllOf(HasSubstr(R"("web.shop.svc.cluster.local":{"shop":{"Shards":{"Kubernetes/Kubernetes":[{"Addresses":["10.0.0.1"])"),
            HasSubstr(R"("EndpointPort":8080)"), HasSubstr("spiffe://cluster.local/ns/shop/sa/web")));
  EXPECT_THAT(page("/debug/config_dump?proxyID=ztunnel-1.istio-system"), HasSubstr(R"("workloadIps":["10.0.0.1"])"));
  EXPECT_THAT(page("/debug/config_dump?proxyID=none"), AllOf(HasSubstr(" 404 "), HasSubstr("Proxy not connected")));
  EXPECT_THAT(page("/debug/list"), HasSubstr("/debug/epochs"));
}

TEST_F(Epochs, ExplainSaysTheSameByTheFolderAndByTheCulvertdThatServesIt) {
  std::string pods = pod("a", "n1", "10.0.0.1", "a") + pod("b", "n2", "10.0.0.2", "b") + pod("c", "n2", "10.0.0.3", "c");
  for (auto at = pods.find("labels:"); at != std::string::npos; at = pods.find("labels:", at + 60))
    pods.insert(at, "annotations: {ambient.istio.io/redirection: enabled}, ");
  write("pods.yaml", pods);
  write("policies.yaml", "# ours\n" +
                             policy("only-c", "{rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/c]}}]}]}") +
                             policy("not-80", "{action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]}"));
  ASSERT_TRUE(start());
  for (const std::string& from :
       {"--config-dir " + folder + "/config", "--url http://127.0.0.1:" + std::to_string(metrics_port)}) {
    const Ran denied = culvert("explain --from shop/a --to 10.0.0.2:81 " + from);
    EXPECT_EQ(denied.code, 2) << denied.out;
    EXPECT_THAT(denied.out, AllOf(HasSubstr("REFUSED: denied because no ALLOW policy matches"),
                                  HasSubstr("tunnel (HBONE, mutual TLS) to 10.0.0.2:15008, for 10.0.0.2:81")));
    const Ran allowed = culvert("explain --from c -n shop --to pod/b:81 " + from);
    EXPECT_EQ(allowed.code, 0) << allowed.out;
    EXPECT_THAT(allowed.out,
                HasSubstr("ALLOWED: allowed by policy shop/only-c, rule 1: (principals [cluster.local/ns/shop/sa/c])"));
    const Ran by_port = culvert("explain --from 10.0.0.3 --to pod/shop/b:80 " + from);
    EXPECT_EQ(by_port.code, 2) << by_port.out;
    EXPECT_THAT(by_port.out, HasSubstr("denied by policy shop/not-80, rule 1"));
    EXPECT_EQ(by_port.out.contains("(policies.yaml:8)"), from.starts_with("--config-dir")) << by_port.out;
  }
  EXPECT_EQ(culvert("explain --from shop/a --to 10.0.0.2:81 --config-dir /nowhere").code, 1);
}

// The folder's MeshConfig says which namespaces are in the mesh, and hosts without addresses are given theirs: whoever reads the folder has the same mesh.
TEST_F(Epochs, ExplainAndAnalyzeReadAFolderAsTheCulvertdThatServesIt) {
  const auto enrolled = [](std::string yaml) {
    return yaml.insert(yaml.find("labels:"), "annotations: {ambient.istio.io/redirection: enabled}, ");
  };
  write("pods.yaml", enrolled(pod("a", "n1", "10.0.0.1", "a")) + enrolled(pod("b", "n2", "10.0.0.2", "b")));
  write("mesh.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {in: \"yes\"}}\n---\n"
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: hidden}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n"
        "    discoverySelectors: [{matchLabels: {in: \"yes\"}}]\n    trustDomainAliases: [old]\n");
  const std::string entry =
      "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: @}\nspec: {hosts: [@.example.com], "
      "ports: [{number: 80, name: http}], resolution: STATIC, endpoints: [{address: 10.0.0.2}]}\n---\n";
  std::string entries;
  for (const std::string name_space : {"shop", "hidden"}) {
    std::string one = entry;
    for (auto at = one.find('@'); at != one.npos; at = one.find('@')) one.replace(at, 1, name_space);
    entries += one;
  }
  write("entries.yaml", entries);
  write("policies.yaml",
        policy("strange", "{action: DENY, rules: [{from: [{source: {principals: [old/ns/a/sa/b, new/ns/a/sa/b]}}]}]}"));
  ASSERT_TRUE(start());
  const std::string by_folder = "--config-dir " + folder + "/config",
                    by_url = "--url http://127.0.0.1:" + std::to_string(metrics_port);

  for (const std::string& from : {by_folder, by_url}) {
    const Ran known = culvert("explain --from shop/a --to shop.example.com:80 " + from);
    EXPECT_EQ(known.code, 0) << known.out;
    EXPECT_THAT(known.out, AllOf(HasSubstr("to: 240.240."), HasSubstr("10.0.0.2"))) << from;
    EXPECT_EQ(culvert("explain --from shop/a --to hidden.example.com:80 " + from).code, 1) << from << " knows who is left out";
  }
  const Ran analyzed = culvert("analyze " + folder + "/config");
  for (const char* text : {"AuthorizationPolicy shop/strange", "principals of trust domain new match nobody"}) {
    EXPECT_TRUE(says(text)) << text;
    EXPECT_THAT(analyzed.out, HasSubstr(text));
  }
  EXPECT_THAT(analyzed.out, AllOf(HasSubstr("ServiceEntry hidden/e"), HasSubstr("discoverySelectors do not select its namespace"),
                                  Not(HasSubstr("trust domain old"))));
}

// As istioctl proxy-status asks: the state-of-the-world call, one request, one answer.
TEST_F(Epochs, SyncStatusIsServedOverDiscovery) {
  namespace discovery = envoy::service::discovery::v3;
  write("p.yaml", policy("p", "{}"));
  ASSERT_TRUE(start());
  auto client = connect();
  client->acknowledges = false;
  for (const auto type : {kAuthorizationType, kAddressType}) client->subscribe(type);
  until([&] { return client->responses.size() == 2; }, "the first answers");
  client->acknowledge(kAuthorizationType, client->responses[std::string(kAuthorizationType)][0].nonce, "shop/p: no");
  until([&] { return standing().contains("no"); }, "the refusal");
  const auto ask = [&](const std::string& token, const std::string& type, const std::string& name) {
    const rpc::Channel channel(server());
    discovery::DiscoveryResponse out;
    std::optional<rpc::Ended> ended;
    rpc::Stream stream(loop, channel, std::string(controlplane::kDebugPath), {{"authorization", "Bearer " + token}},
                       {.on_message = [&](const std::string& message) { EXPECT_TRUE(out.ParseFromString(message)); },
                        .on_end = [&](rpc::Ended how) { ended = std::move(how); }});
    discovery::DiscoveryRequest request;
    request.set_type_url(type);
    if (!name.empty()) request.add_resource_names(name);
    stream.send(request.SerializeAsString());
    until([&] { return ended || out.resources_size() > 0; }, "an answer");
    if (ended) out.set_nonce("ended " + std::to_string(ended->code));
    return out;
  };

  const auto all = ask(kToken2, "istio.io/debug/syncz", "");

  ASSERT_EQ(all.resources_size(), 1);
  EXPECT_EQ(all.type_url(), "istio.io/debug/syncz");
  EXPECT_THAT(all.control_plane().identifier(), HasSubstr(R"("Component":"istiod")"));
  envoy::service::status::v3::ClientConfig config;
  ASSERT_TRUE(config.ParseFromString(all.resources(0).value()));
  EXPECT_THAT(config.node().id(), HasSubstr("ztunnel-1.istio-system"));
  std::map<std::string, int> standings;
  for (const auto& one : config.generic_xds_configs()) standings[one.type_url()] = one.config_status();
  EXPECT_EQ(standings[std::string(kAuthorizationType)], envoy::service::status::v3::ERROR);
  EXPECT_EQ(standings[std::string(kAddressType)], envoy::service::status::v3::STALE);
  const auto page = ask(kToken2, "istio.io/debug", "epochs?object=ap/shop/p");
  ASSERT_EQ(page.resources_size(), 1);
  EXPECT_THAT(page.resources(0).value(), HasSubstr("refused shop/p of WADS: no"));
  EXPECT_EQ(ask(kToken2, "istio.io/debug", "nothing").nonce(), "ended 3");
  EXPECT_EQ(ask("token-of-nobody-at-all", "istio.io/debug/syncz", "").nonce(), "ended 16");
}

TEST_F(Epochs, MetricsHaveIstiodsNames) {
  write("a.yaml", pod("a", "n1", "10.0.0.1"));
  ASSERT_TRUE(start());
  auto client = subscribed(kToken1);
  until_standing("n1: has");

  const std::string text = metrics();

  for (const char* line :
       {"pilot_services 0\n", "pilot_xds 1\n", "pilot_xds_pushes{type=\"wds\"} 1\n", "pilot_xds_pushes{type=\"wads\"} 1\n",
        "pilot_proxy_convergence_time_count 1\n", "pilot_xds_push_time_count", "pilot_xds_config_size_bytes_count 2\n",
        "pilot_push_triggers{type=\"config\"} 1\n", "pilot_inbound_updates{type=\"config\"} 1\n",
        "pilot_k8s_reg_events{type=\"Pods\",event=\"add\"} 1\n", "pilot_total_xds_internal_errors 0\n",
        "pilot_xds_expired_nonce 0\n", "pilot_info{version=", "citadel_server_cert_chain_expiry_timestamp ",
        "citadel_server_csr_count 0\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

}  // namespace
}  // namespace culvert::test
