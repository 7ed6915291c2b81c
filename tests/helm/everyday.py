"""What happens on a cluster every day, in the mesh and under load: a database with a volume, ports of nodes, rolling updates, drained nodes, deleted pods.
Steps of cluster_test.py."""
import pathlib
import subprocess

import bookinfo
import shop
from cluster import (KUBERNETES, NODES, Wire, addresses, apply, eventually, events, execute, fetch, get, incarnation, is_ready, kubectl, on_nodes, pods, redirection, rolled_out,
                     run, tried, url_host)

SYSTEM = "istio-system"
HERE = pathlib.Path(__file__).resolve().parent
# Keeps a connection and says how it ends.
HOLD = """
import socket, sys
s = socket.create_connection((sys.argv[1], 6379))
s.sendall(b'PING\\r\\n')
s.recv(16)
print('held', flush=True)
try:
    print('ended' if s.recv(16) == b'' else 'more')
except OSError as error:
    print(type(error).__name__)
"""


def redis(*words):
    return kubectl("exec", "-q", "-n", "store", "asker", "-c", "redis", "--", "redis-cli", "-h", "redis-0.redis", *words).strip()


def deleted_under_a_connection(*how):
    """The pod goes while somebody is connected to it: he hears of it."""
    before = get("pod", "-n", "store", "redis-0")["metadata"]["uid"]
    with subprocess.Popen(["kubectl", "exec", "-q", "-n", "store", "asker", "-c", "asker", "--", "python3", "-c", HOLD, "redis-0.redis"],
                          stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout.readline() == "held\n"
        kubectl("delete", "pod", "-n", "store", "redis-0", *how)
        said = held.stdout.readline().strip()
    assert said in ("ended", "ConnectionResetError"), said
    eventually("another pod", lambda: get("pod", "-n", "store", "redis-0")["metadata"]["uid"] != before)
    rolled_out("store", "statefulset/redis")


def stateful(_):
    """A database behind a headless Service: its pod is reached by its own name, and what it has written outlives it."""
    kubectl("apply", "-f", HERE / "everyday.yaml")
    rolled_out("store", "statefulset/redis")
    kubectl("wait", "-n", "store", "pod/asker", "--for=condition=Ready", "--timeout=60s")
    assert redirection(get("pod", "-n", "store", "redis-0")) == "enabled"
    assert redis("SET", "kept", "safe") == "OK"
    for how in ((), ("--grace-period=0", "--force")):
        deleted_under_a_connection(*how)
        eventually("its name leads to the new one, which has it all", lambda: redis("GET", "kept") == "safe")
    assert redirection(get("pod", "-n", "store", "redis-0")) == "enabled"


def doors(_):
    """Ports of nodes, from outside and from a pod of the mesh, and a name for a Service elsewhere."""
    webs = {pod["metadata"]["name"] for pod in pods("shop", "web")}
    nodes = {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in get("nodes")}
    for address in nodes.values():
        assert run("on", "control", "curl", "-sf", "-m", "5", f"http://{url_host(address)}:31080/").strip() in webs, address
        code, out, err = fetch(shop.client(), address, 31080)
        assert code == 0 and out.strip() in webs, (address, err)
    asker = get("pod", "-n", "store", "asker")
    assert "Directory listing" in run("on", "control", "curl", "-sf", "-m", "5", f"http://{url_host(nodes['node1'])}:18000/")
    code, out, err = execute(asker, "python3", "-c", bookinfo.GET, "http://elsewhere/")
    assert code == 0 and out.strip() in webs, err


STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""


def job(_):
    """It is in the mesh from its first breath, asks somebody who takes nothing in plaintext, and ends: nothing of ours keeps its pod."""
    apply(STRICT)
    kubectl("create", "job", "-n", "store", "once", "--image=culvert.test/busybox:1", "--", "wget", "-T", "5", "-qO-", "http://web.shop/")
    kubectl("wait", "-n", "store", "job/once", "--for=condition=Complete", "--timeout=60s")
    assert kubectl("logs", "-n", "store", "job/once").strip() in {pod["metadata"]["name"] for pod in pods("shop", "web")}
    once = get("pods", "-n", "store", "-l", "job-name=once")[0]["metadata"]["name"]
    assert eventually("its Event", lambda: events("store", once).get("MeshEnrolled")).startswith("in the mesh")
    kubectl("delete", "job", "-n", "store", "once")
    kubectl("delete", "peerauthentication", "-n", "shop", "strict")


def rolling_update(_):
    """Each pod of the service is another one afterwards, and no request has failed."""
    before = {pod["metadata"]["uid"] for pod in pods("shop", "web")}
    kubectl("rollout", "restart", "-n", "shop", "daemonset/web")
    rolled_out("shop", "daemonset/web")
    assert not before & {pod["metadata"]["uid"] for pod in pods("shop", "web")}
    assert shop.enrolled() == shop.IN
    shop.goes_on()


def drained_node(_):
    """A node is emptied, its pods come up in the mesh elsewhere, and it is filled again; who is not concerned does not notice."""
    kubectl("drain", "node2", "--ignore-daemonsets", "--delete-emptydir-data", "--grace-period=1", "--timeout=60s")
    bookinfo.available()
    assert {pod["spec"]["nodeName"] for pod in get("pods", "-n", "bookinfo") if "deletionTimestamp" not in pod["metadata"]} == {"node1"}
    eventually("the page", bookinfo.works)
    kubectl("uncordon", "node2")
    rolled_out("store", "statefulset/redis")
    eventually("the database", lambda: redis("GET", "kept") == "safe")
    rolled_out(SYSTEM, "deployment/culvertd")
    shop.goes_on()


def shops():
    """Each pod of the shop on that node."""
    return {app: on_nodes("shop", app)["node2"] for app in shop.APPS}


def restarted_runtime(_):
    """containerd and the kubelet of a node end and start again: its pods stay, in the mesh, and no request fails."""
    before = {app: incarnation(pod) for app, pod in shops().items()}
    for program in ("kubelet", "containerd"):
        run("on", "node2", "sh", "-c", f"kill $(pidof -s {program})")
    eventually("containerd", lambda: tried("on", "node2", "ctr", "version")[0] == 0)
    kubectl("wait", "node/node2", "--for=condition=Ready", "--timeout=60s")
    assert {app: incarnation(pod) for app, pod in shops().items()} == before
    assert shop.enrolled() == shop.IN
    shop.goes_on()


def rebooted(_):
    """A node loses its power. Who is on the other one goes on; its own pods are in the mesh when they start again."""
    before = {app: incarnation(pod) for app, pod in shops().items()}
    with shop.may_fail("refused", "reset", "bad address", "failed (143)"):
        run(KUBERNETES / "reboot", "node2")
        eventually("all of it again", lambda: all(incarnation(pod) != before[app] and is_ready(pod) for app, pod in shops().items()), 90)
        rolled_out(SYSTEM, "daemonset/culvert-node", "daemonset/ztunnel", "deployment/culvertd")
        rolled_out("store", "statefulset/redis")
    assert shop.enrolled() == shop.IN
    assert not any("MeshMissed" in events("shop", pod["metadata"]["name"]) for pod in shops().values())
    eventually("the database", lambda: redis("GET", "kept") == "safe")
    shop.goes_on()


def unlabelled(_):
    """A namespace leaves the mesh and comes back, live: its pods stay, and no request fails."""
    before = {pod["metadata"]["uid"] for pod in pods("shop", "web")}
    for label, wanted in (("istio.io/dataplane-mode-", shop.OUT), ("istio.io/dataplane-mode=ambient", shop.IN)):
        kubectl("label", "namespace", "shop", label)
        eventually(label, lambda: shop.enrolled() == wanted)
        shop.goes_on()
    assert {pod["metadata"]["uid"] for pod in pods("shop", "web")} == before


def deleted_one_by_one(_):
    """Agents and culvertd are not missed. Without its ztunnel a node refuses, and sends nothing in the clear, until there is another one."""
    for node in NODES:
        kubectl("delete", "pod", "-n", SYSTEM, on_nodes(SYSTEM, "culvert-node")[node]["metadata"]["name"])
        rolled_out(SYSTEM, "daemonset/culvert-node")
    for pod in pods(SYSTEM, "culvertd"):
        kubectl("delete", "pod", "-n", SYSTEM, pod["metadata"]["name"])
        rolled_out(SYSTEM, "deployment/culvertd")
    shop.goes_on()
    address = addresses(shop.client())[0]
    for node in NODES:
        wire = Wire("node1", f"tcp port 8080 and host {address}")
        with shop.may_fail("refused", "reset", "bad address", "failed (143)", must=True):  # 143: his query for the name was under way
            kubectl("delete", "pod", "-n", SYSTEM, on_nodes(SYSTEM, "ztunnel")[node]["metadata"]["name"])
            rolled_out(SYSTEM, "daemonset/ztunnel")
        wire.ended()
        assert not wire.packets("port 8080"), wire.packets("port 8080")[:5]
    shop.goes_on()


def removed(_):
    """What these steps have made, but for the shop."""
    kubectl("delete", "namespace", "bookinfo", "outside", "store", "--wait=false")
    kubectl("delete", "pv", "redis", "--wait=false")
