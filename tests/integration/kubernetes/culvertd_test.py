#!/usr/bin/env python3
"""culvertd on a real Kubernetes API server, with real ztunnels as its data plane: what is applied is enforced, callers prove themselves by service
account tokens, mistakes change nothing, and a control plane that is away is not missed by traffic."""
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "ztunnel"))
import apps  # noqa: E402
from apiserver import ApiServer, Refused  # noqa: E402
from plane import RULES  # noqa: E402
from world import eventually, main  # noqa: E402

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: @PLURAL@.@GROUP@
  annotations: {api-approved.kubernetes.io: "https://github.com/kubernetes-sigs/gateway-api"}
spec:
  group: @GROUP@
  scope: Namespaced
  names: {plural: @PLURAL@, kind: @KIND@}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
"""

NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: @NAME@}\n"
POD = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: @ACCOUNT@, namespace: @NAMESPACE@}
---
apiVersion: v1
kind: Pod
metadata: {name: @NAME@, namespace: @NAMESPACE@, labels: {app: @NAME@}, annotations: {ambient.istio.io/redirection: enabled}}
spec: {nodeName: @NODE@, serviceAccountName: @ACCOUNT@, containers: [{name: c, image: culvert.test/none}]}
"""
STATUS = """
apiVersion: v1
kind: Pod
metadata: {name: @NAME@, namespace: @NAMESPACE@}
status:
  phase: Running
  podIP: @V4@
  podIPs: [{ip: @V4@}, {ip: "@V6@"}]
  conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]
"""

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: @NAME@, namespace: shop}
spec: {action: @ACTION@, rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/sa-a"]}}]}]}
"""

# With a field that this version has not heard of.
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: @NAME@, namespace: shop}
spec: {parentRefs: [@PARENT@], rules: [{fromTheFuture: {}}]}
"""


def filled(text, **values):
    for name, value in values.items():
        text = text.replace(f"@{name.upper()}@", str(value))
    return text


class Plane:
    """culvertd as a pod of service account `account` would run it."""

    def __init__(self, world, account, port=15012, **environment):
        self.world, self.account, self.port = world, account, port
        self.data = world.folder / f"data-{port}"
        self.environment = environment

    def start(self, *more):
        self.process = self.world.start(f"control/culvertd-{self.port}", [
            self.world.programs["culvertd"], f"--kubeconfig={self.account}/kubeconfig", f"--data-dir={self.data}", f"--address=[::]:{self.port}",
            f"--monitoring-port={self.port + 100}", f"--debug-port={self.port + 200}",
            *(more or ["--webhook-port=0"])], self.world.cgroup, self.environment)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait(5)

    def log(self):
        return self.process.log.read_text()

    def ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port + 200}/ready", timeout=3).read().decode()
        except urllib.error.HTTPError as refused:
            return refused.read().decode()
        except OSError as error:
            return str(error)

    def metrics(self):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port + 100}/metrics", timeout=3).read().decode()


def add_pod(world, api, name, namespace, node, account, number=None):
    api.apply(filled(POD, name=name, namespace=namespace, node=node, account=account))
    if number:
        api.apply_status(filled(STATUS, name=name, namespace=namespace, v4=f"10.9.0.{number}", v6=f"fd09::{number}"))


def build(world, api, before=None, plane={}, more=(), node_environment={}):
    """Two nodes and three pods. `before`: what is tried with culvertd before there is anything else."""
    (world.cgroup / "control").mkdir()
    for plural, kind in (("peerauthentications", "PeerAuthentication"), ("authorizationpolicies", "AuthorizationPolicy")):
        api.apply(filled(CRD, group="security.istio.io", plural=plural, kind=kind))
    for name in ("istio-system", "shop"):
        api.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{istio.io/dataplane-mode: ambient}}}}\n")
    world.plane = Plane(world, api.account("culvertd", RULES, "istio-system"), **plane).start(*more)
    if before:
        before(world, api)
    for number, name in enumerate(("n1", "n2"), 1):
        api.apply(filled(NODE, name=name))
        add_pod(world, api, f"ztunnel-{name}", "istio-system", name, "ztunnel")
        node = world.node(name)
        token = world.folder / f"{name}.token"
        token.touch(mode=0o600)
        token.write_text(api.token("ztunnel", "istio-system", audience="istio-ca", pod=f"ztunnel-{name}"))
        node.extra = {"LOCAL_XDS_PATH": "", "XDS_ADDRESS": "https://localhost:15012", "XDS_ROOT_CA": str(world.plane.data / "root-cert.pem"),
                      "CA_ROOT_CA": str(world.plane.data / "root-cert.pem"), "AUTH_TOKEN": str(token)} | node_environment
    for pod, number, node in (("a", 2, "n1"), ("b", 3, "n2"), ("c", 4, None)):
        world.pod(pod, number, world.nodes.get(node))
        if node:
            add_pod(world, api, pod, "shop", node, f"sa-{pod}", number)
    eventually("ready", lambda: world.plane.ready() == "ready\n", 20)
    world.enrol()
    for node in world.nodes.values():
        node.start_agent()
        node.start_ztunnel()
    for pod in ("a", "b"):
        eventually(f"{pod} enrolled", lambda: world.enrolled(pod), 15)
    for pod in ("a", "b", "c"):
        world.spawn(pod, apps.serve, 8080)
    eventually("a first connection", lambda: works(world), 10)


def works(world, source="a"):
    return world.run(source, apps.who, world.address("b"), 8080)[1] == "end"


def identities(world, api):
    """Both ends have the identities of their service accounts, from a CA whose root is kept in a Secret."""
    line = eventually("source's line", lambda: world.nodes["n1"].access("\tinfo\t", 'dst.workload="b"', 'direction="outbound"'))
    for field in ('src.identity="spiffe://cluster.local/ns/shop/sa/sa-a"', 'dst.identity="spiffe://cluster.local/ns/shop/sa/sa-b"'):
        assert field in line, (field, line)
    secret = api.get("secret", "istio-ca-secret", "-n", "istio-system")
    assert secret["type"] == "istio.io/ca-root" and {"ca-cert.pem", "ca-key.pem", "root-cert.pem"} <= secret["data"].keys()
    assert "made a new root certificate" in world.plane.log() and 'caller="node n1"' in world.plane.log()
    assert "PRIVATE KEY" not in world.plane.log() and secret["data"]["ca-key.pem"] not in world.plane.log()


def policies(world, api):
    """What is applied is enforced within milliseconds, also on a live connection; what is deleted is not."""
    held = world.spawn("a", apps.hold, world.address("b"), 8080, 20)
    time.sleep(0.2)
    api.apply(filled(POLICY, name="closed", action="DENY"))
    began = time.monotonic()
    eventually("refused", lambda: not works(world))
    print(f"a policy was enforced {1000 * (time.monotonic() - began):.0f} ms after kubectl had returned")
    assert world.result(held)[0] != "alive", "a live connection that is not allowed any more"
    assert works(world, "c"), "others are let in"
    api.delete("authorizationpolicy", "closed", "-n", "shop")
    eventually("open", lambda: works(world))


def epochs(world, api):
    """`culvert wait` returns when what kubectl has just applied or deleted is in force: the next connection is judged by it, and explain agrees."""
    def culvert(*words):
        ran = subprocess.run([world.programs["culvert"], *words, "--url", f"http://127.0.0.1:{world.plane.port + 100}"],
                             capture_output=True, text=True, timeout=60)
        return ran.returncode, ran.stdout + ran.stderr

    def wait(name):
        return culvert("wait", "--for-applied", f"authorizationpolicy/{name}", "-n", "shop", "--timeout", "20s")

    explain = ("explain", "--from", "a", "-n", "shop", "--to", f"{world.address('b')}:8080")
    took = []
    for _ in range(5):
        api.apply(filled(POLICY, name="awaited", action="DENY"))
        began = time.monotonic()
        code, said = wait("awaited")
        took.append(time.monotonic() - began)
        assert not works(world), said
        assert code == 0 and "in force on 2 of 2 connected data planes" in said, said
        code, said = culvert(*explain)
        assert code == 2 and "denied by policy shop/awaited, rule 1" in said, said
        api.delete("authorizationpolicy", "awaited", "-n", "shop")
        code, said = wait("awaited")
        assert works(world), said
        assert code == 0, said
        assert culvert(*explain)[0] == 0
    print(f"culvert wait took {1000 * sorted(took)[2]:.0f} ms (the median of five)")
    for _ in range(5):
        api.apply(filled(POLICY, name="awaited", action="DENY"))
        code, said = culvert("wait", "--all")
        assert code == 0 and not works(world), said
        api.delete("authorizationpolicy", "awaited", "-n", "shop")
        code, said = culvert("wait", "--all")
        assert code == 0 and works(world), said
    code, said = wait("nobody")
    assert code == 3 and "there is no such object" in said, said
    api.apply(filled(POLICY, name="bad", action="DENI"))
    code, said = wait("bad")
    assert code == 6 and "spec.action" in said, said
    api.delete("authorizationpolicy", "bad", "-n", "shop")
    assert wait("bad")[0] == 0 and culvert("wait", "--all")[0] == 0 and works(world)

    def mesh_config(text):
        api.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n" f"data: {{mesh: '{text}'}}\n")
        return culvert("wait", "--for-applied", "configmap/istio", "-n", "istio-system", "--timeout", "20s")

    code, said = mesh_config("trustDomainAliases: [old.example]")
    assert code == 0 and "in force on 2 of 2 connected data planes" in said, said
    code, said = mesh_config("trustDomian: x")
    assert code == 6 and "did you mean trustDomain?" in said, said
    code, said = culvert("wait", "--for-applied", "configmap/web", "-n", "shop")
    assert code == 1 and "only istio in namespace istio-system" in said, said
    api.delete("configmap", "istio", "-n", "istio-system")
    assert culvert("wait", "--for-applied", "cm/istio", "-n", "istio-system")[0] == 0 and works(world)

    # A ztunnel that is between two lives: no pod of it runs, and it will be back.
    world.nodes["n2"].kill_ztunnel()
    eventually("its stream has ended", lambda: "\npilot_xds 1\n" in world.plane.metrics())
    code, said = culvert("wait", "--all", "--timeout", "1s")
    assert code == 4 and "n2: its data plane is not connected, and was a moment ago" in said, said
    world.nodes["n2"].start_ztunnel()
    code, said = culvert("wait", "--all", "--timeout", "20s")
    assert code == 0 and "in force on 2 of 2 connected data planes" in said, said
    eventually("works again", lambda: works(world), 10)


def debug_pages(world, api):
    """Who is not on culvertd's own host sees them with a token of one of the mesh's own accounts; it need not be bound to a pod, and is good for nothing else."""
    plane = Plane(world, world.plane.account, 15612, CULVERT_DEBUG_ON_LOCALHOST="false").start()
    eventually("ready", lambda: plane.ready() == "ready\n", 20)

    def page(token):
        request = urllib.request.Request(f"http://127.0.0.1:{plane.port + 100}/debug/syncz", headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            return urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as refused:
            return refused.code

    assert page(None) == 401 and page("rubbish") == 401
    assert page(api.token("ztunnel", "istio-system", audience="istio-ca")) == 200
    assert page(api.token("ztunnel", "istio-system")) == 401, "for another audience"
    assert page(api.token("sa-a", "shop", audience="istio-ca", pod="a")) == 403
    plane.kill()


def mistakes(world, api):
    """A policy that cannot be read leaves its last good version in force; without one it denies. Both are said with object and field."""
    api.apply(filled(POLICY, name="p", action="DENY"))
    eventually("refused", lambda: not works(world))
    api.apply(filled(POLICY, name="p", action="DENI"))
    eventually("said", lambda: "AuthorizationPolicy shop/p: spec.action: " in world.plane.log() and "last good version stays" in world.plane.log())
    assert not works(world) and works(world, "c")
    api.delete("authorizationpolicy", "p", "-n", "shop")
    eventually("open", lambda: works(world))

    api.apply(filled(POLICY, name="q", action="DENI"))
    eventually("closed to all", lambda: not works(world) and not works(world, "c"))
    assert "DENIED (policy_invalid)" in world.plane.log()
    api.apply(filled(POLICY, name="q", action="ALLOW"))
    eventually("mended", lambda: works(world) and not works(world, "c"))
    api.delete("authorizationpolicy", "q", "-n", "shop")
    eventually("open", lambda: works(world) and works(world, "c"))


def callers(world, api):
    """A pod's own token does not open the mesh's configuration, nor does one for another audience or of a pod that is gone."""
    node = world.nodes["n1"]
    add_pod(world, api, "gone", "istio-system", "n1", "ztunnel")
    no_proxy = lambda who: f'no node proxy.*caller="?{who}'
    tokens = {"a pod's": (api.token("sa-a", "shop", audience="istio-ca", pod="a"), no_proxy("spiffe://cluster.local/ns/shop/sa/sa-a")),
              "another audience's": (api.token("ztunnel", "istio-system", pod="ztunnel-n1"), "meant for somebody else"),
              "a node's without a pod": (api.token("ztunnel", "istio-system", audience="istio-ca"), no_proxy("account istio-system/ztunnel")),
              "of a pod that is gone": (api.token("ztunnel", "istio-system", audience="istio-ca", pod="gone"), "the token is not good|of the token is not there"),
              "rubbish": ("a.b.c", "the token is none of a service account")}
    api.delete("pod", "gone", "-n", "istio-system")
    good = node.extra["AUTH_TOKEN"]
    for what, (token, reason) in tokens.items():
        before = len(world.plane.log())
        path = world.folder / "bad.token"
        path.touch(mode=0o600)
        path.write_text(token)
        node.kill_ztunnel()
        node.start_ztunnel(AUTH_TOKEN=str(path))
        eventually(f"{what} refused", lambda: "only node proxies" in node.log() or "authentication failure" in node.log())
        assert not node.ready(), what
        eventually(f"{what} refused, and why", lambda: re.search(reason, world.plane.log()[before:]), 40)  # of many refusals one in ten seconds is said
    node.kill_ztunnel()
    node.extra["AUTH_TOKEN"] = good
    node.start_ztunnel()
    eventually("works again", lambda: works(world), 10)


def changes_of_pods(world, api):
    """A pod that is made is reached; one that is deleted is not known any more."""
    node = world.nodes["n2"]
    names = lambda: {each["name"] for each in node.config_dump()["workloads"]}
    add_pod(world, api, "late", "shop", "n2", "sa-late", 77)
    eventually("late is known", lambda: "late" in names())
    api.delete("pod", "late", "-n", "shop")
    eventually("late is gone", lambda: "late" not in names())


def culvertd_restarts(world, api):
    """Traffic goes on; the root is that of before."""
    root = (world.plane.data / "root-cert.pem").read_text()
    held = world.spawn("a", apps.hold, world.address("b"), 8080, 4)
    world.plane.kill()
    assert works(world)
    world.plane.start()
    eventually("ready", lambda: world.plane.ready() == "ready\n", 20)
    assert world.result(held)[0] == "alive"
    assert (world.plane.data / "root-cert.pem").read_text() == root
    assert "signs with Secret istio-system/istio-ca-secret" in world.plane.log()
    api.apply(filled(POLICY, name="after", action="DENY"))
    eventually("enforced", lambda: not works(world), 15)
    api.delete("authorizationpolicy", "after", "-n", "shop")
    eventually("open", lambda: works(world), 15)


def published(world, api, name):
    try:
        return api.get("configmap", "istio-ca-root-cert", "-n", name)["data"]["root-cert.pem"] == (world.plane.data / "root-cert.pem").read_text()
    except Refused:
        return False


def roots_and_leaders(world, api):
    """Every namespace has the root; what is changed or deleted is put back. A second replica serves as well, and writes when the first is gone."""
    eventually("shop has it", lambda: published(world, api, "shop"))
    api.delete("configmap", "istio-ca-root-cert", "-n", "shop")
    eventually("put back", lambda: published(world, api, "shop"), 25)  # a leader that was killed is succeeded when its lease has run out
    api.kubectl("patch", "configmap", "istio-ca-root-cert", "-n", "shop", "-p", '{"data": {"root-cert.pem": "mine"}}')
    eventually("mended", lambda: published(world, api, "shop"))

    second = Plane(world, world.plane.account, 15412).start()
    eventually("ready", lambda: second.ready() == "ready\n", 20)
    assert (second.data / "root-cert.pem").read_text() == (world.plane.data / "root-cert.pem").read_text()
    assert "\nculvert_leading 1\n" in world.plane.metrics() and "culvert_leading 0" in second.metrics()
    world.plane.kill()
    api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: fresh}\n")
    eventually("the second writes", lambda: published(world, api, "fresh"), 40)
    assert works(world) and "\nculvert_leading 1\n" in second.metrics()
    second.kill()
    world.plane.start()
    eventually("ready", lambda: world.plane.ready() == "ready\n", 20)


def webhook(world, api):
    """The API server stores nothing that could not be in force, and says what is wrong with it; without us, no policy is stored at all."""
    def refusal(text):
        try:
            api.apply(text)
        except Refused as error:
            return str(error)
        return ""

    world.plane.kill()
    world.plane.start("--webhook-port=15712", "--webhook-url=https://127.0.0.1:15712/validate")
    eventually("registered", lambda: "spec.action" in refusal(filled(POLICY, name="w", action="DENI")), 40)
    said = refusal(filled(POLICY, name="w", action="DENI"))
    assert 'denied the request' in said and 'unknown value "DENI"' in said, said
    assert "AuthorizationPolicy shop/w: spec.action" in said, said  # of a file with many objects it is this one
    api.apply(filled(CRD, group="gateway.networking.k8s.io", plural="httproutes", kind="HTTPRoute"))
    api.kubectl("wait", "--for=condition=Established", "crd/httproutes.gateway.networking.k8s.io", "--timeout=10s")
    said = refusal(filled(ROUTE, name="ours", parent="{kind: Service, group: '', name: web}"))
    assert "HTTPRoute shop/ours: spec.rules[0].fromTheFuture: unknown field" in said, said
    assert refusal(filled(ROUTE, name="theirs", parent="{name: a-gateway-of-another-controller}")) == ""
    api.apply(filled(POLICY, name="w", action="DENY"))
    eventually("enforced", lambda: not works(world), 15)
    said = refusal(filled(POLICY, name="w", action="DENY").replace("rules:", "rulez:"))
    assert "spec.rulez: unknown field (did you mean rules?)" in said, said
    api.delete("authorizationpolicy", "w", "-n", "shop")
    eventually("open", lambda: works(world), 15)
    assert "galley_validation_failed" in world.plane.metrics()

    api.kubectl("patch", "validatingwebhookconfiguration", "culvert-validator", "--type=json",
                "-p", '[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]')
    world.plane.kill()
    world.plane.start("--webhook-port=15712", "--webhook-url=https://127.0.0.1:15712/validate")
    policy = lambda: api.get("validatingwebhookconfiguration", "culvert-validator")["webhooks"][0]["failurePolicy"]
    eventually("what somebody changed is put back", lambda: policy() == "Fail", 40)
    world.plane.kill()
    assert "failed calling webhook" in refusal(filled(POLICY, name="w", action="DENY"))
    assert refusal(filled(ROUTE, name="while-away", parent="{name: a-gateway-of-another-controller}")) == ""
    assert works(world)
    api.kubectl("delete", "validatingwebhookconfiguration", "culvert-validator")
    world.plane.start()
    eventually("ready", lambda: world.plane.ready() == "ready\n", 20)


def missing_rights(world, api):
    """What RBAC does not grant is said with the rule to add, in the log and by /ready; granted, it goes on by itself."""
    account = api.account("poor", [rule for rule in RULES if "endpointslices" not in rule["resources"]], "istio-system")
    poor = Plane(world, account, 15512).start()
    eventually("said", lambda: "(RBAC: grant" in poor.ready() and "(RBAC: grant" in poor.log(), 20)
    assert "endpointslices" in poor.ready().split("RBAC: grant")[1], poor.ready()
    api.account("poor", RULES, "istio-system")
    eventually("ready", lambda: poor.ready() == "ready\n", 40)
    poor.kill()


def story(world):
    with ApiServer() as api:
        build(world, api)
        for step in (identities, policies, mistakes, callers, changes_of_pods, culvertd_restarts, epochs, debug_pages, roots_and_leaders, webhook, missing_rights):
            began = time.monotonic()
            step(world, api)
            print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(story, __file__, ["culvertd", "ztunnel", "culvert-node", "culvert"]))
