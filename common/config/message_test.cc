// Kinds that a proto describes: what the generic mapping takes, what it refuses, and how it says so.
#include "common/config/message.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "common/config/kinds.h"
#include "common/config/parse.h"
#include "common/config/time.h"
#include "proto/gateway/route.pb.h"
#include "proto/istio/mesh/v1alpha1/config.pb.h"
#include "proto/istio/networking/v1alpha3/destination_rule.pb.h"
#include "proto/istio/networking/v1alpha3/envoy_filter.pb.h"
#include "proto/istio/networking/v1alpha3/virtual_service.pb.h"

namespace culvert::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string object(const std::string& type, const std::string& spec) {
  return "apiVersion: " + type.substr(0, type.find(' ')) + "\nkind: " + type.substr(type.find(' ') + 1) +
         "\nmetadata: {name: o, namespace: shop}\nspec:\n" + spec;
}
std::string route(const std::string& spec) { return object("networking.istio.io/v1 VirtualService", spec); }
std::string rule(const std::string& spec) { return object("networking.istio.io/v1 DestinationRule", spec); }

std::vector<std::string> mistakes(const std::string& yaml) {
  std::vector<std::string> out;
  const ParsedFile file = parse_yaml("f.yaml", yaml);
  for (const Broken& broken : file.broken) {
    for (const Problem& problem : broken.problems) out.push_back(problem.text());
  }
  EXPECT_TRUE(!out.empty() || file.objects.size() == 1) << yaml;
  return out;
}

template <class Spec>
Spec read(const std::string& yaml) {
  EXPECT_THAT(mistakes(yaml), IsEmpty());
  const ParsedFile file = parse_yaml("f.yaml", yaml);
  if (file.objects.size() != 1) return {};
  return dynamic_cast<const Spec&>(*std::get<Custom>(*file.objects[0].object).spec);
}

using istio::networking::v1alpha3::DestinationRule;
using istio::networking::v1alpha3::EnvoyFilter;
using istio::networking::v1alpha3::VirtualService;

TEST(Message, ReadsARouteWhole) {
  const auto spec = read<VirtualService>(route(R"(
  hosts: [web]
  http:
  - match: [{uri: {prefix: /a}, headers: {x-user: {exact: jim}}}]
    route: [{destination: {host: web, port: {number: 80}}, weight: 90}, {destination: {host: web, subset: v2}, weight: 10}]
    timeout: 1m30s
    retries: {attempts: 3, perTryTimeout: 0.5s, retryRemoteLocalities: true}
    fault: {abort: {httpStatus: 503, percentage: {value: 0.5}}}
)"));

  ASSERT_EQ(spec.http_size(), 1);
  EXPECT_EQ(spec.http(0).match(0).headers().at("x-user").exact(), "jim");
  EXPECT_EQ(spec.http(0).route(1).weight(), 10);
  EXPECT_EQ(spec.http(0).timeout().seconds(), 90);
  EXPECT_EQ(spec.http(0).retries().per_try_timeout().nanos(), 500'000'000);
  EXPECT_TRUE(spec.http(0).retries().retry_remote_localities().value());
  EXPECT_EQ(spec.http(0).fault().abort().percentage().value(), 0.5);
}

TEST(Message, NamesTheFieldTheLineAndWhatWasMeant) {
  EXPECT_THAT(
      mistakes(route("  hosts: [web]\n  http:\n  - route:\n    - destinaton: {host: web}\n")),
      ElementsAre("f.yaml:8: VirtualService shop/o: spec.http[0].route[0].destinaton: unknown field (did you mean destination?)",
                  "f.yaml:8: VirtualService shop/o: spec.http[0].route[0].destination: is missing"));
  EXPECT_THAT(
      mistakes(rule("  host: web\n  trafficPolicy: {tls: {mode: SIMPEL}}\n")),
      ElementsAre("f.yaml:6: DestinationRule shop/o: spec.trafficPolicy.tls.mode: unknown value \"SIMPEL\" (write DISABLE, "
                  "SIMPLE, MUTUAL or ISTIO_MUTUAL)"));
}

TEST(Message, RefusesWhatIsNoValueOfTheField) {
  const auto one = [](const std::string& spec) { return mistakes(route("  http: [{" + spec + "}]\n")); };

  EXPECT_THAT(one("timeout: 5"),
              ElementsAre(HasSubstr("spec.http[0].timeout: must be a string, is a number (write \"5\", in quotes)")));
  EXPECT_THAT(one("timeout: 5 s"), ElementsAre(HasSubstr("\"5 s\" is not a duration (write for example 1.5s, 500ms or 1h30m)")));
  EXPECT_THAT(one("timeout: -1s"), ElementsAre(HasSubstr("is before the beginning")));
  EXPECT_THAT(one("retries: {perTryTimeout: 1us}"), ElementsAre(HasSubstr("\"1us\" is too short (write 1ms or more)")));
  EXPECT_THAT(one("retries: {attempts: -1}"), ElementsAre(HasSubstr("attempts: -1 is out of range (write 0 to 2147483647)")));
  EXPECT_THAT(one("retries: {attempts: '3'}"), ElementsAre(HasSubstr("must be a number, is a string")));
  EXPECT_THAT(one("retries: {retryRemoteLocalities: 'true'}"), ElementsAre(HasSubstr("must be a boolean")));
  EXPECT_THAT(one("match: {uri: {exact: a}}"), ElementsAre(HasSubstr("spec.http[0].match: must be a list, is a map")));
  EXPECT_THAT(one("match: [{uri: {exact: a, prefix: b}}]"),
              ElementsAre(HasSubstr("uri.prefix: stands beside exact (write one of the two)")));
  EXPECT_THAT(one("match: [{uri: }]"), ElementsAre(HasSubstr("spec.http[0].match[0].uri: has no value")));
  EXPECT_THAT(one("directResponse: {status: 99}"), ElementsAre(HasSubstr("99 is out of range (write 100 to 599)")));
  EXPECT_THAT(one("directResponse: {status: 200, body: {bytes: 'a+b'}}"), IsEmpty());
  EXPECT_THAT(one("directResponse: {status: 200, body: {bytes: 'a?b'}}"), ElementsAre(HasSubstr("is not base64")));
  EXPECT_THAT(one("fault: {delay: {percentage: {value: 101}}}"), ElementsAre(HasSubstr("101 is out of range (at most 100)")));
  EXPECT_THAT(one("redirect: {port: 80, derivePort: FROM_REQUEST_PORT}"),
              ElementsAre(HasSubstr("derivePort: stands beside port")));
  EXPECT_THAT(one("mirror_percent: 5, mirrorPercent: 6"),
              ElementsAre(HasSubstr("mirrorPercent: is also there as mirror_percent")));
}

TEST(Message, TakesBothSpellingsOfAField) {
  EXPECT_TRUE(read<DestinationRule>(rule("  host: web\n  traffic_policy: {}\n")).has_traffic_policy());
  EXPECT_TRUE(read<DestinationRule>(rule("  host: web\n  trafficPolicy: {}\n")).has_traffic_policy());
}

TEST(Message, TakesNumbersOf64BitsInStrings) {
  const auto size = [](const std::string& value) {
    return rule("  host: web\n  trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: " +
                value + "}}}}\n");
  };

  EXPECT_EQ(read<DestinationRule>(size("18446744073709551615"))
                .traffic_policy()
                .load_balancer()
                .consistent_hash()
                .ring_hash()
                .minimum_ring_size(),
            18446744073709551615U);
  EXPECT_THAT(mistakes(size("'1024'")), IsEmpty());
  EXPECT_THAT(mistakes(size("'many'")), ElementsAre(HasSubstr("\"many\" is not a number")));
  EXPECT_THAT(mistakes(size("18446744073709551616")), ElementsAre(HasSubstr("is out of range")));
}

TEST(Message, KeepsWhatIsFree) {
  const auto spec = read<EnvoyFilter>(
      object("networking.istio.io/v1alpha3 EnvoyFilter",
             "  configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {a: [1, true, null, {b: x}]}}}]\n"));

  const auto& list = spec.config_patches(0).patch().value().fields().at("a").list_value();
  ASSERT_EQ(list.values_size(), 4);
  EXPECT_EQ(list.values(0).number_value(), 1);
  EXPECT_TRUE(list.values(2).has_null_value());
  EXPECT_EQ(list.values(3).struct_value().fields().at("b").string_value(), "x");
}

TEST(Message, ChecksWhatTheOptionsSay) {
  const auto entry = [](const std::string& spec) { return mistakes(object("networking.istio.io/v1 ServiceEntry", spec)); };

  EXPECT_THAT(entry("  ports: [{number: 80, name: a}]\n"), ElementsAre(HasSubstr("spec.hosts: is missing")));
  EXPECT_THAT(entry("  hosts: []\n"), ElementsAre(HasSubstr("spec.hosts: is empty (write at least one)")));
  EXPECT_THAT(entry("  hosts: [a.com]\n  ports: [{number: 0, name: a}]\n"),
              ElementsAre(HasSubstr("0 is out of range (write 1 to 65535)")));
  EXPECT_THAT(
      entry("  hosts: [a.com]\n  ports: [{number: 80, name: a}, {number: 80, name: b}]\n"),
      ElementsAre("f.yaml:6: ServiceEntry shop/o: spec.ports[1].number: 80 is also that of [0] (each may be there once)"));
  EXPECT_THAT(entry("  hosts: [a.com]\n  workloadSelector: {labels: {a: b}}\n  endpoints: [{address: 1.1.1.1}]\n"),
              ElementsAre(HasSubstr("spec: has more than one of workloadSelector and endpoints (write one of them)")));
  EXPECT_THAT(entry("  hosts: [a.com]\n  endpoints: [{ports: {http: 70000}}]\n"),
              ElementsAre(HasSubstr("spec.endpoints[0].ports.http: 70000 is out of range")));
  EXPECT_THAT(entry("  hosts: [a.com]\n  workloadSelector: {labels: {a: 'b*'}}\n"),
              ElementsAre(HasSubstr("\"b*\" has a wildcard")));
  EXPECT_THAT(mistakes(object("telemetry.istio.io/v1 Telemetry", "  tracing: [{customTags: {a: {}}}]\n")),
              ElementsAre(HasSubstr("spec.tracing[0].customTags.a: has none of literal, environment, header and formatter")));
  EXPECT_THAT(mistakes(object("security.istio.io/v1 RequestAuthentication", "  jwtRules: [{issuer: a, jwksUri: ftp://x}]\n")),
              ElementsAre(HasSubstr("\"ftp://x\" is not a URL")));
}

TEST(Message, ReadsTheGatewayApi) {
  const auto http = [](const std::string& rules) {
    return mistakes(object("gateway.networking.k8s.io/v1 HTTPRoute", "  parentRefs: [{name: g}]\n  rules: [" + rules + "]\n"));
  };
  const auto spec =
      read<culvert::gateway::HTTPRoute>(object("gateway.networking.k8s.io/v1 HTTPRoute",
                                               "  parentRefs: [{name: web, kind: Service, group: ''}]\n  rules: [{backendRefs: "
                                               "[{name: web, port: 80}], timeouts: {request: 10s}}]\n"));

  EXPECT_EQ(spec.parent_refs(0).kind(), "Service");
  EXPECT_EQ(spec.rules(0).matches(0).path().type(), "PathPrefix") << "as the API server fills it in";
  EXPECT_EQ(spec.rules(0).backend_refs(0).weight(), 1);
  EXPECT_THAT(http("{filters: [{type: URLRewrite, cors: {}}]}"),
              ElementsAre(HasSubstr("filters[0].urlRewrite: is missing (type URLRewrite needs it)"),
                          HasSubstr("filters[0].cors: has no meaning with type \"URLRewrite\"")));
  EXPECT_THAT(http("{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 300}}]}"),
              ElementsAre(HasSubstr("unknown value 300 (write 301, 302, 303, 307 or 308)")));
  EXPECT_THAT(http("{timeouts: {request: 10}}"), ElementsAre(HasSubstr("must be a string")));
  EXPECT_THAT(http("{timeouts: {request: 1.5s}}"), ElementsAre(HasSubstr("\"1.5s\" is not a duration")));
  EXPECT_THAT(http("{matches: [{method: get}]}"), ElementsAre(HasSubstr("unknown value \"get\" (write GET, HEAD,")));
  EXPECT_EQ(key_of(*parse_yaml("f.yaml",
                               "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: "
                               "{controllerName: a.b/c}\n")
                        .objects.at(0)
                        .object)
                .text(),
            "GatewayClass c");
}

TEST(Message, AnObjectSaysOnlyWhatItsKindHas) {
  EXPECT_THAT(mistakes(route("  hosts: [a]\nspecs: {}\n")),
              ElementsAre(HasSubstr("VirtualService shop/o: specs: unknown field (did you mean spec?)")));
  EXPECT_THAT(mistakes("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: o}\n"),
              ElementsAre(HasSubstr("spec: is missing")));
  EXPECT_THAT(mistakes("apiVersion: networking.istio.io/v2\nkind: Sidecar\nmetadata: {name: o}\n"),
              ElementsAre(HasSubstr("apiVersion: \"networking.istio.io/v2\" is not read (write networking.istio.io/v1)")));
  EXPECT_THAT(mistakes("apiVersion: networking.istio.io/v1\nkind: VirtualServce\nmetadata: {name: o}\n"),
              ElementsAre("f.yaml:1: unknown kind \"VirtualServce\" (did you mean VirtualService?)"));
}

TEST(Message, ObjectsAreComparedByWhatTheySay) {
  const auto object_of = [](const std::string& yaml) { return parse_yaml("f.yaml", yaml).objects.at(0).object; };

  EXPECT_EQ(*object_of(route("  hosts: [a]\n")), *object_of(route("  hosts: [a]\n")));
  EXPECT_NE(*object_of(route("  hosts: [a]\n")), *object_of(route("  hosts: [b]\n")));
  EXPECT_EQ(key_of(*object_of(route("  hosts: [a]\n"))).text(), "VirtualService shop/o");
}

TEST(Message, ManyMistakesAreCheap) {
  std::string spec = "  hosts: [a]\n";
  for (int i = 0; i < 100'000; ++i) spec += "  field" + std::to_string(i) + ": 1\n";

  EXPECT_THAT(mistakes(route(spec)), SizeIs(100));
}

TEST(Message, ReadsTheMeshsConfiguration) {
  istio::mesh::v1alpha1::MeshConfig mesh;
  const Place place{"mesh.yaml", 10};

  EXPECT_THAT(
      read_text(place, "ConfigMap istio-system/istio", "data.mesh",
                "trustDomain: td\ndefaultConfig: {discoveryAddress: istiod:15012}\nmeshMTLS: {minProtocolVersion: TLSV1_3}\n"
                "extensionProviders:\n- name: otel\n  opentelemetry: {service: otel, port: 4317}\n",
                mesh),
      IsEmpty());
  EXPECT_EQ(mesh.trust_domain(), "td");
  EXPECT_EQ(mesh.mesh_mtls().min_protocol_version(), istio::mesh::v1alpha1::MeshConfig::TLSConfig::TLSV1_3);

  const auto wrong = read_text(place, "ConfigMap istio-system/istio", "data.mesh", "trustDomain: td\nrootNamespce: a\n", mesh);
  ASSERT_THAT(wrong, SizeIs(1));
  EXPECT_EQ(wrong[0].text(),
            "mesh.yaml:11: ConfigMap istio-system/istio: data.mesh.rootNamespce: unknown field (did you mean rootNamespace?)");
}

TEST(Durations, AreReadAsProtobufAndGoWriteThem) {
  using namespace std::chrono_literals;
  const std::pair<const char*, std::chrono::nanoseconds> cases[] = {
      {"0", 0s},        {"0s", 0s},       {"1.5s", 1500ms},
      {"1h30m", 90min}, {"500ms", 500ms}, {".5m", 30s},
      {"1us", 1us},     {"-2s", -2s},     {"1.000000001s", 1000000001ns}};
  for (const auto& [text, value] : cases) EXPECT_EQ(duration_of(text), value) << text;
  for (const char* wrong :
       {"", "s", "1", "1 s", "1x", "1s2", "1..5s", "9999999999999999h", "9223372036854775808ns", "--1s", "1d"})
    EXPECT_EQ(duration_of(wrong), std::nullopt) << wrong;
}

TEST(Kinds, EachHasItsOwnMessageAndKeepsItsName) {
  for (const CustomKind& row : custom_kinds()) {
    EXPECT_EQ(find_kind(row.group, row.name), &row);
    EXPECT_TRUE(name(row.kind) == row.name || name(row.kind) == row.name + "." + row.group) << row.name;
  }
  for (int kind = 0; kind <= static_cast<int>(Kind::kListenerSet); ++kind)
    EXPECT_EQ(find_kind(Kind{static_cast<std::uint8_t>(kind)}) != nullptr, kind >= static_cast<int>(Kind::kPeerAuthentication))
        << kind;
}

}  // namespace
}  // namespace culvert::config
