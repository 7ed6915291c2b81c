#!/usr/bin/env python3
"""What becomes of objects is in their status, on a real API server with the CRDs of our protos: conditions as istiod and the Gateway API name them, with
generation, reason and counts; written by the leader, only when something changes, and never over what somebody else has written.
Usage: status_test.py CULVERTD CRDS"""
import json
import pathlib
import sys
import time

from apiserver import ApiServer
from plane import RULES, Plane, eventually

NAMESPACES = """
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
"""

OBJECTS = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{from: [{source: {namespaces: [bank]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: l7, namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {ports: ["80"], methods: [GET]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: bound, namespace: shop}
spec: {targetRefs: [{kind: Service, group: "", name: web}], rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: shop}
spec: {jwtRules: [{issuer: a}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: culvert-waypoint}
spec: {controllerName: culvert.dev/mesh-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: culvert}
spec: {controllerName: culvert.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: other}
spec: {controllerName: example.com/other}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: culvert-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ingress, namespace: shop}
spec: {gatewayClassName: culvert, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other, namespace: shop}
spec: {gatewayClassName: other, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec: {parentRefs: [{name: ingress}, {name: other}, {name: web, kind: Service, group: ""}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: web, namespace: shop}
spec: {targetRefs: [{group: "", kind: Service, name: web}], validation: {hostname: a.example, wellKnownCACertificates: System}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: more, namespace: shop}
spec: {parentRef: {name: ingress}, listeners: [{name: http, port: 8080, protocol: HTTP}]}
"""


def conditions(of):
    return {each["type"]: each for each in of.get("conditions", ())}


def says(api, kind, name, type, namespace="shop"):
    """'True Accepted: message' of one condition; None when it is not there."""
    each = conditions(api.get(kind, name, *(["-n", namespace] if namespace else [])).get("status", {})).get(type)
    return each and f"{each['status']} {each['reason']}: {each['message']}"


def said(api, kind, name, type, start, namespace="shop"):
    return eventually(f"{kind} {name}: {type} {start}",
                      lambda: (says(api, kind, name, type, namespace) or "").startswith(start) and says(api, kind, name, type, namespace))


def add_pod(api, name, enrolled=True):
    annotations = ", annotations: {ambient.istio.io/redirection: enabled}" if enrolled else ""
    api.apply(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: web}}{annotations}}}\n"
              "spec: {nodeName: n1, containers: [{name: c, image: culvert.test/none}]}\n")


def istio(api, plane):
    """kubectl wait works on it, and a new generation is answered for."""
    api.kubectl("wait", "authorizationpolicy/web", "-n", "shop", "--for=condition=ZtunnelAccepted", "--timeout=20s")
    assert "bound to 0 workloads; spec.selector selects no pod" in said(api, "authorizationpolicy", "web", "ZtunnelAccepted", "True Accepted")
    assert "spec.rules[0].to[0].operation.methods" in said(api, "authorizationpolicy", "l7", "culvert.dev/Enforced", "False NotEnforcedYet")
    said(api, "authorizationpolicy", "l7", "ZtunnelAccepted", "True UnsupportedValue")
    said(api, "authorizationpolicy", "bound", "WaypointAccepted", "False NotEnforcedYet")
    said(api, "peerauthentication", "strict", "Accepted", "True Accepted: bound to 0 workloads")
    for kind, name in (("requestauthentication", "jwt"), ("virtualservice", "web")):
        said(api, kind, name, "Accepted", "True Accepted")
        said(api, kind, name, "culvert.dev/Enforced", "False NotEnforcedYet")
    api.kubectl("patch", "authorizationpolicy", "web", "-n", "shop", "--type=merge", "-p", '{"spec": {"action": "ALLOW"}}')
    generation = api.get("authorizationpolicy", "web", "-n", "shop")["metadata"]["generation"]
    assert generation == 2
    eventually("observed", lambda: conditions(api.get("authorizationpolicy", "web", "-n", "shop")["status"])["ZtunnelAccepted"]["observedGeneration"] == 2)
    managers = [each["manager"] for each in api.get("authorizationpolicy", "web", "-n", "shop", "--show-managed-fields")["metadata"]["managedFields"]
                if each.get("subresource") == "status"]
    assert managers == ["culvertd"], managers


def counts(api, plane):
    for number in range(3):
        add_pod(api, f"web-{number}")
    add_pod(api, "outside", enrolled=False)
    eventually("counted", lambda: "bound to 3 workloads (1 more that it selects is not in the mesh)" in says(
        api, "authorizationpolicy", "web", "ZtunnelAccepted"), 25)


def waypoints(api, plane):
    said(api, "service", "web", "istio.io/WaypointBound", "False WaypointIsNotReady")
    api.apply_status("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: waypoint, namespace: shop}\n"
                     "status: {addresses: [{type: IPAddress, value: 10.0.0.1}]}\n")
    said(api, "service", "web", "istio.io/WaypointBound", "True WaypointAccepted: Successfully attached to waypoint shop/waypoint")
    api.kubectl("label", "service", "web", "-n", "shop", "istio.io/use-waypoint-")
    eventually("taken back", lambda: not says(api, "service", "web", "istio.io/WaypointBound"))
    assert "loadBalancer" in api.get("service", "web", "-n", "shop")["status"]


def gateways(api, plane):
    said(api, "gatewayclass", "culvert", "Accepted", "True Accepted", namespace=None)
    said(api, "gateway", "waypoint", "Accepted", "True Accepted")
    said(api, "gateway", "ingress", "Programmed", "False NotEnforcedYet")
    listener = eventually("a listener", lambda: api.get("gateway", "ingress", "-n", "shop")["status"].get("listeners"))[0]
    assert listener["name"] == "http" and [each["kind"] for each in listener["supportedKinds"]] == ["HTTPRoute", "GRPCRoute"], listener
    eventually("a route is counted", lambda: api.get("gateway", "ingress", "-n", "shop")["status"]["listeners"][0]["attachedRoutes"] == 1)
    said(api, "listenerset", "more", "Accepted", "False NotAllowed")
    eventually("ancestors", lambda: api.get("backendtlspolicy", "web", "-n", "shop").get("status", {}).get("ancestors"))
    parents = lambda: api.get("httproute", "web", "-n", "shop").get("status", {}).get("parents", [])
    ours = eventually("parents", lambda: len(parents()) == 2 and parents())
    assert [(each["parentRef"]["name"], each["controllerName"]) for each in ours] == [
        ("ingress", "culvert.dev/gateway-controller"), ("web", "culvert.dev/mesh-controller")], ours
    for each in ours:
        said_of = conditions(each)
        assert said_of["Accepted"]["status"] == "True" and said_of["ResolvedRefs"]["reason"] == "ResolvedRefs", each


def others(api, plane):
    """What another controller has written stays as it is, whatever we write beside it."""
    assert not api.get("gateway", "other", "-n", "shop").get("status") and not api.get("gatewayclass", "other").get("status")
    theirs = {"parentRef": {"name": "other"}, "controllerName": "example.com/other",
              "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "theirs",
                              "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    route = api.get("httproute", "web", "-n", "shop")
    patch = {"status": {"parents": [theirs, *route["status"]["parents"]]}}
    api.kubectl("patch", "httproute", "web", "-n", "shop", "--subresource=status", "--type=merge", "-p", json.dumps(patch))
    api.kubectl("delete", "service", "web", "-n", "shop")

    def now():
        parents = api.get("httproute", "web", "-n", "shop")["status"]["parents"]
        return next((each for each in parents if each["controllerName"].endswith("gateway-controller")
                     and conditions(each)["ResolvedRefs"]["reason"] == "BackendNotFound"), None) and parents
    parents = eventually("no backend any more", now)
    assert parents[0] == theirs and len(parents) == 2, parents
    foreign = '{"status": {"conditions": [{"type": "Mine", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}'
    api.kubectl("patch", "virtualservice", "web", "-n", "shop", "--subresource=status", "--type=merge", "-p", foreign)
    said(api, "virtualservice", "web", "Accepted", "True Accepted")  # put back beside it
    assert says(api, "virtualservice", "web", "Mine") == "True R: m"


def quiet(api, plane):
    """Once all is said, nothing is written: neither by itself, nor by another leader, nor because an object is touched that means the same."""
    time.sleep(1)
    versions = lambda: {each["metadata"]["name"]: each["metadata"]["resourceVersion"]
                        for each in api.get("authorizationpolicies,virtualservices,gateways,httproutes", "-n", "shop")}
    before, written = versions(), plane.metric("culvert_status_written_total")
    time.sleep(2)
    plane.kill()
    plane.start().ready()
    eventually("leads", lambda: plane.metric("culvert_leading") == 1, 30)
    eventually("has looked", lambda: plane.metric("culvert_status_pending") == 0)
    time.sleep(1)
    assert versions() == before and plane.metric("culvert_status_written_total") == 0, (before, versions())
    print(f"  {written:.0f} writes in all", flush=True)


def webhook_less_mistakes(api, plane):
    """The webhook was away, and something came in that cannot be read: a condition says what is wrong, and what holds meanwhile."""
    api.kubectl("delete", "crd", "telemetries.telemetry.istio.io")
    api.apply("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: telemetries.telemetry.istio.io}
spec:
  group: telemetry.istio.io
  scope: Namespaced
  names: {plural: telemetries, kind: Telemetry}
  versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
""")
    api.kubectl("wait", "--for=condition=Established", "crd/telemetries.telemetry.istio.io", "--timeout=10s")
    bad = "{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: bad, namespace: shop}, spec: {tracing: [{randomSamplingPercentage: 101}]}}"
    eventually("applied", lambda: applied(api, bad), 20)
    assert "randomSamplingPercentage" in said_later(api, "telemetry", "bad", "Accepted", "False Invalid")


def applied(api, text):
    try:
        return api.apply(text)
    except Exception:  # the CRD is not served yet
        return ""


def said_later(api, kind, name, type, start):
    return eventually(f"{kind} {name}: {start}", lambda: (says(api, kind, name, type) or "").startswith(start) and says(api, kind, name, type), 45)


def story(culvertd, crds):
    with ApiServer() as api:
        for path in sorted(crds.glob("*.yaml")):
            api.apply(path.read_text())
        api.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crds", "--all")
        api.apply(NAMESPACES)
        api.apply("apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n")
        eventually("every kind is served", lambda: applied(api, OBJECTS), 30)
        with Plane(culvertd, api.account("culvertd", RULES, "istio-system")) as plane:
            plane.ready()
            for step in (istio, counts, waypoints, gateways, others, quiet, webhook_less_mistakes):
                began = time.monotonic()
                step(api, plane)
                assert plane.alive()
                print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(story(sys.argv[1], pathlib.Path(sys.argv[2])))
