#!/usr/bin/env python3
"""The node's side of the mesh on a real cluster of two nodes, by kubectl as a user would: called by tests/run-e2e with our programs.
Usage: node_test.py [--short] CULVERTD ZTUNNEL CULVERT-NODE CULVERT-CNI"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from cluster import (KUBERNETES, NODES, PATIENCE, Wire, addresses, apply, eventually, events, fetch, get, image_of, incarnation, is_ready, kubectl,
                     on_nodes, redirection, rolled_out, tried, url_host)

HERE = pathlib.Path(__file__).resolve().parent
SYSTEM = "istio-system"

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: @PLURAL@.security.istio.io}
spec:
  group: security.istio.io
  scope: Namespaced
  names: {plural: @PLURAL@, kind: @KIND@}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
"""
STRICT = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n"
WORDS = {}  # of pods that are gone
POD = """
apiVersion: v1
kind: Pod
metadata: {name: @NAME@, namespace: @NAMESPACE@}
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "culvert.test/busybox:1", imagePullPolicy: Never, command: [sleep, infinity]}]
"""
UNLOAD = """
apiVersion: v1
kind: Pod
metadata: {name: culvert-node-unload, namespace: istio-system}
spec:
  nodeName: node1
  hostNetwork: true
  hostPID: true
  restartPolicy: Never
  containers:
    - name: unload
      image: culvert.test/culvert:1
      imagePullPolicy: Never
      command: [/bin/culvert-node]
      args: [--unload, --cni-bin-dir=/host/opt/cni/bin, --cni-net-dir=/host/etc/cni/net.d]
      securityContext: {privileged: true}
      volumeMounts:
        - {name: cni-bin, mountPath: /host/opt/cni/bin}
        - {name: cni-net, mountPath: /host/etc/cni/net.d}
        - {name: bpf, mountPath: /sys/fs/bpf}
  volumes:
    - {name: cni-bin, hostPath: {path: /opt/cni/bin}}
    - {name: cni-net, hostPath: {path: /etc/cni/net.d}}
    - {name: bpf, hostPath: {path: /sys/fs/bpf}}
"""


def on(node, *command):
    return tried("on", node, *command)


def say(text):
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", flush=True)


def image(programs):
    """One image of all programs, with the libraries that they need."""
    image_of("culvert.test/culvert:1", "/bin/culvertd", programs={f"/bin/{pathlib.Path(program).name}": program for program in programs},
             more=("sys/fs/bpf", "host", "data", "run/ztunnel", "run/culvert"))


def logs(app, node):
    return kubectl("logs", "-n", SYSTEM, on_nodes(SYSTEM, app)[node]["metadata"]["name"])


def agents(there):
    """Where they run: everywhere, or nowhere."""
    selector = {} if there else {"nowhere": "true"}
    kubectl("patch", "-n", SYSTEM, "daemonset/culvert-node", "--type=json", "-p",
            json.dumps([{"op": "add", "path": "/spec/template/spec/nodeSelector", "value": selector}]))
    if there:
        rolled_out(SYSTEM, "daemonset/culvert-node")
    else:
        eventually("agents gone", lambda: not get("pods", "-n", SYSTEM, "-l", "app=culvert-node"), 60)


def install(programs):
    image(programs)
    say("an image of our programs is on the nodes")
    for plural, kind in (("peerauthentications", "PeerAuthentication"), ("authorizationpolicies", "AuthorizationPolicy")):
        apply(CRD.replace("@PLURAL@", plural).replace("@KIND@", kind))
    apply((HERE / "apps.yaml").read_text())
    apply((HERE / "mesh.yaml").read_text())
    rolled_out(SYSTEM, "deployment/culvertd", "daemonset/culvert-node", "daemonset/ztunnel")
    for namespace, name in (("shop", "web"), ("office", "client")):
        rolled_out(namespace, f"daemonset/{name}")
    say("culvertd, agents and ztunnels are ready, applications run outside the mesh")


def enrolment():
    """A label on a namespace: its running pods are in the mesh, without a restart."""
    before = {node: incarnation(pod) for node, pod in on_nodes("shop", "web").items()}
    kubectl("label", "namespace", "shop", "istio.io/dataplane-mode=ambient")
    web = eventually("enrolled", lambda: all(redirection(pod) == "enabled" for pod in on_nodes("shop", "web").values()) and on_nodes("shop", "web"))
    assert {node: incarnation(pod) for node, pod in web.items()} == before, "a pod was restarted"
    assert all(redirection(pod) is None for pod in on_nodes("office", "client").values())
    for node in NODES:
        name = web[node]["metadata"]["name"]
        assert eventually("event", lambda: events("shop", name).get("MeshEnrolled"), 10).startswith("in the mesh")
    say("a labelled namespace's running pods are in the mesh, none was restarted, events say so")
    return web


def encryption(web):
    """Between the nodes there is nothing but mTLS on 15008, in both families, and both ends know each other."""
    wire = Wire("node1", "tcp port 8080 or tcp port 15008")
    for source, target in (("node1", "node2"), ("node2", "node1")):
        for address in addresses(web[target]):
            for _ in range(5):
                code, out, err = fetch(web[source], address)
                assert code == 0 and out.strip() == web[target]["metadata"]["name"], (source, address, code, out, err)
    wire.ended()
    assert not wire.packets("port 8080"), wire.packets("port 8080")[:5]
    count = len(wire.packets("port 15008"))
    assert count, "nothing on 15008"
    line = next(line for line in logs("ztunnel", "node2").splitlines() if 'direction="inbound"' in line and "src.identity" in line)
    assert 'src.identity="spiffe://cluster.local/ns/shop/sa/default"' in line, line
    say(f"between the nodes: {count} packets on 15008, none on 8080; identities at both ends")


def strict(web):
    """STRICT shuts out who has no identity, and not the kubelet."""
    client = on_nodes("office", "client")["node1"]
    assert fetch(client, addresses(web["node2"])[0])[0] == 0
    apply(STRICT)
    eventually("refused", lambda: all(fetch(client, address)[0] != 0 for pod in web.values() for address in addresses(pod)))
    before = {node: incarnation(pod) for node, pod in web.items()}
    probes = {node: metric(node, 'culvert_bpf_events_total{program="lookup",event="probe"}') for node in NODES}
    eventually("probes", lambda: all(metric(node, 'culvert_bpf_events_total{program="lookup",event="probe"}') > probes[node] + 6 for node in NODES))
    now = on_nodes("shop", "web")
    assert {node: incarnation(pod) for node, pod in now.items()} == before
    for pod in now.values():
        assert is_ready(pod), pod["status"]["conditions"]
    assert fetch(web["node1"], addresses(web["node2"])[0])[0] == 0
    say("STRICT: plaintext is refused, the mesh is not, probes are green by way of the kubelet's cgroup")


def probes_of_others(web):
    """Who may write pods has the kubelet dial whom he likes: he reaches nothing of a pod by that but what the pod's own probes name."""
    before = metric("node1", 'culvert_bpf_events_total{program="lookup",event="not_probed"}')
    probe = f'livenessProbe: {{tcpSocket: {{host: "{addresses(web["node1"])[0]}", port: 8081}}, periodSeconds: 1, failureThreshold: 100}}'
    apply(POD.replace("@NAME@", "prober").replace("@NAMESPACE@", "shop").replace("command:", probe + ", command:"))
    assert "has the kubelet dial another host" in eventually("event", lambda: events("shop", "prober").get("MeshIgnored"))
    eventually("not probed", lambda: metric("node1", 'culvert_bpf_events_total{program="lookup",event="not_probed"}') > before)
    kubectl("delete", "pod", "-n", "shop", "prober", "--wait=false")
    say("a probe that names another pod as its host is taken for anybody's connection there")


def ztunnels_that_end():
    """ztunnels come and go: the agent, with what capabilities its chart gives it, sees which of them have ended."""
    for _ in range(3):
        kubectl("delete", "pod", "-n", SYSTEM, "-l", "app=ztunnel")
        rolled_out(SYSTEM, "daemonset/ztunnel")
    for node in NODES:
        eventually("one", lambda: metric(node, "culvert_node_ztunnel_cgroups") == 1)
    say("ztunnels were deleted again and again: the kernel knows one on each node")


def metric(node, name):
    pod = on_nodes(SYSTEM, "culvert-node")[node]
    code, out, err = tried("on", "control", "curl", "-sf", f"http://{url_host(pod['status']['podIP'])}:15014/metrics")
    line = next((line for line in out.splitlines() if line.startswith(name)), None)
    return float(line.split()[-1]) if line else 0


def start(name, namespace="shop"):
    apply(POD.replace("@NAME@", name).replace("@NAMESPACE@", namespace))


def ready(name, namespace="shop"):
    pod = get("pod", "-n", namespace, name)
    return pod["status"]["phase"] == "Running" and pod


def kinds_of_pods(web):
    """A Job in the mesh ends; who opts out is out; who cannot be in the mesh hears why."""
    address = addresses(web["node2"])[0]
    kubectl("create", "job", "-n", "shop", "once", "--image=culvert.test/busybox:1", "--", "wget", "-T", "5", "-qO-", f"http://{url_host(address)}:8080/")
    kubectl("wait", "-n", "shop", "job/once", "--for=condition=Complete", f"--timeout={30 * PATIENCE}s")
    assert kubectl("logs", "-n", "shop", "job/once").strip() == web["node2"]["metadata"]["name"]  # under STRICT: it was in the mesh
    once = get("pods", "-n", "shop", "-l", "job-name=once")[0]["metadata"]["name"]
    eventually("out", lambda: redirection(get("pod", "-n", "shop", once)) is None)
    apply(POD.replace("@NAME@", "opted").replace("@NAMESPACE@", "shop, labels: {istio.io/dataplane-mode: none}"))
    opted = eventually("opted", lambda: ready("opted"))
    assert redirection(opted) is None and fetch(opted, address)[0] != 0
    apply(POD.replace("@NAME@", "host").replace("@NAMESPACE@", "shop, labels: {istio.io/dataplane-mode: ambient}")
          .replace("nodeName: node1", "nodeName: node1\n  hostNetwork: true"))
    assert "hostNetwork" in eventually("event", lambda: events("shop", "host").get("MeshRefused"))
    for name in ("opted", "host"):
        kubectl("delete", "pod", "-n", "shop", name, "--wait=false")
    kubectl("delete", "job", "-n", "shop", "once", "--wait=false")
    say("a Job ends, a pod that opts out is out, one on the node's network hears why it cannot be in the mesh")


def under_load(web, times):
    """One connection after the other, from node to node; ends with 0 when all of them have been answered."""
    loop = f"n=0; while [ $n -lt {times} ]; do wget -T 5 -qO- $0 >/dev/null || exit 1; n=$((n+1)); sleep 0.02; done"
    return subprocess.Popen(["kubectl", "exec", "-q", "-n", "shop", web["node1"]["metadata"]["name"], "--", "sh", "-c", loop,
                             f"http://{url_host(addresses(web['node2'])[0])}:8080/"], stderr=subprocess.PIPE, text=True)


def agent_restart(web):
    """Agents are deleted and come again while a pod of the mesh talks to another: no connection fails."""
    load = under_load(web, 300)
    kubectl("delete", "pod", "-n", SYSTEM, "-l", "app=culvert-node")
    rolled_out(SYSTEM, "daemonset/culvert-node")
    assert load.wait(60 * PATIENCE) == 0, load.stderr.read()
    assert all(redirection(pod) == "enabled" for pod in on_nodes("shop", "web").values())
    assert all("MeshMissed" not in events("shop", pod["metadata"]["name"]) for pod in web.values())
    say("the agents were deleted under load: no connection failed")


def refusal(web):
    """Without an agent no pod of the mesh starts, and says why; those that run go on, and those that cannot belong start."""
    agents(False)
    assert fetch(web["node1"], addresses(web["node2"])[0])[0] == 0
    start("late")
    start("other", "kube-system")
    eventually("other", lambda: ready("other", "kube-system"))
    eventually("refused", lambda: "does not start before culvert-node can say whether it belongs to the mesh" in kubectl("describe", "pod", "-n", "shop", "late"))
    assert get("pod", "-n", "shop", "late")["status"]["phase"] == "Pending"
    agents(True)
    late = eventually("late", lambda: ready("late"), 60)
    assert redirection(get("pod", "-n", "shop", "late")) == "enabled", late
    code, out, err = fetch(late, addresses(web["node2"])[0])
    assert code == 0, err
    assert all(redirection(pod) == "enabled" for pod in on_nodes("shop", "web").values())
    say("agent down: a new pod is refused and `kubectl describe pod` says why; it starts in the mesh once the agent is back")


def repair(web):
    """Somebody takes the plugin away: it is put back. A pod that slipped by meanwhile is found, and its Event says so."""
    conflist = "/etc/cni/net.d/00-culvert.conflist"
    on("node1", "rm", conflist, "/opt/cni/bin/culvert-cni")
    eventually("restored", lambda: on("node1", "test", "-e", conflist)[0] == 0 and on("node1", "test", "-x", "/opt/cni/bin/culvert-cni")[0] == 0, 10)
    agents(False)
    assert on("node1", "rm", conflist)[0] == 0
    time.sleep(1)
    start("missed")
    missed = eventually("missed", lambda: ready("missed"))
    assert redirection(missed) is None
    agents(True)
    eventually("found", lambda: redirection(get("pod", "-n", "shop", "missed")) == "enabled")
    assert "culvert-cni was not called" in eventually("event", lambda: events("shop", "missed").get("MeshMissed"), 10)
    assert {node: metric(node, "culvert_node_pods_missed_total") for node in NODES} == {"node1": 1, "node2": 0}
    assert on("node1", "test", "-e", conflist)[0] == 0
    say("the plugin is put back when it is taken away; a pod that slipped by is found, and its Event says so")


def restart_of_runtime(web):
    """containerd and the kubelet start again: nobody notices."""
    before = {node: incarnation(pod) for node, pod in web.items()}
    for program in ("kubelet", "containerd"):
        code, out, err = on("node2", "sh", "-c", f"kill $(pidof -s {program})")
        assert code == 0, (program, err)
    assert fetch(web["node1"], addresses(web["node2"])[0])[0] == 0
    eventually("node2", lambda: on("node2", "ctr", "version")[0] == 0)
    kubectl("wait", "node/node2", "--for=condition=Ready", f"--timeout={60 * PATIENCE}s")
    assert {node: incarnation(pod) for node, pod in on_nodes("shop", "web").items()} == before
    assert all(redirection(pod) == "enabled" for pod in on_nodes("shop", "web").values())
    say("kubelet and containerd of a node were restarted: its pods stay in the mesh")


def reboot(web):
    """A node loses its power. Its agent comes last: until then its pods of the mesh wait, and no other than they notices."""
    before = web["node1"]["metadata"]["name"]
    agents(False)
    code, out, err = tried(KUBERNETES / "reboot", "node1")
    assert code == 0, err
    eventually("refused", lambda: "does not start before culvert-node can say whether it belongs to the mesh"
               in kubectl("describe", "pod", "-n", "shop", before), 60)
    eventually("who is outside", lambda: is_ready(on_nodes("office", "client")["node2"]) and not is_ready(on_nodes("shop", "web")["node1"]))
    agents(True)
    rolled_out(SYSTEM, "daemonset/ztunnel")
    rolled_out("shop", "daemonset/web")
    web = on_nodes("shop", "web")
    assert all(redirection(pod) == "enabled" for pod in web.values())
    assert "MeshMissed" not in events("shop", before)
    for source, target in (("node1", "node2"), ("node2", "node1")):
        eventually("answer", lambda: fetch(web[source], addresses(web[target])[0])[0] == 0)
    say("a node was rebooted: its pods wait for the agent, and are in the mesh when they start")
    return web


def taken_out(web):
    """An agent that is gone for good from a node, whose DaemonSet stays: what it has left in force is taken away by hand."""
    agents(False)
    apply(UNLOAD)
    eventually("unloaded", lambda: get("pod", "-n", SYSTEM, "culvert-node-unload")["status"]["phase"] == "Succeeded", 60)
    for path in ("/etc/cni/net.d/00-culvert.conflist", "/opt/cni/bin/culvert-cni", "/sys/fs/bpf/culvert"):
        assert on("node1", "test", "-e", path)[0] != 0, f"{path} is left behind"
        assert on("node2", "test", "-e", path)[0] == 0, path
    start("without")
    assert redirection(eventually("without", lambda: ready("without"))) is None
    assert "lookup 100" not in in_pod(web["node1"], "ip", "rule")
    agents(True)
    eventually("back", lambda: redirection(get("pod", "-n", "shop", "without")) == "enabled" and "lookup 100" in in_pod(web["node1"], "ip", "rule"))
    kubectl("delete", "pod", "-n", SYSTEM, "culvert-node-unload", "--wait=false")
    say("a node is taken out of the mesh by hand, and is in it again when it has an agent again")


def departure(web):
    """Without the label: out of the mesh, live. Without the DaemonSet: nothing of it on the nodes."""
    kubectl("delete", "-n", "shop", "peerauthentication", "default")
    before = {node: incarnation(pod) for node, pod in web.items()}
    kubectl("label", "namespace", "shop", "istio.io/dataplane-mode-")
    left = eventually("left", lambda: all(redirection(pod) is None for pod in on_nodes("shop", "web").values()) and on_nodes("shop", "web"))
    assert {node: incarnation(pod) for node, pod in left.items()} == before
    eventually("rules", lambda: all("lookup 100" not in in_pod(pod, "ip", "rule") for pod in left.values()))
    for address in addresses(web["node2"]):
        for pod in (web["node1"], on_nodes("office", "client")["node1"]):
            code, out, err = fetch(pod, address)
            assert code == 0, (pod["metadata"]["name"], address, err)
    say("the label is gone: the pods are out of the mesh, live")
    kubectl("label", "namespace", "shop", "istio.io/dataplane-mode=ambient")
    eventually("enrolled", lambda: all(redirection(pod) == "enabled" for pod in on_nodes("shop", "web").values()))
    rest = outlived()
    load = under_load(web, 500)
    keep_words_of("culvert-node")
    kubectl("delete", "-n", SYSTEM, "daemonset/culvert-node", "--wait", "--cascade=foreground", "--timeout=90s")
    assert load.wait(90 * PATIENCE) == 0, load.stderr.read()
    rest.terminate()
    assert all(redirection(pod) is None for pod in on_nodes("shop", "web").values())
    for node in NODES:
        for path in ("/etc/cni/net.d/00-culvert.conflist", "/opt/cni/bin/culvert-cni", "/sys/fs/bpf/culvert"):
            assert on(node, "test", "-e", path)[0] != 0, f"{node}: {path} is left behind"
    for address in addresses(web["node2"]):
        code, out, err = fetch(web["node1"], address)
        assert code == 0, (address, err)
    start("after")
    eventually("after", lambda: ready("after"))
    say("the agents' DaemonSet is deleted: pods have left the mesh in order, nothing is left on the nodes")


def keep_words_of(app):
    """What pods say until they are gone, and nobody can ask them any more: for tell()."""
    for node, pod in on_nodes(SYSTEM, app).items():
        words = WORDS[f"{app} on {node}, until its end"] = tempfile.TemporaryFile("w+")
        subprocess.Popen(["kubectl", "logs", "-f", "-n", SYSTEM, pod["metadata"]["name"], "--tail=40"], stdout=words, stderr=words)


def entering(pod):
    """The command, on its node, that enters a pod's network namespace."""
    find = f"grep -l {pod['metadata']['uid']} /proc/[0-9]*/cgroup 2>/dev/null | head -n 1 | cut -d/ -f3"
    return ["nsenter", f"--net=/proc/{on(pod['spec']['nodeName'], 'sh', '-c', find)[1].strip()}/ns/net"]


def in_pod(pod, *command):
    """A command in a pod's network namespace."""
    code, out, err = on(pod["spec"]["nodeName"], *entering(pod), *command)
    assert code == 0, err
    return out


def outlived():
    """A pod that is gone, and something of it that its network namespace lives on in: often that is a socket which nobody answers any more."""
    start("gone")
    pod = eventually("in the mesh", lambda: (pod := ready("gone")) and redirection(pod) == "enabled" and pod)
    rest = subprocess.Popen(["on", "node1", *entering(pod), "sleep", "600"])
    kubectl("delete", "pod", "-n", "shop", "gone")
    return rest


def short_story(programs):
    """What the family of addresses could spoil."""
    install(programs)
    web = enrolment()
    encryption(web)
    strict(web)
    kinds_of_pods(web)
    departure(web)


def story(programs):
    install(programs)
    web = enrolment()
    encryption(web)
    strict(web)
    subprocess.run([HERE.parents[1] / "integration/cli/cluster_test.py", pathlib.Path(programs[0]).with_name("culvert")], check=True)
    kinds_of_pods(web)
    probes_of_others(web)
    ztunnels_that_end()
    agent_restart(web)
    refusal(web)
    repair(web)
    restart_of_runtime(web)
    web = reboot(web)
    taken_out(web)
    departure(web)


def tell():
    """What there is to see when it has failed."""
    print(tried("kubectl", "get", "pods", "-A", "-o", "wide")[1], file=sys.stderr)
    for app in ("culvert-node", "ztunnel", "culvertd"):
        for pod in get("pods", "-n", SYSTEM, "-l", f"app={app}"):
            name = pod["metadata"]["name"]
            print(f"--- {name}\n" + tried("kubectl", "logs", "-n", SYSTEM, name, "--tail=60")[1], file=sys.stderr)
            if pod["status"]["phase"] != "Running":
                print(tried("kubectl", "describe", "pod", "-n", SYSTEM, name)[1], file=sys.stderr)
    for who, words in WORDS.items():
        words.seek(0)
        print(f"--- {who}\n{words.read()}", file=sys.stderr)


if __name__ == "__main__":
    BEGAN = time.monotonic()
    try:
        if sys.argv[1] == "--short":
            short_story(sys.argv[2:])
        else:
            story(sys.argv[1:])
    except BaseException:
        tell()
        raise
