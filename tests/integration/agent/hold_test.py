#!/usr/bin/env python3
"""What is captured stays captured: through files that cannot be read, objects and paths that are gone, slots and rules that somebody
empties. And what must not be captured is not."""
import socket
import subprocess
import sys
import time

from world import PEERS, eventually, kill, main, sh


def out_and_in(world):
    return [world.try_from("a", "10.9.0.4", 80), world.try_from("c", "10.9.0.2", 80)]


IN_THE_MESH = ["outbound 10.9.0.4 80", "inbound 10.9.0.2 80"]
REFUSED = ["ECONNREFUSED", "ECONNREFUSED"]


def namespace_file_broken(world):
    for text in ("", "kind: Namespace\n  name: [", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n"):
        kill(world.agent)
        world.write("namespace.yaml", text)
        world.start_agent()
        world.in_force()
        eventually("enrolled", lambda: world.pods()["shop/a"]["state"] == "enrolled")
        assert out_and_in(world) == IN_THE_MESH, text
        assert world.redirection("a") == "enabled" and world.pods()["shop/a"]["verdict"] == "held", text
    world.write_namespace("ambient")
    eventually("held no longer", lambda: world.pods()["shop/a"]["verdict"] == "enrolled")
    assert out_and_in(world) == IN_THE_MESH


def pod_file_gone(world):
    kill(world.agent)
    (world.config / "a.yaml").rename(world.folder / "kept.yaml")
    snapshots = world.ztunnel.log.read_text().count("snapshot")
    world.start_agent()
    world.in_force()
    eventually("snapshot", lambda: world.ztunnel.log.read_text().count("snapshot") > snapshots)
    time.sleep(1.2)
    assert out_and_in(world) == REFUSED
    assert "culvert_node_strangers 1" in world.fetch("http://127.0.0.1:15014/metrics")
    (world.folder / "kept.yaml").rename(world.config / "a.yaml")
    eventually("enrolled", lambda: out_and_in(world) == IN_THE_MESH)


SILENT = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:%d"}}]
users: [{name: u, user: {token: t}}]
"""


def server_that_does_not_answer(world):
    """An agent that starts while the API server is away knows of no pod yet: a ztunnel that comes to it keeps what it has."""
    snapshots = world.ztunnel.log.read_text().count("snapshot")
    with socket.create_server(("127.0.0.1", 0)) as api:
        config = world.folder / "kubeconfig"
        config.write_text(SILENT % api.getsockname()[1])
        kill(world.agent)
        world.start_agent(source=f"--kubeconfig={config}")
        eventually("it runs", lambda: "\trunning\t" in world.agent.log.read_text())
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            assert out_and_in(world) == IN_THE_MESH
        assert world.ztunnel.log.read_text().count("snapshot") == snapshots
    world.restart_agent()
    eventually("snapshot", lambda: world.ztunnel.log.read_text().count("snapshot") > snapshots)
    assert out_and_in(world) == IN_THE_MESH


def path_gone_for_a_while(world):
    kill(world.agent)
    path = world.folder / "netns-of-a"
    path.unlink()
    world.start_agent()
    world.in_force()
    time.sleep(1.2)
    assert out_and_in(world) == REFUSED
    path.symlink_to("/run/netns/a")
    eventually("enrolled", lambda: out_and_in(world) == IN_THE_MESH)
    path.unlink()
    eventually("unpublished", lambda: world.redirection("a") is None)
    assert out_and_in(world) == REFUSED
    assert "still lives" in world.fetch("http://127.0.0.1:8000/readyz")
    path.symlink_to("/run/netns/a")
    eventually("enrolled", lambda: world.redirection("a") == "enabled" and out_and_in(world) == IN_THE_MESH)


def slots_and_rules_emptied(world):
    sh(f"bpftool map delete {world.slot_of('a')}")
    assert world.try_from("a", "10.9.0.4", 80) in ("ECONNREFUSED", "outbound 10.9.0.4 80")
    eventually("slot", lambda: world.try_from("a", "10.9.0.4", 80) == "outbound 10.9.0.4 80")

    def shown(what):
        return subprocess.check_output(f"ip -n a {what}", shell=True, text=True)

    for rule in ("rule del pref 100", "-6 rule del pref 100", "rule del pref 101", "route flush table 100"):
        sh(f"ip -n a {rule}")
    eventually("rules", lambda: "100:" in shown("rule") and "101:" in shown("rule") and "100:" in shown("-6 rule"))
    eventually("routes", lambda: "dev lo" in shown("route show table 100"))
    sh("ip -n a link add later type veth peer name later-end && ip -n a link set later up")
    eventually("route of a later interface", lambda: "dev later " in shown("route show table 100"))
    sh("ip -n a addr add 10.9.0.77/24 dev eth0")
    eventually("own address", lambda: world.try_from("a", "10.9.0.77", 80) == "plain")
    sh("ip -n a addr del 10.9.0.77/24 dev eth0")
    eventually("no own address", lambda: world.try_from("a", "10.9.0.77", 80) == "outbound 10.9.0.77 80")


def refused_namespaces(world):
    world.write_pod("host", 8, netns="/proc/1/ns/net")
    world.write_pod("twin", 9, netns="/run/netns/a")
    eventually("host", lambda: "the node's own" in world.pods()["shop/host"]["error"])
    eventually("twin", lambda: "that of pod shop/a already" in world.pods()["shop/twin"]["error"])
    assert world.try_from(None, "10.9.0.4", 80) == "plain" and out_and_in(world) == IN_THE_MESH
    for name in ("host", "twin"):
        (world.config / f"{name}.yaml").unlink()
    # The same pod under another uid: it takes over what there is.
    text = (world.config / "a.yaml").read_text()
    world.write("a.yaml", text.replace("uid-a", "uid-again"))
    eventually("again", lambda: "add uid-again a" in world.ztunnel.log.read_text())
    eventually("enrolled", lambda: world.pods()["shop/a"]["state"] == "enrolled" and world.redirection("a") == "enabled")
    time.sleep(1.2)
    assert out_and_in(world) == IN_THE_MESH


def killed_anywhere(world):
    """On its way in and out the agent is killed, each time a little later: the next one ends up where it should."""
    for round in range(12):
        mode = ("none", "ambient")[round % 2]
        world.write_namespace(mode)
        time.sleep(0.012 * round)
        world.restart_agent()
        if mode == "ambient":
            eventually("in the mesh", lambda: world.redirection("a") == "enabled" and out_and_in(world) == IN_THE_MESH)
        else:
            eventually("out of it", lambda: world.redirection("a") is None and not world.links())
            eventually("restored", lambda: "100:" not in subprocess.check_output("ip -n a rule", shell=True, text=True))
            assert out_and_in(world) == ["plain", "plain"]


def path_gone(world):
    sh("ip netns del a")
    eventually("unpublished", lambda: world.redirection("a") is None)
    assert world.try_from("c", "10.9.0.2", 80) == "ECONNREFUSED"
    world.restart_agent()
    time.sleep(1.2)
    assert world.try_from("c", "10.9.0.2", 80) == "ECONNREFUSED"
    kill(world.servers["a"])
    eventually("no trace", lambda: not world.links(), 30)  # the kernel ends a namespace in its own time


def unloaded(world):
    world.write_pod("c", 4)
    eventually("enrolled", lambda: world.redirection("c") == "enabled")
    resolver = world.start("apps", PEERS + ["server", "53"])
    eventually("resolver", lambda: resolver.log.read_text())
    assert world.ask_from("c", "10.9.0.1", 53) != "plain"
    world.agent.terminate()
    assert world.agent.wait(5) == 0

    sh(f"{world.programs[0]} --unload --pin-dir={world.bpffs}/culvert")

    eventually("DNS in the clear", lambda: world.ask_from("c", "10.9.0.1", 53) == "plain")
    assert world.try_from("c", "10.9.0.1", 53) == "plain" and world.try_from(None, "10.9.0.4", 80) == "plain"
    rules = subprocess.check_output("ip -n c rule && ip -n c -6 rule", shell=True, text=True)
    assert "100:" not in rules and "101:" not in rules, rules
    assert not (world.bpffs / "culvert").exists()


def story(world):
    for name, number in (("a", 2), ("c", 4)):
        world.pod(name, number)
        world.serve(name)
    world.write_namespace("ambient")
    (world.folder / "netns-of-a").symlink_to("/run/netns/a")
    world.write_pod("a", 2, netns=world.folder / "netns-of-a")
    world.start_agent()
    world.start_ztunnel()
    eventually("enrolled", lambda: world.redirection("a") == "enabled")
    for part in (namespace_file_broken, pod_file_gone, server_that_does_not_answer, path_gone_for_a_while, slots_and_rules_emptied, refused_namespaces,
                 killed_anywhere, path_gone, unloaded):
        print(part.__name__, flush=True)
        part(world)


if __name__ == "__main__":
    sys.exit(main(story))
