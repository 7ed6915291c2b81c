"""`culvert install`, `upgrade`, `uninstall` and `manifest` on a real cluster, as an operator says them. Steps of cluster_test.py."""
import json
import os
import signal

import shop
from charts import BEFORE, images_of, previous
from cluster import NODES, Wire, addresses, culvert, culvert_says, eventually, fetch, get, is_ready, kubectl, missing, on_nodes, pods, run, start_culvert
from traces import Traces, objects

NS = "istio-system"
before = []  # what there was before anything of ours
CONTROL_PLANE = ("--profile", "ambient", "--set", "cni.enabled=false", "--set", "ztunnel.enabled=false")


def records():
    """Helm's records of the release, by their status."""
    return [each["metadata"]["labels"]["status"] for each in get("secrets", "-n", NS, "-l", "owner=helm")]


def killed(status, *words):
    """The command and its helm, once the release says that."""
    with start_culvert(*words, "-y", start_new_session=True) as program:
        eventually(f"culvert {words[0]} is half way", lambda: records() == [status])
        os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


def install(charts):
    """A dry run and a difference change nothing; the installation is what the difference said, and after it there is none."""
    before.append(Traces())
    words = ("--charts", previous(charts), *CONTROL_PLANE, *images_of(previous(charts)))
    assert "name: culvertd\n" in culvert("install", *words, "--dry-run")
    new = culvert("manifest", "diff", *words, code=1).splitlines()
    assert f"new: Deployment {NS}/culvertd" in new and not [line for line in new if not line.startswith("new: ")], new
    _, said = culvert_says("install", *words, code=1)
    assert "nothing was changed" in said and not objects() - before[0].objects, said
    _, said = culvert_says("install", *words, "--timeout", "120s", input="y\n")
    assert f"chart {previous(charts)}/culvert, version {BEFORE}" in said and "another version than the chart" in said, said
    assert "  culvertd 0/1\n" in said, f"how far it is: {said}"
    assert not culvert("manifest", "diff", *words)


def upgrade(charts):
    """What was set before stays, what is said comes on top."""
    words = ("--charts", charts, *images_of(charts), "--set", "controlplane.autoscaleMin=2")
    changes = culvert("upgrade", *words, "--diff", code=1)
    assert "+ spec.minReplicas: 2" in changes and "culvert.test/ztunnel:test" in changes, changes
    assert "DaemonSet istio-system/culvert-node" in changes and "removed:" not in changes, changes
    culvert("upgrade", *words, "-y", "--timeout", "180s")
    assert not culvert("upgrade", *words, "--diff")


def for_production(charts):
    return "install", "--charts", charts, "--profile", "production", *images_of(charts), "--timeout", "120s"


def interrupted(charts):
    """An installation for production that was killed half way is found, said, and finished."""
    words = for_production(charts)
    killed("pending-install", *words)
    out, said = culvert_says(*words, code=1, input="n\n")
    assert "is pending-install (revision 1) since" in out and "stays pending-install" in said, (out, said)
    _, said = culvert_says(*words, input="y\ny\n")
    assert "takes over what was begun" in said, said
    assert records() == ["deployed"], records()
    eventually("all pods are in", lambda: shop.enrolled() == shop.IN)
    culvert("verify-install")
    eventually("a replica on each node", lambda: {pod["spec"]["nodeName"] for pod in pods(NS, "culvertd") if is_ready(pod)} == set(NODES), 60)
    assert {each["metadata"]["name"] for each in get("networkpolicies", "-n", NS)} == {"culvertd", "culvert-node", "ztunnel"}
    assert all(json.loads(line)["level"] for line in kubectl("logs", "-n", NS, "-l", "app=ztunnel", "--tail=5").splitlines())


def without_hooks(charts):
    """The counterproof of the hook that goes before an uninstallation: deleted all at once, agents cannot ask any more what is meant, and ztunnels are gone. What is
    captured stays so, and is refused: nothing goes in plaintext, to whomever. An installation heals the pods as they are."""
    client, web = shop.client(), on_nodes("shop", "web")["node2"]
    kubectl("delete", "rolebinding", "culvert-node", "-n", NS)  # Helm deletes it a moment after the DaemonSet: which agent can still ask would be a matter of luck
    with shop.may_fail("refused", "reset", "bad address", "failed (143)", must=True):
        run("helm", "uninstall", "culvert", "-n", NS, "--no-hooks", timeout=60)
        eventually("agents and ztunnels are gone", lambda: not get("pods", "-n", NS, "-l", "app in (culvert-node, ztunnel)"), 60)
        wire, since = Wire("node1", f"host {addresses(client)[0]}"), shop.moment()
        code, _, said = fetch(client, addresses(web)[0])
        assert code and "Connection refused" in said, (code, said)
        late = lambda: [line for line in shop.answers() if line[0] > since]
        eventually("each of those who ask has failed", lambda: len({who for _, who, _ in shop.failures(late())}) == 6)
        assert not [line for line in late() if line[2].startswith("ok")], late()
        wire.ended()
        assert not wire.packets("tcp"), wire.packets("tcp")[:5]
        assert shop.enrolled() == shop.IN
        culvert(*for_production(charts), "-y")
    assert shop.enrolled() == shop.IN
    assert {each["metadata"]["uid"] for each in on_nodes("shop", "web").values()} >= {web["metadata"]["uid"]}, "nobody was restarted"


def purge(charts):
    """Nothing is left, in the API and on the nodes; a dry run says what will go, and that there are policies among it. Nor is there when the
    first who uninstalls is killed."""
    said = culvert("uninstall", "--purge", "--dry-run")
    assert "6 pods are in the mesh (shop 6)" in said and "CRDs, and with them" in said, said
    assert shop.enrolled() == shop.IN
    killed("uninstalling", "uninstall")
    said = culvert("uninstall", "--purge", input="y\n")
    assert "(revision 1, uninstalling)" in said and "Culvert is gone." in said, said
    shop.goes_on()
    kubectl("delete", "namespace", NS)
    assert missing("crds")
    left = set(before[0].left("shop", "bookinfo", "outside", "store", "rules", "early"))
    assert not left, "\n".join(sorted(left))
