#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "controlplane/crd/reference.h"

namespace culvert::crd {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

json::object definition(std::string_view group, std::string_view kind) {
  const config::CustomKind* row = config::find_kind(group, kind);
  EXPECT_NE(row, nullptr) << kind;
  return definition_of(*row, {});
}
json::object istio(std::string_view kind) { return definition("networking.istio.io", kind); }

// A place in the schema of the first version: "/spec/properties/hosts".
std::string at(const json::object& definition, const std::string& path) {
  const json::value whole(definition);
  boost::system::error_code error;
  const auto* found = whole.find_pointer("/spec/versions/0/schema/openAPIV3Schema/properties" + path, error);
  return found ? json::serialize(*found) : "nothing";
}

TEST(Crd, NamesTheKindAndServesAllItsVersions) {
  const json::object crd = istio("ServiceEntry");

  EXPECT_EQ(crd.at("metadata").at("name"), "serviceentries.networking.istio.io");
  EXPECT_EQ(crd.at("metadata").at("annotations").at("helm.sh/resource-policy"), "keep");
  EXPECT_EQ(crd.at("metadata").at("labels").at("app.kubernetes.io/part-of"), "culvert");
  EXPECT_EQ(json::serialize(crd.at("spec").at("names").at("shortNames")), R"(["se"])");
  std::string versions;
  for (const json::value& version : crd.at("spec").at("versions").as_array()) {
    EXPECT_TRUE(version.at("served").as_bool());
    EXPECT_TRUE(version.at("subresources").as_object().contains("status"));
    versions += std::string(version.at("name").as_string()) + (version.at("storage").as_bool() ? "! " : " ");
  }
  EXPECT_EQ(versions, "v1! v1beta1 v1alpha3 ");
  EXPECT_EQ(json::serialize(crd.at("spec").at("versions").at(0).at("schema").at("openAPIV3Schema").at("required")),
            R"(["spec"])");
}

TEST(Crd, ScopeStorageAndApprovalAreThoseOfTheKind) {
  const json::object gateway_class = definition("gateway.networking.k8s.io", "GatewayClass");

  EXPECT_EQ(gateway_class.at("spec").at("scope"), "Cluster");
  EXPECT_TRUE(gateway_class.at("metadata").at("annotations").as_object().contains("api-approved.kubernetes.io"));
  EXPECT_THAT(at(gateway_class, "/spec/properties/controllerName"),
              HasSubstr(R"({"rule":"self == oldSelf","message":"cannot be changed"})"));
  EXPECT_FALSE(definition("telemetry.istio.io", "Telemetry").at("spec").at("versions").at(0).at("storage").as_bool());
}

TEST(Crd, SaysTypesAndBounds) {
  const json::object route = istio("VirtualService");
  const std::string http = "/spec/properties/http/items/properties";

  EXPECT_EQ(at(route, "/spec/properties/hosts"), R"({"type":"array","items":{"type":"string","minLength":1}})");
  EXPECT_EQ(at(route, http + "/directResponse/properties/status"), R"({"type":"integer","minimum":100,"maximum":599})");
  EXPECT_EQ(at(route, http + "/directResponse/properties/body/properties/bytes"), R"({"type":"string","format":"byte"})");
  EXPECT_EQ(at(route, http + "/corsPolicy/properties/unmatchedPreflights"),
            R"({"type":"string","enum":["UNSPECIFIED","FORWARD","IGNORE"]})");
  EXPECT_EQ(at(route, http + "/mirrorPercentage/properties/value"), R"({"type":"number","minimum":0,"maximum":100})");
  EXPECT_EQ(at(route, http + "/retries/properties/retryRemoteLocalities"), R"({"type":"boolean"})");
  EXPECT_THAT(at(route, http + "/retries/properties/backoff"), HasSubstr("duration(self) >= duration('1ms')"));
  EXPECT_THAT(at(route, http + "/timeout"), HasSubstr("pattern"));
  EXPECT_NE(at(route, http + "/mirror_percent"), "nothing") << "objects have it by this name as well";
  EXPECT_EQ(at(istio("DestinationRule"),
               "/spec/properties/trafficPolicy/properties/loadBalancer/properties/consistentHash/properties/maglev/"
               "properties/tableSize"),
            R"({"x-kubernetes-int-or-string":true})");
}

TEST(Crd, KeepsWhatIsFree) {
  EXPECT_EQ(at(istio("EnvoyFilter"), "/spec/properties/configPatches/items/properties/patch/properties/value"),
            R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})");
  EXPECT_EQ(at(istio("Sidecar"), "/status"), R"({"type":"object","x-kubernetes-preserve-unknown-fields":true})");
}

// Inside of lists that have no end a rule in CEL may cost too much: there it is said without a message.
TEST(Crd, SaysWhatExcludesWhat) {
  EXPECT_THAT(
      at(istio("EnvoyFilter"), "/spec/x-kubernetes-validations"),
      HasSubstr(
          R"({"rule":"(has(self.workloadSelector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1","message":"write only one of workloadSelector and targetRefs"})"));
  EXPECT_EQ(at(istio("VirtualService"), "/spec/properties/http/items/properties/fault/properties/delay/allOf"),
            R"([{"not":{"anyOf":[{"required":["fixedDelay","exponentialDelay"]}]}}])");
  EXPECT_EQ(
      at(definition("telemetry.istio.io", "Telemetry"),
         "/spec/properties/tracing/items/properties/customTags/additionalProperties/allOf"),
      R"([{"oneOf":[{"required":["literal"]},{"required":["environment"]},{"required":["header"]},{"required":["formatter"]}]}])");
  EXPECT_THAT(at(definition("gateway.networking.k8s.io", "HTTPRoute"),
                 "/spec/properties/rules/items/properties/filters/items/x-kubernetes-validations"),
              HasSubstr("(self.type == 'URLRewrite') == has(self.urlRewrite)"));
}

TEST(Crd, SaysKeysAndDefaults) {
  EXPECT_THAT(at(istio("ServiceEntry"), "/spec/properties/ports"),
              HasSubstr(R"("x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["number"])"));
  EXPECT_THAT(at(definition("security.istio.io", "PeerAuthentication"), "/spec/properties/portLevelMtls"),
              HasSubstr("int(key) <= 65535"));
  EXPECT_EQ(at(definition("gateway.networking.k8s.io", "TCPRoute"),
               "/spec/properties/rules/items/properties/backendRefs/items/properties/weight"),
            R"({"type":"integer","format":"int32","minimum":0,"maximum":1000000,"default":1})");
}

TEST(Crd, DescribesWithTheProtosComments) {
  const config::CustomKind* kind = config::find_kind("networking.istio.io", "Sidecar");
  const Comments comments = {{kind->spec->full_name(), "What a proxy knows."}};

  EXPECT_THAT(json::serialize(definition_of(*kind, comments)), HasSubstr(R"("description":"What a proxy knows.")"));
  EXPECT_TRUE(read_comments("no descriptors").empty());
}

// What stands between two headings of a page.
std::string section(const std::string& page, const std::string& heading) {
  const auto begin = page.find("\n## " + heading + "\n");
  return begin == page.npos ? "" : page.substr(begin, page.find("\n#", begin + 1) - begin);
}

TEST(Reference, SaysOfEachFieldOfMeshConfigWhatComesOfIt) {
  const auto pages = reference({{"istio.mesh.v1alpha1.MeshConfig.trust_domain", "First part of every identity."}});
  const std::string page = pages.at("meshconfig.md");

  const std::string followed = section(page, "Followed"), later = section(page, "Not enforced yet"),
                    never = section(page, "Without meaning in a mesh without sidecars");
  EXPECT_THAT(followed, HasSubstr("| `trustDomain` | string |  | First part of every identity. |"));
  EXPECT_THAT(followed, HasSubstr("| `discoverySelectors` | list of [LabelSelector](#labelselector) |"));
  EXPECT_THAT(later, AllOf(HasSubstr("`data.mesh: this version does not enforce FIELD yet`"), HasSubstr("| `accessLogFile` |")));
  EXPECT_THAT(never, AllOf(HasSubstr("`data.mesh: FIELD: has no meaning"), HasSubstr("| `proxyListenPort` |")));
  EXPECT_THAT(followed, Not(HasSubstr("`accessLogFile`")));
  EXPECT_THAT(page, HasSubstr("\n### LabelSelector\n"));
}

TEST(Reference, ListsItsPages) {
  auto pages = reference({});
  const std::string index = pages.extract("README.md").mapped();

  for (const auto& [name, page] : pages) EXPECT_THAT(index, HasSubstr("](" + name + ")"));
  EXPECT_THAT(index, HasSubstr("| [telemetry.istio.io](telemetry.istio.io.md) | Telemetry |"));
}

}  // namespace
}  // namespace culvert::crd
