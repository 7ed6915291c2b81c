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
# The node agent does not run on Kubernetes yet, and ztunnel is ready when it has one.
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


def ztunnel(charts):
    """It finds the control plane, trusts it, and is let in. It has no agent, and says so."""
    helm(charts, "upgrade", "culvert", "culvert", "--set", "cni.enabled=false")
    count = len(get("nodes"))
    eventually("ztunnels run", lambda: [each["status"]["phase"] for each in get("pods", "-n", NS, "-l", "app=ztunnel")] == ["Running"] * count, 60)
    eventually("both have their configuration", lambda: sum(float(line.split()[1]) for line in metrics().splitlines() if line.startswith("pilot_xds ")) == count)
    pod = get("pods", "-n", NS, "-l", "app=ztunnel")[0]
    assert "automountServiceAccountToken" in pod["spec"] and not pod["spec"]["automountServiceAccountToken"]
    log = kubectl("logs", "-n", NS, pod["metadata"]["name"])
    assert "/var/run/ztunnel/ztunnel.sock" in log, log


def upgrade(charts):
    """Two replicas: a budget, one that leads, and nobody of the old ones left."""
    helm(charts, "upgrade", "culvert", "culvert", "--set", "cni.enabled=false,controlplane.autoscaleMin=2")
    kubectl("rollout", "status", "-n", NS, "deployment/culvertd", "--timeout=90s")
    eventually("two replicas", lambda: get("deployment", "-n", NS, "culvertd")["status"].get("readyReplicas") == 2, 60)
    assert not missing("pdb", "-n", NS, "culvertd")
    assert get("lease", "-n", NS, "culvertd")["spec"]["holderIdentity"].startswith("culvertd-")


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


def uninstall(charts):
    """Agents go first, alone; then all the rest, and what culvertd has written. What somebody else has written stays."""
    helm(charts, "upgrade", "culvert", "culvert")
    eventually("agents", lambda: len(get("pods", "-n", NS, "-l", "k8s-app=culvert-node")) == 2, 60)
    kubectl("create", "configmap", "istio-ca-root-cert", "-n", "kube-system", "--from-literal=root-cert.pem=foreign")
    watch = watched_deletions()
    run("helm", "uninstall", "culvert", "-n", NS, "--wait", "--timeout=150s", timeout=200)
    time.sleep(1)
    watch.terminate()
    ended = [line.split()[0] for line in watch.communicate()[0].splitlines() if len(line.split()) == 2]
    assert ended and ended[0] == "culvert-node", ended
    for kind in ("all", "configmaps", "secrets", "serviceaccounts", "roles", "rolebindings", "leases", "pdb", "networkpolicies"):
        left = [each["metadata"]["name"] for each in get(kind, "-n", NS) if each["metadata"]["name"] not in ("default", "kube-root-ca.crt")]
        eventually(f"no {kind}", lambda: [each for each in get(kind, "-n", NS) if each["metadata"]["name"] not in ("default", "kube-root-ca.crt")] == []
                   or print(kind, left), 40)
    for kind in ("clusterroles", "clusterrolebindings", "validatingwebhookconfigurations"):
        assert not [name for name in kubectl("get", kind, "-o", "name").split() if "culvert" in name], kind
    roots = [each["metadata"]["namespace"] for each in get("configmaps", "-A") if each["metadata"]["name"] == "istio-ca-root-cert"]
    assert roots == ["kube-system"], roots
    assert len([name for name in kubectl("get", "crds", "-o", "name").split() if ".istio.io" in name]) > 10, "CRDs stay"


def again(charts):
    helm(charts, "install", "culvert", "culvert", *PLANE, "--wait", "--timeout=90s")


def main():
    charts = pathlib.Path(sys.argv[1]).resolve() / "charts"
    with tempfile.TemporaryDirectory() as folder:
        images = pathlib.Path(folder)
        load(*(images / f"{name}.tar" for name in make_images(images)))
    for step in (install, serves, ztunnel, upgrade, revision, uninstall, again):
        began = time.monotonic()
        step(charts)
        print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
