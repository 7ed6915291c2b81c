#include "controlplane/status/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "controlplane/status/test_view.h"

namespace culvert::controlplane {
namespace {

using config::Kind;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string pod(const std::string& name, const std::string& app, bool enrolled = true, const std::string& name_space = "shop") {
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: " + name_space + ", labels: {app: " + app +
         "}" + (enrolled ? ", annotations: {ambient.istio.io/redirection: enabled}" : "") +
         "}\nspec: {containers: [{name: c, image: i}]}\n";
}

std::string policy(const std::string& spec, const std::string& name_space = "shop") {
  return "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: " + name_space +
         ", generation: 3}\nspec: " + spec + "\n";
}

std::string peer(const std::string& name, const std::string& spec, const std::string& name_space = "shop") {
  return "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: " + name +
         ", namespace: " + name_space + "}\nspec: " + spec + "\n";
}

std::string said_of_policy(const std::string& yaml) { return TestView(yaml).said(Kind::kAuthorizationPolicy, "shop", "p"); }

TEST(StatusOfAuthorizationPolicy, SaysToHowManyWorkloadsOfTheMeshItIsBound) {
  EXPECT_EQ(
      said_of_policy(policy("{selector: {matchLabels: {app: a}}, action: DENY, rules: [{}]}") + pod("a-1", "a") +
                     pod("a-2", "a") + pod("a-3", "a", false) + pod("b-1", "b") + pod("a-4", "a", true, "other")),
      "ZtunnelAccepted=True Accepted: attached to ztunnel, bound to 2 workloads (1 more that it selects is not in the mesh)\n"
      "culvert.dev/Enforced=True Enforced\n"
      "-WaypointAccepted\n");
}

TEST(StatusOfAuthorizationPolicy, OfTheRootNamespaceReachesTheWholeMesh) {
  const TestView view(policy("{rules: [{from: [{source: {namespaces: [a]}}]}]}", "istio-system") + pod("a", "a") +
                      pod("b", "b", true, "other"));
  EXPECT_THAT(view.said(Kind::kAuthorizationPolicy, "istio-system", "p"), HasSubstr("bound to 2 workloads\n"));
}

// Whoever writes statuses does it on everybody's thread.
TEST(StatusOfPolicies, SayHowManyWithoutALookAtAnyPod) {
  std::string pods;
  for (int i = 0; i < 100; ++i)
    pods += pod("p" + std::to_string(i), i % 2 == 0 ? "a" : "b", i % 4 != 0, i < 60 ? "shop" : "bank");
  TestView view(policy("{rules: [{}]}", "istio-system") + policy("{rules: [{}]}") + peer("pa", "{}", "bank") +
                "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: istio-system}\n"
                "spec: {selector: {matchLabels: {app: a}}, rules: [{}]}\n" +
                pods);
  const derive::Objects all = std::exchange(view.objects, {});
  for (const auto& [name_space, name] :
       {std::pair("istio-system", "p"), std::pair("istio-system", "a"), std::pair("shop", "p")}) {
    const config::Key key{Kind::kAuthorizationPolicy, name_space, name};
    view.objects.put(key, all.in(key.kind, key.name_space).find(key.name)->second);
  }
  const config::Key peers{Kind::kPeerAuthentication, "bank", "pa"};
  view.objects.put(peers, all.in(peers.kind, "bank").find("pa")->second);

  EXPECT_THAT(view.said(Kind::kAuthorizationPolicy, "istio-system", "p"), HasSubstr("bound to 75 workloads (25 more"));
  EXPECT_THAT(view.said(Kind::kAuthorizationPolicy, "istio-system", "a"), HasSubstr("bound to 25 workloads (25 more"));
  EXPECT_THAT(view.said(Kind::kAuthorizationPolicy, "shop", "p"), HasSubstr("bound to 45 workloads (15 more"));
  EXPECT_THAT(view.said(Kind::kPeerAuthentication, "bank", "pa"), HasSubstr("bound to 30 workloads (10 more"));
  EXPECT_EQ(view.looked_at, 0U);
}

TEST(StatusOfPolicies, CountsWorkloadEntriesAndEndpointsAsDerivationDoes) {
  const auto entry = [](const std::string& name, const std::string& more) {
    return "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: " + name + ", namespace: shop" + more +
           "}\nspec: {address: 192.0.2.1, labels: {app: a}}\n";
  };
  const std::string tunnel = ", annotations: {ambient.istio.io/redirection: enabled}";
  const TestView view(
      policy("{selector: {matchLabels: {app: a}}, rules: [{}]}") + pod("p", "a") + entry("in", tunnel) + entry("out", "") +
      "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: shop, labels: {app: a}" +
      tunnel +
      "}\nspec: {hosts: [a.example], ports: [{number: 80, name: http}], resolution: STATIC, endpoints: [{address: "
      "192.0.2.2}, {address: 192.0.2.3}, {address: 192.0.2.3}]}\n" +
      "---\napiVersion: v1\nkind: Pod\nmetadata: {name: done, namespace: shop, labels: {app: a}}\nspec: {containers: [{name: "
      "c, image: i}]}\nstatus: {phase: Succeeded}\n");

  EXPECT_THAT(view.said(Kind::kAuthorizationPolicy, "shop", "p"),
              HasSubstr("bound to 4 workloads (1 more that it selects is not"));
}

TEST(StatusOfAuthorizationPolicy, ASelectorThatMatchesNothingIsSaid) {
  EXPECT_THAT(
      said_of_policy(policy("{selector: {matchLabels: {app: none}}, action: DENY, rules: [{}]}")),
      StartsWith("ZtunnelAccepted=True Accepted: attached to ztunnel, bound to 0 workloads; spec.selector selects no pod\n"));
}

TEST(StatusOfAuthorizationPolicy, NamesEachFieldThatIsNotEnforced) {
  const std::string said =
      said_of_policy(policy("{action: DENY, rules: [{to: [{operation: {ports: ['80'], methods: [GET], notPaths: [/x]}}]},"
                            "{from: [{source: {requestPrincipals: ['*']}}], when: [{key: 'request.headers[a]', values: [b]}, "
                            "{key: source.ip, values: [1.2.3.4]}]}]}"));

  EXPECT_THAT(said, StartsWith("ZtunnelAccepted=True UnsupportedValue: attached to ztunnel, "));
  EXPECT_THAT(said, HasSubstr("culvert.dev/Enforced=False NotEnforcedYet: checked and kept; this version does not enforce "
                              "spec.rules[0].to[0].operation.methods, spec.rules[0].to[0].operation.notPaths, "
                              "spec.rules[1].from[0].source.requestPrincipals, spec.rules[1].when[0].key yet\n"));
}

TEST(StatusOfAuthorizationPolicy, WithTargetRefsIsForWaypoints) {
  const std::string target = policy("{targetRefs: [{kind: Service, group: '', name: web}], rules: [{}]}");
  EXPECT_EQ(said_of_policy(target),
            "WaypointAccepted=False TargetNotFound: there is no Service web\n"
            "culvert.dev/Enforced=False NotEnforcedYet: checked and kept; this version enforces nothing of it yet, because of "
            "spec.targetRefs\n"
            "-ZtunnelAccepted\n");
  EXPECT_THAT(
      said_of_policy(target +
                     "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{port: 80}]}\n"),
      StartsWith("WaypointAccepted=False NotEnforcedYet: "));
}

TEST(StatusOfAuthorizationPolicy, WhatIsNotSentIsNotAccepted) {
  EXPECT_THAT(said_of_policy(policy("{action: AUDIT, rules: [{}]}")),
              AllOf(StartsWith("ZtunnelAccepted=False UnsupportedValue: not sent to ztunnel; action AUDIT"),
                    HasSubstr("because of spec.action")));
}

TEST(StatusOfAuthorizationPolicy, UnreadableSaysWhatHoldsMeanwhile) {
  TestView view(policy("{action: DENI}"));
  EXPECT_THAT(view.said(Kind::kAuthorizationPolicy, "shop", "p"),
              AllOf(StartsWith("ZtunnelAccepted=False Invalid: spec.action: unknown value \"DENI\""),
                    HasSubstr("Inbound connections of its namespace are denied until it is corrected or removed"),
                    HasSubstr("-culvert.dev/Enforced")));

  view.put(policy("{action: DENY, rules: [{}]}"));
  view.put(policy("{action: DENI}"));
  EXPECT_THAT(view.said(Kind::kAuthorizationPolicy, "shop", "p"), HasSubstr("The last good version stays in force"));
}

TEST(StatusOfPeerAuthentication, OnlyOneForTheWholeNamespaceCounts) {
  const TestView view(peer("a", "{mtls: {mode: STRICT}}") + peer("b", "{mtls: {mode: STRICT}}") + pod("x", "x"));
  EXPECT_EQ(view.said(Kind::kPeerAuthentication, "shop", "a"),
            "Accepted=True Accepted: bound to 1 workload\nculvert.dev/Enforced=True Enforced\n");
  EXPECT_THAT(view.said(Kind::kPeerAuthentication, "shop", "b"),
              StartsWith("Accepted=False Conflicted: not in force; is not in force: a is"));
}

TEST(StatusOfIstiosOthers, AreAcceptedAndNotEnforcedYet) {
  const TestView view(
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: shop}\nspec: {hosts: [a]}\n"
      "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: shop}\nspec: {egress: [{hosts: "
      "['./*']}]}\n");
  EXPECT_EQ(view.said(Kind::kVirtualService, "shop", "v"),
            "Accepted=True Accepted: valid\n"
            "culvert.dev/Enforced=False NotEnforcedYet: checked and kept; this version enforces nothing of it yet\n");
  EXPECT_THAT(view.said(Kind::kSidecar, "shop", "s"), HasSubstr("culvert.dev/Enforced=False Ignored: "));
}

// --- waypoints ---------------------------------------------------------------------------------------------------

constexpr const char* kNamespace =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n";

std::string service(const std::string& labels) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, labels: {" + labels +
         "}}\nspec: {ports: [{port: 80}]}\n";
}
std::string waypoint(const std::string& name_space, const std::string& more = "", const std::string& labels = "") {
  return "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: " + name_space +
         ", labels: {" + labels +
         "}}\nspec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE" + more + "}]}\n";
}
constexpr const char* kReady = "status: {addresses: [{type: IPAddress, value: 10.0.0.1}]}\n";
std::string bound(TestView& view) { return view.said(Kind::kService, "shop", "web"); }

TEST(WaypointBound, IsAbsentWhereNothingIsNamed) {
  for (const char* labels : {"", "istio.io/use-waypoint: none"}) {
    TestView view(kNamespace + service(labels));
    EXPECT_EQ(bound(view), "-istio.io/WaypointBound\n");
  }
}

TEST(WaypointBound, SaysWhyNot) {
  TestView view(kNamespace + service("istio.io/use-waypoint: wp"));
  EXPECT_THAT(bound(view),
              StartsWith("istio.io/WaypointBound=False WaypointIsNotReady: waypoint \"shop/wp\" is not ready: there is no such"));

  view.put(waypoint("shop"));
  EXPECT_THAT(
      bound(view),
      StartsWith("istio.io/WaypointBound=False WaypointIsNotReady: waypoint \"shop/wp\" is not ready: its status has no"));

  view.put(waypoint("shop", "", "istio.io/waypoint-for: workload") + kReady);
  EXPECT_THAT(
      bound(view),
      StartsWith("istio.io/WaypointBound=False UnsupportedTrafficType: waypoint \"shop/wp\" is for traffic type \"workload\""));

  view.put(waypoint("shop") + kReady);
  EXPECT_EQ(bound(view), "istio.io/WaypointBound=True WaypointAccepted: Successfully attached to waypoint shop/wp\n");
}

TEST(WaypointBound, AGatewayThatIsNoWaypointIsNone) {
  TestView view(kNamespace + service("istio.io/use-waypoint: wp"));
  view.put(
      "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: shop}\nspec: {gatewayClassName: "
      "istio, listeners: [{name: h, port: 80, protocol: HTTP}]}\n" +
      std::string(kReady));

  EXPECT_THAT(bound(view), StartsWith("istio.io/WaypointBound=False WaypointIsNotReady: "));
}

TEST(WaypointBound, TheLabelsInTheSpecOfAWorkloadEntryCountAsInDerivation) {
  TestView view(
      std::string(kNamespace) +
      "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: shop}\nspec: {address: "
      "192.0.2.1, labels: {istio.io/use-waypoint: wp}}\n");

  EXPECT_THAT(view.said(Kind::kWorkloadEntry, "shop", "vm"),
              testing::HasSubstr("istio.io/WaypointBound=False WaypointIsNotReady"));
}

TEST(WaypointBound, ANamespacesWaypointIsForItsWorkloadsWhenItSaysSo) {
  const std::string in_namespace =
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/use-waypoint: wp}}\n---\napiVersion: "
      "networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, namespace: shop}\nspec: {address: 192.0.2.1}\n";
  TestView view(in_namespace);
  view.put(waypoint("shop") + kReady);
  EXPECT_THAT(view.said(Kind::kWorkloadEntry, "shop", "vm"), testing::Not(testing::HasSubstr("WaypointBound=")));

  view.put(waypoint("shop", "", "istio.io/waypoint-for: all") + kReady);

  EXPECT_THAT(view.said(Kind::kWorkloadEntry, "shop", "vm"), testing::HasSubstr("istio.io/WaypointBound=True"));
}

TEST(WaypointBound, AnotherNamespaceHasToAllowIt) {
  TestView view(kNamespace + service("istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: infra"));
  view.put(waypoint("infra") + kReady);
  EXPECT_THAT(bound(view), StartsWith("istio.io/WaypointBound=False AttachmentDenied: "));

  view.put(
      waypoint("infra",
               ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {istio.io/dataplane-mode: ambient}}}}") +
      kReady);
  EXPECT_THAT(bound(view), StartsWith("istio.io/WaypointBound=True"));
}

TEST(WaypointMissing, IsSaidOfAnEntryWithAWildcardThatIsLedThroughNone) {
  const auto entry = [](const std::string& host, const std::string& labels) {
    return "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: shop, labels: {" +
           labels + "}}\nspec: {hosts: ['" + host + "'], ports: [{number: 80, name: http}], resolution: DYNAMIC_DNS}\n";
  };
  const auto said = [](TestView& view) { return view.said(Kind::kServiceEntry, "shop", "e"); };
  TestView view(kNamespace + entry("*.example.com", ""));
  EXPECT_THAT(said(view), HasSubstr("istio.io/WaypointMissing=True NoWaypointForWildcardService: "));
  view.put(entry("*.example.com", "istio.io/use-waypoint: wp"));
  EXPECT_THAT(said(view), HasSubstr("istio.io/WaypointMissing=True")) << "there is no such waypoint";
  view.put(waypoint("shop") + kReady);
  EXPECT_THAT(said(view), HasSubstr("-istio.io/WaypointMissing"));
  view.put(entry("example.com", ""));
  EXPECT_THAT(said(view), HasSubstr("-istio.io/WaypointMissing"));
}

// --- Gateway API -------------------------------------------------------------------------------------------------

std::string gateway_class(const std::string& controller) {
  return "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: {controllerName: " +
         controller + "}\n";
}
std::string gateway(const std::string& listeners) {
  return "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: shop}\nspec: "
         "{gatewayClassName: c, listeners: [" +
         listeners + "]}\n";
}
std::string route(const std::string& spec) {
  return "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: shop}\nspec: " + spec +
         "\n";
}

TEST(StatusOfGateways, WhatIsSomebodyElsesIsLeftAlone) {
  const TestView view(gateway_class("example.com/controller") + gateway("{name: h, port: 80, protocol: HTTP}") +
                      route("{parentRefs: [{name: g}], rules: [{}]}"));
  EXPECT_EQ(view.said(Kind::kGatewayClass, "", "c"), "");
  EXPECT_EQ(view.said(Kind::kGateway, "shop", "g"), "");
  EXPECT_EQ(view.said(Kind::kHttpRoute, "shop", "r"), "");
}

TEST(StatusOfGateways, OursAreAcceptedWithTheirListenersAndNotProgrammedYet) {
  const TestView view(
      gateway_class("culvert.dev/gateway-controller") +
      gateway("{name: h, port: 80, protocol: HTTP, hostname: '*.shop.example'}, {name: u, port: 53, protocol: UDP}") +
      route("{parentRefs: [{name: g}], hostnames: [a.shop.example], rules: [{}]}"));
  EXPECT_THAT(view.said(Kind::kGatewayClass, "", "c"), StartsWith("Accepted=True Accepted: "));
  EXPECT_EQ(view.said(Kind::kGateway, "shop", "g"),
            "Accepted=True ListenersNotValid: 1 of 2 listeners are valid\n"
            "Programmed=False NotEnforcedYet: this version runs no waypoints and no gateways yet\n"
            "h 1 routes\n"
            "  Accepted=True Accepted: valid\n"
            "  Programmed=False NotEnforcedYet: this version runs no waypoints and no gateways yet\n"
            "  ResolvedRefs=True ResolvedRefs: all references resolved\n"
            "  Conflicted=False NoConflicts\n"
            "u 0 routes\n"
            "  Accepted=False UnsupportedProtocol: protocol \"UDP\" is not HTTP, HTTPS, TLS or TCP\n"
            "  Programmed=False Invalid: this version runs no waypoints and no gateways yet\n"
            "  ResolvedRefs=True ResolvedRefs: all references resolved\n"
            "  Conflicted=False NoConflicts\n");
}

TEST(StatusOfGateways, OfIstiodsWaypointsOnlyWhatIsDoneOfThemIsSaid) {
  const TestView view(gateway_class("istio.io/mesh-controller") + gateway("{name: mesh, port: 15008, protocol: HBONE}"));
  const std::string said = "culvert.dev/Enforced=False NotEnforcedYet: this version runs no waypoints and no gateways yet\n";
  EXPECT_EQ(view.said(Kind::kGatewayClass, "", "c"), said);
  EXPECT_EQ(view.said(Kind::kGateway, "shop", "g"), said);
}

TEST(StatusOfGateways, AConflictIsOfTheProtocolOrOfTheHostname) {
  const std::string of_class = gateway_class("culvert.dev/gateway-controller");
  // Within a Gateway two of one port, protocol and hostname break a rule of its proto; a ListenerSet has none.
  const TestView hosts(
      of_class + gateway("{name: h, port: 80, protocol: HTTP}") +
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {name: s, namespace: shop}\n"
      "spec: {parentRef: {name: g}, listeners: [{name: a, port: 80, protocol: HTTP, hostname: x.example}, {name: b, port: 80, "
      "protocol: HTTP, hostname: x.example}, {name: c, port: 80, protocol: HTTP, hostname: y.example}]}\n");
  EXPECT_THAT(hosts.said(Kind::kListenerSet, "shop", "s"),
              AllOf(HasSubstr("Conflicted=True HostnameConflict"), HasSubstr("NoConflicts"), Not(HasSubstr("ProtocolConflict"))));
  const TestView protocols(of_class + gateway("{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: TCP}"));
  EXPECT_THAT(protocols.said(Kind::kGateway, "shop", "g"),
              AllOf(HasSubstr("Conflicted=True ProtocolConflict"), Not(HasSubstr("HostnameConflict"))));
}

TEST(StatusOfGateways, LooksAtEachRouteOnce) {
  std::string routes;
  for (int i = 0; i < 5; ++i) {
    std::string one = route("{parentRefs: [{name: g}], rules: [{}]}");
    routes += one.replace(one.find("name: r"), 7, "name: r" + std::to_string(i));
  }
  const TestView view(gateway_class("culvert.dev/gateway-controller") + gateway("{name: h, port: 80, protocol: HTTP}") + routes);
  EXPECT_THAT(view.said(Kind::kGateway, "shop", "g"), HasSubstr("h 5 routes"));
  EXPECT_EQ(view.looked_at, 5U);
}

TEST(StatusOfGateways, AWaypointHasOneListener) {
  const TestView good(gateway_class("culvert.dev/mesh-controller") + gateway("{name: mesh, port: 15008, protocol: HBONE}"));
  EXPECT_THAT(good.said(Kind::kGateway, "shop", "g"), StartsWith("Accepted=True Accepted: valid\n"));
  const TestView bad(gateway_class("culvert.dev/mesh-controller") + gateway("{name: mesh, port: 80, protocol: HTTP}"));
  EXPECT_THAT(bad.said(Kind::kGateway, "shop", "g"), StartsWith("Accepted=False ListenersNotValid: 0 of 1"));
}

struct RouteCase {
  const char* name;
  std::string spec;
  std::string says;
};

TEST(StatusOfRoutes, SaysOfEachParentWhetherItIsAttached) {
  const std::string around =
      std::string(kNamespace) + service("") + gateway_class("culvert.dev/gateway-controller") +
      gateway("{name: h, port: 80, protocol: HTTP, hostname: '*.shop.example'}, {name: t, port: 81, protocol: TCP}");
  const RouteCase cases[] = {
      {"attached", "{parentRefs: [{name: g}], rules: [{backendRefs: [{name: web, port: 80}]}]}",
       R"({"group":"gateway.networking.k8s.io","kind":"Gateway","name":"g"} culvert.dev/gateway-controller
  Accepted=True Accepted: attached
  ResolvedRefs=True ResolvedRefs: all references resolved
  culvert.dev/Enforced=False NotEnforcedYet)"},
      {"no such section", "{parentRefs: [{name: g, sectionName: x}], rules: [{}]}", "Accepted=False NoMatchingParent"},
      {"another kind", "{parentRefs: [{name: g, sectionName: t}], rules: [{}]}", "Accepted=False NotAllowedByListeners"},
      {"another host", "{parentRefs: [{name: g, sectionName: h}], hostnames: [a.example], rules: [{}]}",
       "Accepted=False NoMatchingListenerHostname"},
      {"no backend", "{parentRefs: [{name: g}], rules: [{backendRefs: [{name: nobody, port: 80}]}]}",
       "ResolvedRefs=False BackendNotFound: there is no Service shop/nobody"},
      {"not granted", "{parentRefs: [{name: g}], rules: [{backendRefs: [{name: b, namespace: bank, port: 80}]}]}",
       "ResolvedRefs=False RefNotPermitted: Service bank/b"},
      {"strange backend", "{parentRefs: [{name: g}], rules: [{backendRefs: [{name: b, kind: Bucket, group: s3}]}]}",
       "ResolvedRefs=False InvalidKind"},
      {"a service in the mesh", "{parentRefs: [{name: web, kind: Service, group: ''}], rules: [{}]}",
       "culvert.dev/mesh-controller\n  Accepted=True Accepted: valid\n  ResolvedWaypoints=False NoWaypoint"},
  };
  for (const RouteCase& each : cases) {
    SCOPED_TRACE(each.name);
    EXPECT_THAT(TestView(around + route(each.spec)).said(Kind::kHttpRoute, "shop", "r"), HasSubstr(each.says));
  }
  EXPECT_EQ(TestView(around + route("{parentRefs: [{name: none}], rules: [{}]}")).said(Kind::kHttpRoute, "shop", "r"), "");
}

TEST(StatusOfRoutes, WhatGetsACopyOfTheRequestsIsABackendAsWell) {
  const std::string around =
      kNamespace + service("") + gateway_class("culvert.dev/gateway-controller") + gateway("{name: h, port: 80, protocol: HTTP}");
  const std::string mirror = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: nobody, port: 80}}}]";
  for (const std::string& rule : {"{" + mirror + "}", "{backendRefs: [{name: web, port: 80, " + mirror + "}]}"}) {
    EXPECT_THAT(TestView(around + route("{parentRefs: [{name: g}], rules: [" + rule + "]}")).said(Kind::kHttpRoute, "shop", "r"),
                HasSubstr("ResolvedRefs=False BackendNotFound: there is no Service shop/nobody"))
        << rule;
  }
}

TEST(StatusOfRoutes, AGrantAllowsABackendOfAnotherNamespace) {
  const std::string yaml =
      gateway_class("culvert.dev/gateway-controller") + gateway("{name: h, port: 80, protocol: HTTP}") +
      route("{parentRefs: [{name: g}], rules: [{backendRefs: [{name: b, namespace: bank, port: 80}]}]}") +
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: b, namespace: bank}\nspec: {ports: [{port: 80}]}\n"
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: bank}\n"
      "spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: '', kind: Service}]}\n";
  EXPECT_THAT(TestView(yaml).said(Kind::kHttpRoute, "shop", "r"), HasSubstr("ResolvedRefs=True"));
}

TEST(StatusOfListenerSets, TheGatewayHasToAllowThem) {
  const std::string set =
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {name: s, namespace: shop}\n"
      "spec: {parentRef: {name: g}, listeners: [{name: h, port: 8080, protocol: HTTP}]}\n";
  const std::string of_class = gateway_class("culvert.dev/gateway-controller");
  EXPECT_THAT(TestView(of_class + gateway("{name: h, port: 80, protocol: HTTP}") + set).said(Kind::kListenerSet, "shop", "s"),
              StartsWith("Accepted=False NotAllowed: "));
  const std::string open =
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: shop}\nspec: "
      "{gatewayClassName: c, "
      "allowedListeners: {namespaces: {from: Same}}, listeners: [{name: h, port: 80, protocol: HTTP}]}\n";
  EXPECT_THAT(TestView(of_class + open + set).said(Kind::kListenerSet, "shop", "s"),
              StartsWith("Accepted=True Accepted: valid\n"));
}

TEST(StatusOfBackendTlsPolicies, WhetherItsCertificatesAreThereIsNotKnown) {
  const TestView view(
      kNamespace + service("") +
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: a, namespace: shop}\nspec: "
      "{targetRefs: [{group: '', kind: Service, name: web}], validation: {hostname: a.example, caCertificateRefs: "
      "[{group: '', kind: ConfigMap, name: ca}]}}\n");
  EXPECT_THAT(view.said(Kind::kBackendTlsPolicy, "shop", "a"), HasSubstr("ResolvedRefs=Unknown NotEnforcedYet: "));
}

TEST(StatusOfBackendTlsPolicies, TheOlderOneCounts) {
  const auto tls = [](const std::string& name, const std::string& created) {
    return "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: " + name +
           ", namespace: shop, creationTimestamp: " + created +
           "}\nspec: {targetRefs: [{group: '', kind: Service, name: web}], validation: {hostname: a.example, "
           "wellKnownCACertificates: System}}\n";
  };
  const TestView view(kNamespace + service("") + tls("a", "2026-02-01T00:00:00Z") + tls("b", "2026-01-01T00:00:00Z"));
  EXPECT_THAT(view.said(Kind::kBackendTlsPolicy, "shop", "a"), HasSubstr("Accepted=False Conflicted"));
  EXPECT_THAT(view.said(Kind::kBackendTlsPolicy, "shop", "b"), AllOf(HasSubstr("Accepted=True"), Not(HasSubstr("Conflicted"))));
}

}  // namespace
}  // namespace culvert::controlplane
