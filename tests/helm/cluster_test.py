#!/usr/bin/env python3
"""Culvert on a real cluster by `culvert` and Helm, as a user would: install a version, look, a second revision, the mesh, upgrade under load, applications
and what happens to them every day, roll back, uninstall, install again with interruptions, uninstall with nothing left.
Usage, by tests/run-e2e: cluster_test.py BUILD PREVIOUS [STEP...]    PREVIOUS: a culvert-node of another ABI version; STEP: these alone"""
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

import bookinfo
import everyday
import monitored
import operator_commands
import rules
import shop
from charts import BEFORE, images_of, previous
from cluster import NODES, ROOT, apply, culvert, eventually, events, get, is_ready, kubectl, load, make_images, missing, pods, redirection, refusal, rolled_out, run, tried

NS = "istio-system"
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: default}
spec: {action: @ACTION@, rules: [{to: [{operation: {ports: ["80"]}}]}]}
"""
EARLY = """
apiVersion: v1
kind: Namespace
metadata: {name: early, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: early, namespace: early}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: all, image: "culvert.test/busybox:1", imagePullPolicy: Never, command: [sleep, infinity]}]
"""
TAINT = "culvert.dev/agent-not-ready"
# What each may do beside what everybody may, by the number of the capability (linux/capability.h).
CAPABILITIES = {"culvertd": set(), "ztunnel": {10, 12, 21}, "culvert-node": {12, 19, 21}}  # NET_BIND_SERVICE, NET_ADMIN, SYS_PTRACE, SYS_ADMIN
HERE = pathlib.Path(__file__).resolve().parent


def helm(charts, command, release, chart, *words):
    return run("helm", command, release, charts / chart, "-n", NS, *images_of(charts), *words, timeout=200)


def failure(*words):
    """What a command says that is to fail."""
    code, out, err = tried(*words)
    assert code, f"{' '.join(map(str, words))}: {out}"
    return err


def metrics(service="culvertd"):
    return kubectl("get", "--raw", f"/api/v1/namespaces/{NS}/services/{service}:http-monitoring/proxy/metrics")


def found(*words, code=0):
    """What `culvert precheck` and `verify-install` say, by their codes."""
    said = json.loads(culvert(*words, "-o", "json", code=code))
    return {each["code"]: each for each in sorted(said["findings"], key=lambda each: each["level"] == "error")}


def precheck(_):
    """A cluster that Culvert can be installed into; a look at its nodes leaves nothing behind."""
    seen = found("precheck", "--probe-nodes", "--image", "culvert.test/culvert-node:test", "--image-pull-policy", "Never")
    assert {seen[code]["level"] for code in ("CVT0101", "CVT0102", "CVT0104", "CVT0201", "CVT0202", "CVT0203", "CVT0204", "CVT0206")} == {"ok"}, seen
    assert seen["CVT0206"]["message"].startswith("/etc/cni/net.d/10-bridge.conflist: bridge, portmap"), seen["CVT0206"]
    assert not get("pods", "-n", "kube-system", "-l", "app=culvert-precheck")


def verified(_):
    """What `culvert verify-install` says of a mesh that is well."""
    seen = found("verify-install")
    assert {each["level"] for each in seen.values()} == {"ok"}, seen
    assert "it proves to be spiffe://cluster.local/ns/shop/sa/default" in seen["CVT0308"]["message"], seen


def installed(_):
    """What `culvert install` has brought: a control plane alone, as its profile says, with the least of rights."""
    assert {each["metadata"]["name"] for each in get("deployments,daemonsets", "-n", NS)} == {"culvertd"}
    (pod,) = get("pods", "-n", NS, "-l", "app=culvertd")
    assert all(each["ready"] for each in pod["status"]["containerStatuses"])
    security = pod["spec"]["containers"][0]["securityContext"]
    assert security["runAsUser"] != 0 and security["readOnlyRootFilesystem"] and security["capabilities"]["drop"] == ["ALL"]
    addresses = {each["metadata"]["name"]: each["spec"]["clusterIP"] for each in get("services", "-n", NS)}
    assert addresses.keys() == {"culvertd", "istiod"}
    assert 'culvert_build_info' in metrics() and 'culvert_build_info' in metrics("istiod")
    assert get("pdb", "-n", NS, "culvertd")["spec"]["maxUnavailable"] == 1, "a budget that kept the only replica would keep its node from being drained"


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


def early():
    """A pod of a namespace of the mesh that comes before any agent: its node's taint keeps it waiting, and so it has never been outside."""
    return get("pod", "-n", "early", "early")


def mesh(charts):
    """Agents and ztunnels are there, and take the startup taint off their nodes; a label on a namespace, and its running pods are in the mesh. No request
    fails."""
    kubectl("taint", "node", "--all", f"{TAINT}=:NoSchedule")
    apply(EARLY)
    eventually("it waits", lambda: "untolerated taint" in json.dumps(early()["status"]))
    helm(previous(charts), "upgrade", "culvert", "culvert", "--set", "cni.startupTaint.enabled=true", "--wait", "--timeout=120s")
    eventually("pods may come", lambda: not [taint for node in get("nodes") for taint in node["spec"].get("taints", [])])
    eventually("who has waited is in", lambda: redirection(early()) == "enabled" and is_ready(early()))
    seen = events("early", "early")
    assert "MeshEnrolled" in seen and "MeshMissed" not in seen, seen
    kubectl("delete", "namespace", "early", "--wait=false")
    agent = ("--as", f"system:serviceaccount:{NS}:culvert-node")
    said = failure("kubectl", "taint", "node", "node1", "more=:NoSchedule", *agent)
    assert "an agent may change its own node alone" in said, said
    shop.start(HERE)
    uids = [each["metadata"]["uid"] for each in pods("shop", "web")]
    kubectl("label", "namespace", "shop", "istio.io/dataplane-mode=ambient")
    eventually("all pods are in", lambda: shop.enrolled() == shop.IN)
    assert [each["metadata"]["uid"] for each in pods("shop", "web")] == uids, "nothing restarts"
    line = 'src.identity="spiffe://cluster.local/ns/shop/sa/default"'
    eventually("mutual TLS", lambda: line in kubectl("logs", "-n", NS, "-l", "app=ztunnel", "--tail=-1"))
    shop.goes_on()


def status_of(node, process):
    return dict(line.split(":\t", 1) for line in run("on", node, "cat", f"/proc/{process}/status").splitlines() if ":\t" in line)


def confined(_):
    """Every program of ours has the capabilities that are named, none that it could get, and seccomp's filters; the agent says that pods start by way of it."""
    for node in get("nodes"):
        name = node["metadata"]["name"]
        for program, wanted in CAPABILITIES.items():
            for process in tried("on", name, "pidof", program)[1].split():
                status = status_of(name, process)
                has = {bit for bit in range(64) if int(status["CapEff"], 16) >> bit & 1}
                assert has == wanted and status["CapBnd"] == status["CapPrm"], (program, has, status["CapBnd"])
                assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), (program, status["Seccomp"], status["NoNewPrivs"])
                filters = [int(each["Seccomp_filters"]) for each in (status, status_of(name, "self"))]
                assert filters[0] == filters[1] + 2, (program, filters, "the runtime's, and the program's own")
    for pod in pods(NS, "culvert-node"):
        said = kubectl("get", "--raw", f"/api/v1/namespaces/{NS}/pods/{pod['metadata']['name']}:15014/proxy/metrics")
        assert "\nculvert_node_cni_installed 1\n" in said and "\nculvert_node_cni_restored_total 0\n" in said, said
        assert 'culvert_node_cni_answers_total{verb="add",verdict="' in said, said


def everywhere(tag):
    """All that runs is of this version, and in force: the kernel's programs of an agent of another ABI version are gone."""
    rolled_out(NS, "deployment/culvertd", "daemonset/culvert-node", "daemonset/ztunnel")
    eventually("the others are gone", lambda: all(each["spec"]["containers"][0]["image"].endswith(f":{tag}") for each in get("pods", "-n", NS)), 60)
    for node in get("nodes"):
        pins = ("on", node["metadata"]["name"], "ls", "/sys/fs/bpf/culvert")
        eventually("one version", lambda: sum(name.startswith("v") for name in run(*pins).split()) == 1)
    assert shop.enrolled() == shop.IN
    shop.goes_on()
    print(f"{shop.asked()} requests so far, none failed", flush=True)


def upgrade(charts):
    """From the version before, under load: control plane to two replicas with a budget, agents of another ABI, ztunnels. No request fails."""
    with shop.held():
        operator_commands.upgrade(charts)
        everywhere("test")
    eventually("two replicas", lambda: get("deployment", "-n", NS, "culvertd")["status"].get("readyReplicas") == 2, 60)
    assert get("pdb", "-n", NS, "culvertd")["spec"]["minAvailable"] == 1
    assert get("lease", "-n", NS, "culvertd")["spec"]["holderIdentity"].startswith("culvertd-")


def roll_back(_):
    """To what it was before the upgrade, under load. No request fails."""
    before = ca()
    with shop.held():
        run("helm", "rollback", "culvert", "2", "-n", NS, "--wait", "--timeout=180s", timeout=200)
        run("helm", "uninstall", "canary", "-n", NS, "--wait", "--timeout=90s", timeout=120)
        everywhere(BEFORE)
    assert ca() == before and leads() == {"default"}, "what the first one needs was left to it"


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


def ca():
    """What must not change while anybody trusts it: the Secret, and the root that is published."""
    return get("secret", "-n", NS, "istio-ca-secret")["metadata"]["uid"], get("configmap", "-n", "shop", "istio-ca-root-cert")["data"]["root-cert.pem"]


def leads():
    """The revisions that the Services without a revision's name lead to."""
    return {get("service", "-n", NS, name)["spec"]["selector"]["istio.io/rev"] for name in ("culvertd", "istiod")}


def promoted(charts):
    """Another revision takes over, and the first one goes: the CA stays, policies are reviewed, every ztunnel is connected, and no request fails."""
    before = ca()
    settings = "revision=canary,autoscaleEnabled=false,monitoring.dashboards.enabled=false,monitoring.rules.enabled=false"
    helm(charts, "install", "canary", "controlplane", "--set", settings, "--wait", "--timeout=90s")
    said = failure("helm", "upgrade", "canary", charts / "controlplane", "-n", NS, "--reuse-values", "--set", "revisionTags={default}")
    assert "invalid ownership metadata" in said, said
    said = failure("helm", "upgrade", "culvert", charts / "culvert", "-n", NS, "--reuse-values", "--set", "controlplane.enabled=false")
    assert "Promote the other one first" in said, said
    with shop.held():
        helm(charts, "upgrade", "canary", "controlplane", "--reuse-values", "--set", "revisionTags={default}", "--take-ownership", "--wait", "--timeout=90s")
        assert leads() == {"canary"}
        helm(charts, "upgrade", "culvert", "culvert", "--reuse-values", "--set", "controlplane.enabled=false", "--wait", "--timeout=120s")
        eventually("the first one is gone", lambda: {pod["metadata"]["labels"]["istio.io/rev"] for pod in get("pods", "-n", NS, "-l", "app=culvertd")} == {"canary"}, 60)
        eventually("both ztunnels are connected", lambda: "\npilot_xds 2\n" in metrics(), 40)
        shop.goes_on()
    assert ca() == before and leads() == {"canary"}
    eventually("policies are reviewed", lambda: refusal(POLICY.replace("@ACTION@", "DENY")) == "", 60)
    kubectl("delete", "authorizationpolicy", "p", "-n", "default")
    found("verify-install")


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
    with shop.held(uninstalled=True):
        code, said, beside = tried("helm", "uninstall", "culvert", "-n", NS, "--wait", "--timeout=180s", timeout=240)
    watch.terminate()
    assert code == 0 and "no agent is left" in said + beside, f"what the Jobs have said: {said}{beside}"
    ended = [line.split()[0] for line in watch.communicate()[0].splitlines() if len(line.split()) == 2]
    assert ended and ended[0] == "culvert-node", ended
    for kind in ("all", "configmaps", "secrets", "serviceaccounts", "roles", "rolebindings", "leases", "pdb", "networkpolicies"):
        eventually(f"no {kind} is left: {left_over(kind)}", lambda: not left_over(kind), 40)
    for kind in ("clusterroles", "clusterrolebindings", "validatingwebhookconfigurations"):
        assert "culvert" not in kubectl("get", kind, "-o", "name"), kind
    roots = [each["metadata"]["namespace"] for each in get("configmaps", "-A") if each["metadata"]["name"] == "istio-ca-root-cert"]
    assert roots == ["kube-system"], roots
    kubectl("delete", "configmap", "istio-ca-root-cert", "-n", "kube-system")
    assert "istio.io:" not in kubectl("get", "clustertrustbundles", "-o", "name")
    assert kubectl("get", "crds", "-o", "name").count(".istio.io") > 10, "CRDs stay"
    assert shop.enrolled() == shop.OUT
    for node in (each["metadata"]["name"] for each in get("nodes")):
        for path in ("/etc/cni/net.d/00-culvert.conflist", "/opt/cni/bin/culvert-cni", "/sys/fs/bpf/culvert"):
            run("on", node, "test", "!", "-e", path)
    shop.goes_on()
    print(f"{shop.asked()} requests in all, none failed", flush=True)


def images(build, agent):
    """Of this tree, and as of the version before: its charts as they were, images with its tag, whose agent is one of another ABI."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with tarfile.open(HERE / "before.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        run(folder / "helm/assemble", build / "previous", build / "charts/base/files/crds", BEFORE)
        load(*(folder / f"{name}.tar" for name in make_images(folder)))
        bookinfo.images()
        other = folder / "build"  # this build tree, but for the agent
        (other / "bin").mkdir(parents=True)
        for path in build.iterdir():
            if path.name != "bin":
                (other / path.name).symlink_to(path)
        for path in (build / "bin").iterdir():
            (other / "bin" / path.name).symlink_to(agent if path.name == "culvert-node" else path)
        make_images(folder, "culvert-node", tag=BEFORE, build=other)
        load(folder / "culvert-node.tar")
    for node in NODES:
        for name in ("culvertd", "ztunnel"):
            run("on", node, "ctr", "--namespace", "k8s.io", "images", "tag", f"culvert.test/{name}:test", f"culvert.test/{name}:{BEFORE}")


STEPS = (precheck, operator_commands.install, installed, serves, revision, mesh, upgrade, verified, bookinfo.bookinfo, bookinfo.on_the_wire, bookinfo.policy, rules.rules, monitored.monitored, everyday.stateful, everyday.doors,
         everyday.job, everyday.rolling_update, everyday.unlabelled, everyday.drained_node, everyday.restarted_runtime, everyday.rebooted, confined, everyday.deleted_one_by_one, everyday.removed, promoted, roll_back,
         uninstall, operator_commands.interrupted, operator_commands.without_hooks, operator_commands.purge)


def main():
    build, agent = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    unknown = set(sys.argv[3:]) - {step.__name__ for step in STEPS}
    assert not unknown, f"no such step: {unknown}"
    images(build, agent)
    for step in STEPS:
        if sys.argv[3:] and step.__name__ not in sys.argv[3:]:
            continue
        began, moment = time.monotonic(), shop.moment()
        step(build / "charts")
        gap = f", longest without an answer {shop.longest_gap(moment):.1f} s" if shop.heard else ""
        print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s{gap}", flush=True)


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
