#!/usr/bin/env python3
"""The reading commands of `culvert` against a mesh on a real cluster: through the API server and its port-forward, as an operator would.
Called where such a mesh is up, with pods `app=web` of namespace shop in it. Usage: cluster_test.py CULVERT"""
import base64
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

SYSTEM = "istio-system"
PATIENCE = int(os.environ.get("KUBE_PATIENCE", "1"))
WORLD = pathlib.Path(os.environ["KUBE_WORLD"])
ENTER = ("nsenter", f"--net=/proc/{(WORLD / 'pid').read_text().split()[0]}/ns/net", sys.argv[1])  # as the cluster's kubectl does
KUBECONFIG = {"KUBECONFIG": str(WORLD / "kubeconfig")}
SECRETS = ("correct-horse", "battery-staple", "hunter-two", "tr0ub4dor")
SEEDS = f"""
apiVersion: v1
kind: Secret
metadata: {{name: seeded, namespace: shop}}
stringData: {{password: {SECRETS[0]}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: seeded, namespace: {SYSTEM}}}
stringData: {{password: {SECRETS[0]}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: seeded, namespace: shop, labels: {{istio.io/dataplane-mode: none}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: c, image: "culvert.test/busybox:1", imagePullPolicy: Never, command: [sleep, infinity, "--", "--token", {SECRETS[1]}],
     env: [{{name: DB_PASSWORD, value: {SECRETS[2]}}}, {{name: DB, value: "postgres://app:{SECRETS[3]}@db/x"}}]}}
"""


def run(*words, code=0):
    done = subprocess.run([*ENTER, *map(str, words)], capture_output=True, text=True, timeout=60 * PATIENCE, env=os.environ | KUBECONFIG)
    assert done.returncode == code, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout if code == 0 else done.stderr


def kubectl(*words, text=None):
    return subprocess.run(["kubectl", *words], input=text, capture_output=True, text=True, check=True).stdout


def names(app, namespace=SYSTEM):
    items = json.loads(kubectl("get", "pods", "-n", namespace, "-l", f"app={app}", "-o", "json"))["items"]
    return {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in items if "deletionTimestamp" not in pod["metadata"]}


def eventually(what, condition, seconds=20):
    end = time.monotonic() + seconds * PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.2)
    return value


def ztunnel_config():
    """Any ztunnel for what all of them know, a certain one for what is its own; by its name, its node, or a pod that it serves."""
    web, ztunnels = names("web", "shop"), names("ztunnel")
    lines = run("ztunnel-config", "workload", "--workload-namespace", "shop").splitlines()
    assert lines[0].split() == ["NAMESPACE", "POD", "NAME", "ADDRESS", "NODE", "WAYPOINT", "PROTOCOL"], lines
    rows = {line.split()[1]: line.split() for line in lines[1:]}
    for node, name in web.items():
        assert rows[name][3:] == [node, "None", "HBONE"], rows[name]
    refused = run("zc", "certificates", code=1)
    assert all(f"{name} on {node}" in refused for node, name in ztunnels.items()), refused
    assert "spiffe://cluster.local/ns/shop/sa/default" in run("zc", "certificates", "--node", "node1")
    for called in (f"{ztunnels['node2']}.{SYSTEM}", ztunnels["node2"], f"{web['node2']}.shop", "daemonset/web.shop"):
        assert "kubernetes" in run("zc", "svc", called), called
    pods = json.loads(run("zc", "connections", web["node2"], "-n", "shop", "-o", "json"))
    assert web["node2"] in [pod["info"]["name"] for pod in pods], "the ztunnel of its node was asked"
    assert "deny" in run("zc", "policy", "-o", "yaml").lower(), "STRICT is a policy"
    assert "not found" in run("zc", "workload", "nobody.shop", code=1)
    assert "forwarding port 1 of pod" in run("zc", "workload", "--node", "node1", "--proxy-admin-port", "1", code=1)


def levels():
    ztunnels = names("ztunnel")
    assert [line for line in run("zc", "log").splitlines() if line.endswith(":")] == sorted(f"{name}.{SYSTEM}:" for name in ztunnels.values())
    before = run("zc", "log", "--node", "node2")
    assert "proxy::inbound=debug" in run("zc", "log", "--node", "node1", "--level", "proxy::inbound:debug,info")
    assert run("zc", "log", "--node", "node2") == before, "only the one that was named"
    assert run("zc", "log", "--node", "node1", "-r").splitlines()[1] == "info"


def status():
    """Everybody is connected and has everything, also by `culvert wait` through the API server."""
    run("wait", "--all", "--cluster")
    ztunnels = {f"{name}.{SYSTEM}" for name in names("ztunnel").values()}
    proxies = json.loads(run("proxy-status", "-o", "json"))
    assert {proxy["name"] for proxy in proxies} == ztunnels, proxies
    for proxy in proxies:
        assert proxy["current"] and proxy["acked"] == proxy["epoch"] > 0 and proxy["subscribedTypes"] == ["WADS", "WDS"], proxy
        assert proxy["controlPlane"] in [f"{name}.{SYSTEM}" for name in names("culvertd").values()], proxy
    table = run("ps")
    assert table.split()[:3] == ["NAME", "CLUSTER", "CULVERTD"] and all(name in table for name in ztunnels) and "\x1b" not in table, table
    versions = json.loads(run("version", "--remote", "-o", "json"))
    own = versions["clientVersion"]["version"]
    assert versions["meshVersion"][0]["info"]["version"] == own and versions["dataPlaneVersion"] == [{"version": own, "proxies": 2}], versions
    assert f"control plane version: {own}\n" in run("version", "--short")


def explained():
    """Whether one pod may reach another, as a control plane of the cluster knows it, without a port that somebody has forwarded."""
    web = names("web", "shop")
    said = run("explain", "--cluster", "--from", web["node1"], "-n", "shop", "--to", f"pod/{web['node2']}:8080")
    assert "way: tunnel (HBONE, mutual TLS)" in said and f"by: culvertd {next(iter(names('culvertd').values()))}.{SYSTEM}" in said, said


def bug_report(folder):
    """Everything is in it, but nothing that is secret."""
    kubectl("apply", "-f", "-", text=SEEDS)
    eventually("the pod", lambda: json.loads(kubectl("get", "pod", "-n", "shop", "seeded", "-o", "json"))["status"].get("podIP"))
    listed = run("bug-report", "--dry-run").splitlines()
    assert not list(folder.iterdir()), "a dry run writes nothing"
    path = folder / "report.tar.gz"
    run("bug-report", "-o", path)
    assert path.stat().st_mode & 0o777 == 0o600, oct(path.stat().st_mode)
    assert "File exists" in run("bug-report", "-o", path, code=1)
    with tarfile.open(path) as archive:
        files = {member.name.removeprefix("culvert-bug-report/"): archive.extractfile(member).read() for member in archive.getmembers()}
    wanted = [line.partition(": ")[0] for line in listed if ".previous.log" not in line and "networking.istio.io" not in line]
    could_not = files["could-not.txt"].decode()
    lost = [name for name in wanted if name not in files and not name.startswith("cluster/")]
    assert not lost and not could_not, (lost, could_not)
    ztunnel, culvertd = names("ztunnel")["node1"], next(iter(names("culvertd").values()))
    assert json.loads(files[f"pods/{ztunnel}/config_dump.json"])["workloads"] and b"connected" in files[f"pods/{culvertd}/culvertd.log"]
    assert b"istio_build" in files[f"pods/{ztunnel}/metrics.txt"] and len(json.loads(files["cluster/nodes.json"])) == 2
    agent = names("culvert-node")["node1"]
    assert names("web", "shop")["node1"].encode() in files[f"pods/{agent}/pods.json"] and files[f"pods/{agent}/culvert-node.log"]
    assert "seeded" in [pod["metadata"]["name"] for pod in json.loads(files["cluster/pods.json"])]
    secret = json.loads(kubectl("get", "secret", "-n", SYSTEM, "istio-ca-secret", "-o", "json"))["data"]["ca-key.pem"]
    key = base64.b64decode(secret).decode().splitlines()[1]
    whole = b"".join(files.values())
    for word in (*SECRETS, *(base64.b64encode(word.encode()).decode() for word in SECRETS), secret, key, "PRIVATE KEY-----\n"):
        assert word.encode() not in whole, [name for name, text in files.items() if word.encode() in text]
    kubectl("delete", "-f", "-", "--wait=false", text=SEEDS)
    print(f"{len(files)} files in a report of {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    ztunnel_config()
    levels()
    status()
    explained()
    with tempfile.TemporaryDirectory() as name:
        bug_report(pathlib.Path(name))
