#include "common/config/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace culvert::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

template <class T>
const T& only(const ParsedFile& file) {
  static const T none{};
  EXPECT_THAT(file.broken, IsEmpty()) << (file.broken.empty() ? "" : file.broken[0].problems[0].text());
  if (file.objects.size() != 1 || !std::holds_alternative<T>(*file.objects[0].object)) {
    ADD_FAILURE() << "not exactly one object of this kind";
    return none;
  }
  return std::get<T>(*file.objects[0].object);
}

// The texts of all problems of a file.
std::vector<std::string> problems(std::string_view yaml) {
  std::vector<std::string> out;
  for (const Broken& broken : parse_yaml("f.yaml", yaml).broken) {
    for (const Problem& problem : broken.problems) out.push_back(problem.text());
  }
  return out;
}

std::string policy(std::string_view spec) {
  return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec:\n" +
         std::string(spec);
}

TEST(Parse, ReadsAPod) {
  const ParsedFile file = parse_yaml("f.yaml", R"(
apiVersion: v1
kind: Pod
metadata:
  name: web-0
  namespace: shop
  labels: {app: web, enabled: "yes"}
  annotations: {ambient.istio.io/redirection: enabled}
  creationTimestamp: 2026-08-20T10:00:00Z
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d4f8c7b9, controller: true, uid: x}]
spec:
  nodeName: n1
  serviceAccountName: web
  containers:
  - name: web
    image: web:1
    command: [/bin/web]
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 2}
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]
  conditions: [{type: Initialized, status: "True"}, {type: Ready, status: "True"}]
)");

  const Pod& pod = only<Pod>(file);
  EXPECT_EQ(key_of(*file.objects[0].object).text(), "Pod shop/web-0");
  EXPECT_EQ(pod.spec.node_name, "n1");
  EXPECT_EQ(pod.spec.service_account, "web");
  EXPECT_TRUE(pod.ready);
  EXPECT_EQ(pod.phase, PodPhase::kRunning);
  ASSERT_THAT(pod.addresses, SizeIs(2));
  EXPECT_EQ(pod.addresses[1].text(), "fd00::1");
  EXPECT_EQ(pod.metadata.created, 1787220000);
  EXPECT_EQ(pod.metadata.owners->at(0).name, "web-5d4f8c7b9");
  ASSERT_TRUE(pod.spec.containers->at(0).readiness);
  EXPECT_EQ(pod.spec.containers->at(0).readiness->http_get->port.name, "http");
  EXPECT_EQ(file.objects[0].place.text(), "f.yaml:2");
}

TEST(Parse, TypesScalarsAsYaml12Does) {
  const ParsedFile file = parse_yaml(
      "f.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: no, b: on, c: y, d: 'true', e: 012x}\n");

  EXPECT_THAT(only<ConfigMap>(file).data, ElementsAre(testing::Pair("a", "no"), testing::Pair("b", "on"), testing::Pair("c", "y"),
                                                      testing::Pair("d", "true"), testing::Pair("e", "012x")));
}

TEST(Parse, RefusesANumberWhereAStringBelongs) {
  EXPECT_THAT(problems("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  port: 80\n"),
              ElementsAre("f.yaml:5: ConfigMap default/c: data.port: must be a string, is a number (write \"80\", in quotes)"));
}

TEST(Parse, ReadsManyDocumentsAndLists) {
  const ParsedFile file = parse_yaml("f.yaml", R"(# header
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
--- # next
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ServiceAccount
  metadata: {name: a, namespace: shop}
- apiVersion: v1
  kind: ServiceAccount
  metadata: {name: b, namespace: shop}
...
---
)");

  EXPECT_THAT(file.broken, IsEmpty());
  ASSERT_THAT(file.objects, SizeIs(3));
  EXPECT_EQ(file.objects[0].place.line, 3);
  EXPECT_EQ(file.objects[2].place.line, 13);
}

TEST(Parse, OneBrokenDocumentLeavesTheOthersAlone) {
  const ParsedFile file = parse_yaml("f.yaml", R"(apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: deny-all   # of everything
  namespace: "shop"
spec: {rules: [
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
)");

  EXPECT_THAT(file.objects, SizeIs(2));
  ASSERT_THAT(file.broken, SizeIs(1));
  ASSERT_TRUE(file.broken[0].key);
  EXPECT_EQ(file.broken[0].key->text(), "AuthorizationPolicy shop/deny-all");
  EXPECT_THAT(file.broken[0].problems[0].text(), HasSubstr("AuthorizationPolicy shop/deny-all: not YAML"));
}

TEST(Parse, IstioObjectsAreStrict) {
  EXPECT_THAT(problems(policy("  rules:\n  - from:\n    - source:\n        principal: [a]\n")),
              ElementsAre("f.yaml:8: AuthorizationPolicy shop/p: spec.rules[0].from[0].source.principal: unknown field (did you "
                          "mean principals?)"));
  EXPECT_THAT(
      problems(policy("  action: ALOW\n")),
      ElementsAre(
          "f.yaml:5: AuthorizationPolicy shop/p: spec.action: unknown value \"ALOW\" (write ALLOW, DENY, AUDIT or CUSTOM)"));
  EXPECT_THAT(problems(policy("  rules: [{to: [{operation: {ports: [80]}}]}]\n")),
              ElementsAre(HasSubstr("write \"80\", in quotes")));
  EXPECT_THAT(problems(policy("  rules: [{from: [{source: {ipBlocks: [10.0.0/8]}}]}]\n")),
              ElementsAre(HasSubstr("\"10.0.0/8\" is not an address or a prefix")));
  EXPECT_THAT(problems(policy("  rules: [{from: [{source: {}}]}]\n")),
              ElementsAre(HasSubstr("spec.rules[0].from[0].source: has no attribute")));
  EXPECT_THAT(problems(policy("  rules: [{from: []}]\n")), ElementsAre(HasSubstr("spec.rules[0].from: is empty")));
  EXPECT_THAT(problems(policy("  action: DENY\n")), ElementsAre(HasSubstr("spec.rules: is missing")));
  EXPECT_THAT(problems(policy("  selector: {matchLabels: {app: a}}\n  targetRefs: [{kind: Gateway, name: g}]\n")),
              ElementsAre(HasSubstr("spec.selector: stands beside targetRefs")));
  EXPECT_THAT(problems(policy("  rules: [{when: [{key: source.port, values: [a]}]}]\n")),
              ElementsAre(HasSubstr("unknown key \"source.port\"")));
  EXPECT_THAT(problems(policy("  rules: [{from: [{source: {serviceAccounts: [a/b/c]}}]}]\n")),
              ElementsAre(HasSubstr("is not a service account")));
}

TEST(Parse, ReadsAnAuthorizationPolicy) {
  const ParsedFile file = parse_yaml("f.yaml", policy(R"(  selector: {matchLabels: {app: web}}
  action: DENY
  rules:
  - from: [{source: {principals: ["*"], ipBlocks: [10.0.0.0/8]}}]
    to: [{operation: {ports: ["80"], methods: [GET]}}]
    when: [{key: source.ip, notValues: [10.0.0.1]}]
)"));

  const auto& read = only<AuthorizationPolicy>(file);
  EXPECT_EQ(read.action, AuthorizationPolicy::Action::kDeny);
  ASSERT_THAT(read.rules, SizeIs(1));
  EXPECT_THAT(read.rules[0].to[0].ports, ElementsAre(80));
  EXPECT_EQ(read.rules[0].from[0].ip_blocks[0].text(), "10.0.0.0/8");
}

TEST(Parse, ReadsAPeerAuthentication) {
  const ParsedFile file = parse_yaml("f.yaml", R"(apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: p, namespace: shop}
spec: {selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {"8080": {mode: DISABLE}, 9090: {mode: PERMISSIVE}}}
)");

  const auto& read = only<PeerAuthentication>(file);
  EXPECT_EQ(read.mode, PeerAuthentication::Mode::kStrict);
  EXPECT_THAT(read.ports, SizeIs(2));
  EXPECT_THAT(problems("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {portLevelMtls: "
                       "{x: {mode: STRICT}}}\n"),
              ElementsAre(HasSubstr("spec.portLevelMtls: needs a selector"), HasSubstr("spec.portLevelMtls.x: is not a port")));
}

// What a file that was cut short may end with must not mean "everybody", or "nothing is asked for".
TEST(Parse, AFieldWithoutAValueInAPolicyIsAMistake) {
  for (const char* spec :
       {"  rules:\n  - from:\n", "  rules:\n  - from:\n    - source:\n", "  rules:\n", "  selector:\n  rules: [{}]\n",
        "  action:\n  rules: [{}]\n", "  rules: [{from: [{source: {namespaces: [a], principals: }}]}]\n",
        "  selector: {matchLabels: {app: }}\n", "  rules: [{when: }]\n", ""}) {
    EXPECT_THAT(problems(policy(spec)), Not(IsEmpty())) << spec;
  }
  EXPECT_THAT(
      problems(policy("  rules: [{from: }]\n")),
      ElementsAre("f.yaml:5: AuthorizationPolicy shop/p: spec.rules[0].from: has no value (write one, or remove the field)"));
  const std::string peer = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, labels: , uid: }\n";
  EXPECT_THAT(problems(peer + "spec: {mtls: }\n"), ElementsAre(HasSubstr("spec.mtls: has no value")));
  EXPECT_THAT(problems(peer + "spec: {}\nstatus:\n"), IsEmpty());
}

TEST(Parse, ReadsDryRunAsIstioDoes) {
  const auto dry = [](const std::string& value) {
    const ParsedFile file = parse_yaml(
        "f.yaml",
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, annotations: {istio.io/dry-run: '" +
            value + "'}}\n");
    return file.broken.empty() ? (only<AuthorizationPolicy>(file).dry_run ? "yes" : "no") : file.broken[0].problems[0].text();
  };

  for (const char* yes : {"true", "True", "TRUE", "1", "t"}) EXPECT_EQ(dry(yes), "yes") << yes;
  for (const char* no : {"false", "0", "F"}) EXPECT_EQ(dry(no), "no") << no;
  EXPECT_THAT(dry("yes"), HasSubstr("metadata: annotation istio.io/dry-run: \"yes\" says neither yes nor no"));
}

TEST(Parse, ReadsTimesWithTheirOffset) {
  const auto created = [](const std::string& time) {
    const ParsedFile file =
        parse_yaml("f.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, creationTimestamp: '" + time + "'}\n");
    return file.broken.empty() ? only<Namespace>(file).metadata.created : -1;
  };

  EXPECT_EQ(created("2026-08-20T10:00:00Z"), 1787220000);
  EXPECT_EQ(created("2026-08-20T12:00:00.123+02:00"), 1787220000);
  EXPECT_EQ(created("2026-08-20T04:30:00-05:30"), 1787220000);
  for (const char* wrong : {"yesterday", "2026-08-20", "2026-08-20T10:00:00", "2026-13-20T10:00:00Z", "2026-08-20T10:00:00+2"})
    EXPECT_EQ(created(wrong), -1) << wrong;
}

TEST(Parse, ATargetIsInThePolicysNamespace) {
  EXPECT_THAT(problems(policy("  targetRefs: [{kind: Service, name: s, namespace: ''}]\n")), IsEmpty());
  EXPECT_THAT(problems(policy("  targetRefs: [{kind: Service, name: s, namespace: shop}]\n")),
              ElementsAre(HasSubstr("spec.targetRefs[0].namespace: a target is in the namespace of its policy")));
  EXPECT_THAT(problems(policy("  targetRefs: [{kind: Service, name: s, namespace: other}]\n")),
              ElementsAre(HasSubstr("spec.targetRefs[0].namespace: is not the policy's own")));
}

TEST(Parse, AFractionIsNoNumberOfAnything) {
  EXPECT_THAT(problems("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80.5}]}\n"),
              ElementsAre(HasSubstr("spec.ports[0].port: must be a number, is a floating-point number (write a whole number)")));
}

TEST(Parse, NamesUnreadFieldsOfCoreObjects) {
  const ParsedFile file = parse_yaml("f.yaml", R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  strategy: {type: Recreate}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, livenessProbe: {}}]}
)");

  EXPECT_EQ(only<Deployment>(file).replicas, 1);
  ASSERT_THAT(file.objects[0].unread, SizeIs(2));
  EXPECT_EQ(file.objects[0].unread[0].field, "spec.template.spec.containers[0].livenessProbe");
  EXPECT_EQ(file.objects[0].unread[1].field, "spec.strategy");
  EXPECT_EQ(file.objects[0].unread[1].place.line, 6);
}

TEST(Parse, KnowsWhatTheKubeletDialsOfAPod) {
  const ParsedFile file = parse_yaml("f.yaml", R"(apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  hostUsers: false
  initContainers:
  - {name: sidecar, restartPolicy: Always, ports: [{name: admin, containerPort: 9000}], startupProbe: {tcpSocket: {port: admin}}}
  containers:
  - name: a
    ports: [{name: http, containerPort: 8080}]
    livenessProbe: {grpc: {port: 50051}}
    readinessProbe: {httpGet: {path: /ready, port: http}}
    startupProbe: {exec: {command: [true]}}
    lifecycle:
      postStart: {httpGet: {port: "81", host: 10.0.0.9}}
      preStop: {tcpSocket: {port: 82}}
  - {name: b, readinessProbe: {tcpSocket: {port: http, host: db.example}}, livenessProbe: {httpGet: {port: nobodys}}}
)");

  const auto& pod = only<Pod>(file);
  EXPECT_FALSE(pod.spec.host_users);
  EXPECT_THAT(pod.spec.on_node->dialled, ElementsAre(Dialled{"a", 8080, ""}, Dialled{"a", 50051, ""},
                                                     Dialled{"a", 81, "10.0.0.9"}, Dialled{"sidecar", 9000, ""}));
  std::vector<std::string> unread;
  for (const auto& one : file.objects[0].unread) unread.push_back(one.field);
  EXPECT_THAT(unread, testing::IsSupersetOf({"spec.hostUsers", "spec.initContainers", "spec.containers[0].livenessProbe",
                                             "spec.containers[0].lifecycle"}));
}

TEST(Parse, ListsWhatItReadsButDoesNotFollow) {
  const auto file = parse_yaml("f.yaml",
                               "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {sessionAffinity: None}\n---\n"
                               "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {sessionAffinity: ClientIP}\n---\n"
                               "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nbinaryData: {x: AAAA}\n");

  ASSERT_EQ(file.objects.size(), 3U);
  EXPECT_THAT(file.objects[0].unread, testing::IsEmpty());
  ASSERT_THAT(file.objects[1].unread, SizeIs(1));
  EXPECT_EQ(file.objects[1].unread[0].field, "spec.sessionAffinity");
  ASSERT_THAT(file.objects[2].unread, SizeIs(1));
  EXPECT_EQ(file.objects[2].unread[0].field, "binaryData");
}

TEST(Parse, OtherKindsAreIgnoredByName) {
  const ParsedFile file = parse_yaml("f.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, namespace: x}\n");

  ASSERT_THAT(file.ignored, SizeIs(1));
  EXPECT_EQ(file.ignored[0].kind, "Job");
  EXPECT_EQ(file.ignored[0].name, "j");
}

TEST(Parse, RefusesAVersionThatIsNotServed) {
  EXPECT_THAT(problems("apiVersion: security.istio.io/v1alpha1\nkind: PeerAuthentication\nmetadata: {name: p}\n"),
              ElementsAre(HasSubstr("apiVersion: \"security.istio.io/v1alpha1\" is not read (write security.istio.io/v1)")));
}

TEST(Parse, RefusesDuplicateFieldsAndMergeKeys) {
  EXPECT_THAT(problems("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, name: b}\n"),
              ElementsAre(HasSubstr("the field \"name\" is there twice")));
  EXPECT_THAT(problems("x: &x {a: b}\napiVersion: v1\nkind: Namespace\nmetadata: {<<: *x}\n"),
              ElementsAre(HasSubstr("merge keys (<<) are not read")));
}

TEST(Parse, ExpandsAliasesWithinBounds) {
  const ParsedFile file =
      parse_yaml("f.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: &l {a: b}}\ndata: *l\n");
  EXPECT_EQ(only<ConfigMap>(file).data.at("a"), "b");

  std::string bomb = "apiVersion: v1\nkind: ConfigMap\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string before = std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) bomb += (k ? ",*a" : "*a") + before;
    bomb += "]\n";
  }
  EXPECT_THAT(problems(bomb), ElementsAre(HasSubstr("too many values in one file")));
}

TEST(Parse, WhatAliasesAndAnchorsCopyIsBounded) {
  std::string long_scalar =
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nx: &x " + std::string(1'000'000, 'a') + "\ny: [";
  for (int i = 0; i < 10'000; ++i) long_scalar += "*x,";
  EXPECT_THAT(problems(long_scalar + "]\n"), ElementsAre(HasSubstr("too many values in one file")));

  std::string nested;
  for (int i = 0; i < 60; ++i) nested += "&a" + std::to_string(i) + " [";
  EXPECT_THAT(problems(nested + std::string(3'000'000, 'a') + std::string(60, ']')),
              ElementsAre(HasSubstr("too many values in one file")));
}

TEST(Parse, ManyMistakesAreCheap) {
  std::string ports =
      "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec:\n"
      "  selector: {matchLabels: {a: b}}\n  portLevelMtls:\n";
  for (int i = 0; i < 100'000; ++i) ports += "    port" + std::to_string(i) + ": {mode: STRICT}\n";

  EXPECT_THAT(problems(ports), SizeIs(100));  // a search among all of them for each would outlast the sanitised test's limit
}

TEST(Parse, RefusesDepthAndNonsense) {
  EXPECT_THAT(problems("a: " + std::string(100, '[')), ElementsAre(HasSubstr("nested too deeply")));
  EXPECT_THAT(problems("just text\n"), ElementsAre(HasSubstr("not an object")));
  EXPECT_THAT(problems("kind: Pod\n"), ElementsAre(HasSubstr("apiVersion is missing")));
  EXPECT_THAT(problems("apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\n"),
              ElementsAre(HasSubstr("metadata.name: \"A_b\" is not a name")));
  EXPECT_THAT(problems(""), IsEmpty());
}

}  // namespace
}  // namespace culvert::config
