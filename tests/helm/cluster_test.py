#!/usr/bin/env python3
"""Culvert on a real cluster by Helm, as a user would: install, look, upgrade, a second revision, uninstall with nothing left.
Usage, by tests/run-e2e: cluster_test.py BUILD"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from cluster import eventually, get, kubectl, load, make_images, missing, refusal, run

NS = "istio-system"
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: default}
spec: {action: @ACTION@, rules: [{to: [{operation: {ports: ["80"]}}]}]}
"""
IMAGES = ("--set", "global.hub=culvert.test,global.tag=test,global.imagePullPolicy=Never")
HERE = pathlib.Path(__file__).resolve().parent
PLANE = ("--set", "cni.enabled=false,ztunnel.enabled=false")


def helm(charts, command, release, chart, *words):
    return run("helm", command, release, charts / chart, "-n", NS, *IMAGES, *words, timeout=200)


def metrics(service="culvertd"):
    return kubectl("get", "--raw", f"/api/v1/namespaces/{NS}/services/{service}:http-monitoring/proxy/metrics")


def install(charts):
    helm(charts, "install", "culvert", "culvert", *PLANE, "--create-namespace", "--wait", "--timeout=120s")
    (pod,) = get("pods", "-n", NS, "-l", "app=culvertd")
    assert all(each["ready"] for each in pod["status"]["containerStatuses"])
    security = pod["spec"]["containers"][0]["securityContext"]
    assert security["runAsUser"] != 0 and security["readOnlyRootFilesystem"] and security["capabilities"]["drop"] == ["ALL"]
    addresses = {each["metadata"]["name"]: each["spec"]["clusterIP"] for each in get("services", "-n", NS)}
    assert addresses.keys() == {"culvertd", "istiod"}
    assert 'culvert_build_info' in metrics() and 'culvert_build_info' in metrics("istiod")
    assert missing("pdb", "-n", NS, "culvertd"), "a budget for one replica would keep its node from being drained"


def serves(_):
    """Its rights suffice: every kind is watched, roots are published, the webhook is asked."""
    eventually("all is watched", lambda: "culvert_kube_synced" in metrics() and "} 0" not in
               "\n".join(line for line in metrics().splitlines() if line.startswith("culvert_kube_synced")))
    log = kubectl("logs", "-n", NS, "deployment/culvertd")
    assert "RBAC: grant" not in log, log
    for name in ("default", NS):
        eventually(f"root in {name}", lambda: not missing("configmap", "istio-ca-root-cert", "-n", name))
    eventually("webhook", lambda: not missing("validatingwebhookconfiguration", "culvert-validator"))
    assert 'supported values: "' in refusal(POLICY.replace("@ACTION@", "DENI")), "the CRD's schema"
    assert refusal(POLICY.replace("@ACTION@", "DENY")) == ""
    assert "galley_validation_passed 1" in metrics(), "the API server has asked"
    kubectl("delete", "authorizationpolicy", "p", "-n", "default")
    boards = get("configmaps", "-n", NS, "-l", "grafana_dashboard=1")
    assert len(boards) == 4 and all(json.loads(text)["panels"] for board in boards for text in board["data"].values())


def pods(app):
    return get("pods", "-n", "shop", "-l", f"app={app}")


def enrolled():
    return [each["metadata"].get("annotations", {}).get("ambient.istio.io/redirection") for app in ("web", "client") for each in pods(app)]


def asked():
    """How many requests were answered since the client began, of which none may have failed."""
    lines = kubectl("logs", "-n", "shop", "client").partition("begin\n")[2].splitlines()
    failed = [line for line in lines if line.startswith("failed")]
    assert not failed, f"{len(failed)} of {len(lines)} requests failed: {failed[:5]}"
    return len(lines)


def goes_on():
    """Requests are answered, now as before."""
    before = asked()
    eventually("answers", lambda: asked() > before + 20)


def mesh(charts):
    """Agents and ztunnels are there; a label on a namespace, and its running pods are in the mesh. No request fails."""
    helm(charts, "upgrade", "culvert", "culvert", "--wait", "--timeout=120s")
    kubectl("apply", "-f", HERE / "apps.yaml")
    kubectl("rollout", "status", "-n", "shop", "daemonset/web", "--timeout=60s")
    kubectl("wait", "-n", "shop", "pod/client", "--for=condition=Ready", "--timeout=60s")
    eventually("requests", asked)
    uids = [each["metadata"]["uid"] for each in pods("web")]
    kubectl("label", "namespace", "shop", "istio.io/dataplane-mode=ambient")
    eventually("three pods are in", lambda: enrolled() == ["enabled"] * 3)
    assert [each["metadata"]["uid"] for each in pods("web")] == uids, "nothing restarts"
    line = 'src.identity="spiffe://cluster.local/ns/shop/sa/default"'
    eventually("mutual TLS", lambda: line in kubectl("logs", "-n", NS, "-l", "app=ztunnel", "--tail=-1"))
    goes_on()


def upgrade(charts):
    """All of it rolls, under load: control plane to two replicas with a budget, agents, ztunnels. No request fails."""
    turn = "controlplane.autoscaleMin=2," + ",".join(f"{part}.podLabels.turn=two" for part in ("controlplane", "cni", "ztunnel"))
    helm(charts, "upgrade", "culvert", "culvert", "--set", turn, "--wait", "--timeout=180s")
    for what in ("deployment/culvertd", "daemonset/culvert-node", "daemonset/ztunnel"):
        kubectl("rollout", "status", "-n", NS, what, "--timeout=120s")
    eventually("two replicas", lambda: get("deployment", "-n", NS, "culvertd")["status"].get("readyReplicas") == 2, 60)
    assert not missing("pdb", "-n", NS, "culvertd")
    assert get("lease", "-n", NS, "culvertd")["spec"]["holderIdentity"].startswith("culvertd-")
    eventually("the old ones are gone", lambda: all(each["metadata"]["labels"].get("turn") == "two" for each in get("pods", "-n", NS)), 60)
    assert enrolled() == ["enabled"] * 3
    goes_on()
    print(f"{asked()} requests so far, none failed", flush=True)


def revision(charts):
    """A second control plane beside the first; it takes nothing from it."""
    helm(charts, "install", "canary", "controlplane", "--set",
         "revision=canary,revisionTags={next},autoscaleEnabled=false,monitoring.dashboards.enabled=false,monitoring.rules.enabled=false",
         "--wait", "--timeout=90s")
    names = {each["metadata"]["name"] for each in get("services", "-n", NS)}
    assert names == {"culvertd", "istiod", "culvertd-canary", "istiod-canary", "culvertd-next", "istiod-next"}, names
    assert "culvert_build_info" in metrics("culvertd-next")
    run("helm", "uninstall", "canary", "-n", NS, "--wait", timeout=60)
    assert not missing("lease", "-n", NS, "culvertd") and not missing("secret", "-n", NS, "istio-ca-secret"), "the first still needs them"


def watched_deletions():
    """The order in which DaemonSets are told to go."""
    return subprocess.Popen(["kubectl", "get", "daemonsets", "-n", NS, "--watch", "-o", "jsonpath={.metadata.name} {.metadata.deletionTimestamp}{'\\n'}",
                             "--output-watch-events=false"], stdout=subprocess.PIPE, text=True)


def left_over(kind):
    return [each["metadata"]["name"] for each in get(kind, "-n", NS) if each["metadata"]["name"] not in ("default", "kube-root-ca.crt")]


def uninstall(charts):
    """Agents go first, alone; then all the rest, and what culvertd has written. No request fails, and nothing is left. What others have written stays."""
    kubectl("create", "configmap", "istio-ca-root-cert", "-n", "kube-system", "--from-literal=root-cert.pem=foreign")
    watch = watched_deletions()
    run("helm", "uninstall", "culvert", "-n", NS, "--wait", "--timeout=180s", timeout=240)
    watch.terminate()
    ended = [line.split()[0] for line in watch.communicate()[0].splitlines() if len(line.split()) == 2]
    assert ended and ended[0] == "culvert-node", ended
    for kind in ("all", "configmaps", "secrets", "serviceaccounts", "roles", "rolebindings", "leases", "pdb", "networkpolicies"):
        eventually(f"no {kind} is left: {left_over(kind)}", lambda: not left_over(kind), 40)
    for kind in ("clusterroles", "clusterrolebindings", "validatingwebhookconfigurations"):
        assert "culvert" not in kubectl("get", kind, "-o", "name"), kind
    roots = [each["metadata"]["namespace"] for each in get("configmaps", "-A") if each["metadata"]["name"] == "istio-ca-root-cert"]
    assert roots == ["kube-system"], roots
    assert kubectl("get", "crds", "-o", "name").count(".istio.io") > 10, "CRDs stay"
    assert enrolled() == [None] * 3
    for node in (each["metadata"]["name"] for each in get("nodes")):
        for path in ("/etc/cni/net.d/00-culvert.conflist", "/opt/cni/bin/culvert-cni", "/sys/fs/bpf/culvert"):
            run("on", node, "test", "!", "-e", path)
    goes_on()
    print(f"{asked()} requests in all, none failed", flush=True)


def again(charts):
    helm(charts, "install", "culvert", "culvert", *PLANE, "--wait", "--timeout=90s")


def main():
    charts = pathlib.Path(sys.argv[1]).resolve() / "charts"
    with tempfile.TemporaryDirectory() as folder:
        images = pathlib.Path(folder)
        load(*(images / f"{name}.tar" for name in make_images(images)))
    steps = [install, serves, revision]
    if "CULVERT_DAEMONSET" in run(sys.argv[1] + "/bin/culvert-node", "--help"):
        steps += [mesh, upgrade, uninstall, again]
    else:
        print("the node agent of this tree does not know Kubernetes: no mesh, and no uninstall", flush=True)
    for step in steps:
        began = time.monotonic()
        step(charts)
        print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


def tell():
    """What there is to see when it has failed."""
    for pod in kubectl("get", "pods", "-n", NS, "-o", "name").split():
        print(f"--- {pod}\n" + kubectl("logs", "-n", NS, pod, "--tail=40"), file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        tell()
        raise
