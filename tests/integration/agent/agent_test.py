#!/usr/bin/env python3
"""The story of one pod: it joins, agents and ztunnels come and go, it leaves, it ends."""
import re
import subprocess
import sys
import time

from world import FAMILIES, eventually, kill, main, sh, stop_load


def exempt(world):
    """How many cgroups the kernel has for ztunnels'; nothing while the agent does not answer."""
    found = re.search(r"^culvert_node_ztunnel_cgroups (\d+)$", world.fetch("http://127.0.0.1:15014/metrics"), re.M)
    return found and int(found[1])


def story(world):
    world.pod("a", 2)  # the pod of the story
    world.pod("c", 4)  # outside the mesh
    for name in ("a", "c"):
        world.serve(name)

    # A pod waits for its ztunnel, in the clear until then.
    world.write_namespace("ambient")
    world.write_pod("a", 2)
    world.start_agent(world.programs[0])
    eventually("pending", lambda: world.redirection("a") == "pending")
    assert world.try_from("a", "10.9.0.4", 80) == "plain"

    # Enrolled while connections come and go both ways: none fails.
    loads = [world.load("a", "10.9.0.4", 80), world.load("c", "fd09::2", 80)]
    world.start_ztunnel()
    eventually("enrolled", lambda: world.redirection("a") == "enabled")
    answers = [stop_load(load) for load in loads]
    assert set(answers[0]) <= {"plain", "outbound 10.9.0.4 80"} and set(answers[1]) <= {"plain", "inbound fd09::2 80"}, answers
    assert "add uid-a a" in world.ztunnel.log.read_text()
    for address, _ in FAMILIES.values():
        assert world.try_from("a", address + "4", 80) == f"outbound {address}4 80"
        assert world.try_from("c", address + "2", 80) == f"inbound {address}2 80"
        assert world.try_from("a", address + "2", 80) == "plain"  # itself
        assert world.try_from("c", address + "4", 80) == "plain"
        assert world.try_from(None, address + "2", 80) == f"inbound {address}2 80"  # a process of the node
        assert world.try_from(None, address + "2", 80, group="kubelet") == "plain"  # a probe
        assert world.try_from(None, address + "2", 81, group="kubelet") == f"inbound {address}2 81"  # of a port that no probe of the pod's names
    link_local = subprocess.check_output("ip -n a -6 -o addr show dev eth0 scope link", shell=True, text=True).split()[3].split("/")[0]
    assert world.try_from("c", link_local + "%eth0", 80).startswith("inbound fe80"), link_local
    sh("ip -n a addr add 10.9.0.77/24 dev eth0")  # an address of its own that comes later
    eventually("own address", lambda: world.try_from("a", "10.9.0.77", 80) == "plain")

    # What it shows of itself.
    eventually("readiness", lambda: world.fetch("http://127.0.0.1:8000/readyz") == "ok\n")
    metrics = world.fetch("http://127.0.0.1:15014/metrics")
    header = (world.source / "bpf/include/culvert_abi.h").read_text()
    for program, event in re.findall(r'X\([A-Z_]+, "(\w+)", "(\w+)",', header):
        assert f'culvert_bpf_events_total{{program="{program}",event="{event}"}}' in metrics, metrics
    assert "\nculvert_node_pods_missed_total 0\n" in metrics, "in a folder no plugin is called"
    assert '"shop/a"' in world.fetch("http://127.0.0.1:9876/pods")

    # The agent is killed and started again, then replaced by one whose kernel programs are of another version: nothing is
    # interrupted, and the control plane hears nothing new.
    for count, program in ((2, world.programs[0]), (3, world.programs[1])):
        loads = [world.load("a", "10.9.0.4", 80), world.load("c", "10.9.0.2", 80)]
        time.sleep(0.2)
        kill(world.agent)
        time.sleep(0.2)
        assert world.redirection("a") == "enabled"
        world.start_agent(program)
        eventually("snapshot", lambda: world.ztunnel.log.read_text().count("snapshot") == count)
        eventually("in force", lambda: "kernel programs are in force" in world.agent.log.read_text())
        time.sleep(0.2)
        answers = [stop_load(load) for load in loads]
        assert set(answers[0]) == {"outbound 10.9.0.4 80"} and set(answers[1]) == {"inbound 10.9.0.2 80"}, answers
        assert world.redirection("a") == "enabled"
    assert [path.name for path in (world.bpffs / "culvert").glob("v*")] == ["v1000"]

    # ztunnel is killed: refused, never in the clear. A new one serves within a second.
    kill(world.ztunnel)
    eventually("note", lambda: "ztunnels: none is connected" in world.fetch("http://127.0.0.1:8000/readyz"))
    for address, _ in FAMILIES.values():
        assert world.try_from("a", address + "4", 80) == "ECONNREFUSED"
        assert world.try_from("c", address + "2", 80) == "ECONNREFUSED"
    world.start_ztunnel()
    eventually("the new ztunnel", lambda: world.try_from("a", "10.9.0.4", 80) == "outbound 10.9.0.4 80", 3)
    eventually("snapshot", lambda: "snapshot" in world.ztunnel.log.read_text())

    # A second ztunnel beside it, in a cgroup of its own, takes over when the first goes.
    first = world.ztunnel
    world.start_ztunnel("ztunnel-2")
    eventually("snapshot of the second", lambda: "snapshot" in world.ztunnel.log.read_text())
    kill(first)
    eventually("the second", lambda: world.try_from("a", "10.9.0.4", 80) == "outbound 10.9.0.4 80", 3)
    eventually("the first is exempt no longer", lambda: exempt(world) == 1)
    assert world.try_from("c", "fd09::2", 80) == "inbound fd09::2 80"

    # It leaves the mesh under load: what was in ztunnel's hands may end, nothing else fails.
    loads = [world.load("a", "10.9.0.4", 80), world.load("c", "10.9.0.2", 80)]
    time.sleep(0.2)
    world.write_namespace("none")
    eventually("unpublished", lambda: world.redirection("a") is None)
    eventually("del", lambda: "del uid-a" in world.ztunnel.log.read_text())
    eventually("left", lambda: "left the mesh" in world.agent.log.read_text())
    time.sleep(0.2)
    answers = [stop_load(load) for load in loads]
    assert set(answers[0]) == {"plain", "outbound 10.9.0.4 80"} and set(answers[1]) == {"plain", "inbound 10.9.0.2 80"}, answers
    assert "lookup 100" not in subprocess.check_output("ip -n a rule", shell=True, text=True)

    # It comes back, and then its object goes before its processes do: they stay captured, and are refused.
    world.write_namespace("ambient")
    eventually("enrolled again", lambda: world.redirection("a") == "enabled")
    (world.config / "a.yaml").unlink()
    eventually("del", lambda: world.ztunnel.log.read_text().count("del uid-a") == 2)
    assert world.redirection("a") is None
    assert world.try_from("a", "10.9.0.4", 80) == "ECONNREFUSED"
    sh("ip netns del a")
    time.sleep(1.2)
    assert world.try_from("c", "10.9.0.2", 80) == "ECONNREFUSED"  # the path is gone, the server in it is not
    kill(world.servers["a"])
    eventually("no trace", lambda: not world.links(), 30)  # the kernel ends a namespace in its own time

    # A pod whose namespace ends is removed, whatever its object says.
    world.write_pod("c", 4)
    eventually("enrolled", lambda: world.redirection("c") == "enabled")
    sh("ip netns del c")
    eventually("unpublished", lambda: world.redirection("c") is None)
    assert world.links() and world.try_from(None, "10.9.0.4", 80) == "ECONNREFUSED"
    kill(world.servers["c"])
    eventually("no trace", lambda: not world.links(), 30)  # the kernel ends a namespace in its own time
    eventually("said", lambda: "/run/netns/c is not there\n" in world.fetch("http://127.0.0.1:8000/readyz"))

    # An agent that comes after a ztunnel has ended finds that out by itself.
    kill(world.agent)
    kill(world.ztunnel)
    (world.cgroup / "ztunnel-2").rmdir()
    world.start_agent(world.programs[1])
    world.in_force()
    eventually("exempt no longer", lambda: exempt(world) == 0)

    # Taken out of the kernel altogether.
    world.agent.terminate()
    assert world.agent.wait(5) == 0
    binaries, configuration = world.folder / "bin", world.folder / "net.d"
    for folder, name in ((binaries, "culvert-cni"), (configuration, "00-culvert.conflist"), (configuration, "10-bridge.conflist")):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text('{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge"}]}')
    sh(f"{world.programs[1]} --unload --pin-dir={world.bpffs}/culvert --cni-bin-dir={binaries} --cni-net-dir={configuration}")
    assert [path.name for folder in (binaries, configuration) for path in folder.iterdir()] == ["10-bridge.conflist"]
    assert not (world.bpffs / "culvert").exists()


if __name__ == "__main__":
    sys.exit(main(story))
