// Each rule in CEL has its check, and each check the objects that show it: tests/golden/rules, one file for each rule, named by its message. Their
// bad-… break that rule, their good-… none. What an API server says of them is integration.crds.
#include "common/config/rules.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "common/config/kinds.h"
#include "common/config/parse.h"
#include "common/config/url.h"
#include "proto/culvert/schema.pb.h"

namespace culvert::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::RepeatedPtrField;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

// Message by rule, of all that a type leads to.
void collect(const Descriptor& type, std::set<const Descriptor*>& seen, std::map<std::string, std::string>& out) {
  if (!seen.insert(&type).second) return;
  const auto take = [&](const RepeatedPtrField<culvert::Cel>& rules) {
    for (const culvert::Cel& rule : rules) out.emplace(rule.rule(), rule.message());
  };
  take(type.options().GetExtension(culvert::object).cel());
  for (int i = 0; i < type.field_count(); ++i) {
    take(type.field(i)->options().GetExtension(culvert::value).cel());
    if (type.field(i)->message_type() != nullptr) collect(*type.field(i)->message_type(), seen, out);
  }
}

std::map<std::string, std::string> rules_of_protos() {
  std::set<const Descriptor*> seen;
  std::map<std::string, std::string> out;
  for (const CustomKind& kind : custom_kinds()) collect(*kind.spec, seen, out);
  return out;
}

// "a host cannot be *" -> the text of tests/golden/rules/a-host-cannot-be.yaml
std::string cases_of(const std::string& message) {
  std::string name;
  for (const char c : message) {
    const auto letter = static_cast<unsigned char>(c);
    if (std::isalnum(letter)) name += static_cast<char>(std::tolower(letter));
    else if (!name.ends_with('-')) name += '-';
  }
  if (name.ends_with('-')) name.pop_back();
  std::ifstream file("tests/golden/rules/" + name + ".yaml");
  return {std::istreambuf_iterator(file), {}};
}

std::vector<std::string> broken_rules(const Tree& object) {
  const std::string& version = object.find("apiVersion")->text;
  const CustomKind* kind = find_kind(version.substr(0, version.find('/')), object.find("kind")->text);
  EXPECT_NE(kind, nullptr);
  Report report;
  check_rules(report, *object.find("spec"), "spec", *kind->spec);
  std::vector<std::string> out;
  for (const Problem& problem : report.problems) out.push_back(problem.what);
  return out;
}

TEST(Rules, EachHasACheckAndEachCheckARule) {
  std::set<std::string_view> known, wanted;
  const auto rules = rules_of_protos();
  for (const auto& [rule, message] : rules) wanted.insert(rule);
  for (const Check& check : checks()) EXPECT_TRUE(known.insert(check.rule).second) << "twice: " << check.rule;

  EXPECT_EQ(known, wanted);
}

TEST(Rules, OnlyARuleOfAllItemsIsAskedOfEach) {
  for (const Check& check : checks()) {
    const bool alone = check.rule.starts_with("self.all(") && !check.rule.substr(1).contains("self.");
    EXPECT_EQ(check.each, alone) << check.rule;
  }
}

TEST(Rules, EachRefusesWhatBreaksItAndNothingElse) {
  for (const auto& [rule, message] : rules_of_protos()) {
    int bad = 0, good = 0;
    for (const Document& document : read_yaml(cases_of(message))) {
      ASSERT_TRUE(document.root) << message;
      const std::string& name = document.root->find("metadata")->find("name")->text;
      const bool breaks = name.starts_with("bad-");
      ++(breaks ? bad : good);
      if (breaks) EXPECT_THAT(broken_rules(*document.root), Contains(message)) << name;
      else EXPECT_THAT(broken_rules(*document.root), IsEmpty()) << name;
    }
    EXPECT_GT(bad, 0) << message;
    EXPECT_GT(good, 0) << message;
  }
}

TEST(Rules, AreCheckedOfEveryObjectThatIsRead) {
  for (const auto& [rule, message] : rules_of_protos()) {
    const ParsedFile file = parse_yaml("f.yaml", cases_of(message));
    for (const Parsed& parsed : file.objects) EXPECT_THAT(key_of(*parsed.object).name, StartsWith("good-"));
    for (const Broken& broken : file.broken) EXPECT_THAT(broken.key->name, StartsWith("bad-"));
  }
}

std::vector<std::string> problems(const std::string& kind, const std::string& spec) {
  std::vector<std::string> out;
  for (const Broken& broken :
       parse_yaml("f.yaml", "apiVersion: " + kind + "\nmetadata: {name: o, namespace: shop}\nspec:\n" + spec).broken)
    for (const Problem& problem : broken.problems) out.push_back(problem.text());
  return out;
}

TEST(Rules, NameTheItemAndItsLine) {
  EXPECT_THAT(problems("gateway.networking.k8s.io/v1\nkind: Gateway",
                       "  gatewayClassName: c\n  listeners:\n  - {name: a, port: 80, protocol: HTTP}\n"
                       "  - {name: b, port: 443, protocol: TLS}\n"),
              ElementsAre("f.yaml:8: Gateway shop/o: spec.listeners[1]: protocol TLS needs tls"));
  EXPECT_THAT(
      problems("telemetry.istio.io/v1\nkind: Telemetry",
               "  metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE},\n  b: {}}}]}]\n"),
      ElementsAre("f.yaml:6: Telemetry shop/o: spec.metrics[0].overrides[0].tagOverrides.b: value is missing: UPSERT sets it"));
}

TEST(Rules, AreNotAskedOfWhatIsWrongAnyway) {
  const std::string route = "gateway.networking.k8s.io/v1\nkind: HTTPRoute";

  EXPECT_THAT(problems(route, "  rules: [{backendRefs: [{nam: a}, {name: b}], timeouts: {request: 1, backendRequest: 2s}}]\n"),
              ElementsAre(HasSubstr("backendRefs[0].nam: unknown field"), HasSubstr("backendRefs[0].name: is missing"),
                          HasSubstr("timeouts.request: must be a string"), HasSubstr("backendRefs[1]: a Service needs a port")));
}

// Else a list that is too long, which nobody has said yet, would be compared with itself.
TEST(Rules, AreNotAskedWhenEnoughIsWrong) {
  std::string spec = "  gatewayClassName: c\n";
  for (int i = 0; i < 100; ++i) spec += "  field" + std::to_string(i) + ": 1\n";
  spec += "  listeners:\n";
  for (int i = 0; i < 100'000; ++i) spec += "  - {port: " + std::to_string(i) + "}\n";

  EXPECT_THAT(problems("gateway.networking.k8s.io/v1\nkind: Gateway", spec), SizeIs(100));
}

TEST(Rules, SeeFieldsByEitherOfTheirNames) {
  EXPECT_THAT(problems("telemetry.istio.io/v1\nkind: Telemetry", "  metrics: [{overrides: [{tag_overrides: {a: {}}}]}]\n"),
              ElementsAre(HasSubstr("tag_overrides.a: value is missing")));
  EXPECT_THAT(
      problems("security.istio.io/v1\nkind: AuthorizationPolicy",
               "  rules: [{from: [{source: {serviceAccounts: [a], principals: [b]}}]}]\n"),
      ElementsAre(HasSubstr("spec.rules[0].from[0].source: serviceAccounts cannot stand beside principals or namespaces")));
}

TEST(Urls, AreWhatGoTakesForOne) {
  const std::pair<const char*, std::optional<std::string>> cases[] = {{"oci://a/b:v1", "oci"},
                                                                      {"HTTP://A", "http"},
                                                                      {"a+b.c-1:x", "a+b.c-1"},
                                                                      {"/a", ""},
                                                                      {"*", ""},
                                                                      {"/%20", ""},
                                                                      {"http://[::1]:80/a", "http"},
                                                                      {"http://[fe80::1%25eth0]", "http"},
                                                                      {"http://a:", "http"},
                                                                      {"http://a%C3%A4", "http"},
                                                                      {"http://a%25", "http"},
                                                                      {"http:///a", "http"},
                                                                      {"x://u:p%40@h?%zz", "x"},
                                                                      {"//a b", ""}};
  for (const auto& [text, scheme] : cases) EXPECT_THAT(scheme_of(text), Eq(scheme)) << text;
  for (const char* wrong : {"",
                            "a",
                            "a/b",
                            ":a",
                            "1a:b",
                            "?",
                            "/%2",
                            "/%zz",
                            "http://a b",
                            "http://a:b",
                            "http://a%20",
                            "http://[::1",
                            "http://[::1]a",
                            "http://[a]",
                            "http://[1.1.1.1]",
                            "http://a[::1]",
                            "http://u@@[",
                            "http://u p@h",
                            "/a\x7f",
                            "/a\n"})
    EXPECT_THAT(scheme_of(wrong), Eq(std::nullopt)) << wrong;
}

}  // namespace
}  // namespace culvert::config
