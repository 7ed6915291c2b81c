#!/usr/bin/env python3
"""culvert-node with real kernel programs and namespaces, and a ztunnel that only answers (peers.py).

Everything lives in a mount, network and PID namespace of its own, and in a cgroup of its own at which the programs attach:
nothing of the machine is captured, and nothing is left behind.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PEERS = [sys.executable, str(HERE / "peers.py")]
FAMILIES = {"IPv4": ("10.9.0.", "/24"), "IPv6": ("fd09::", "/64")}


def sh(command):
    subprocess.run(command, shell=True, check=True)


def eventually(what, condition, seconds=5.0):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def cgroup2():
    for line in open("/proc/self/mountinfo"):
        words = line.split()
        if words[words.index("-") + 1] == "cgroup2":
            return pathlib.Path(words[4])
    return None


class World:
    """A node (this namespace) with a bridge, and pods behind it."""

    def __init__(self, cgroup, folder, programs):
        self.cgroup, self.folder, self.programs = cgroup, folder, programs
        self.config, self.bpffs = folder / "config", folder / "bpf"
        self.config.mkdir()
        self.bpffs.mkdir()
        sh("mount -t tmpfs none /run && mkdir -p /run/netns && mount --bind /run/netns /run/netns && mount --make-shared /run/netns")
        sh(f"mount -t bpf none {self.bpffs}")
        sh("ip link set lo up && ip link add br0 type bridge && ip link set br0 up")
        sh("ip addr add 10.9.0.1/24 dev br0 && ip addr add fd09::1/64 dev br0 nodad")
        (cgroup / "kubelet").mkdir()
        self.agent = self.ztunnel = None
        self.logs = 0

    def pod(self, name, number):
        sh(f"ip netns add {name} && ip link add v{name} type veth peer name eth0 netns {name} && ip link set v{name} master br0 up")
        for address, length in FAMILIES.values():
            sh(f"ip -n {name} addr add {address}{number}{length} dev eth0" + (" nodad" if ":" in address else ""))
        sh(f"ip -n {name} link set lo up && ip -n {name} link set eth0 up && ip -n {name} route add default via 10.9.0.1")
        sh(f"ip -n {name} -6 route add default via fd09::1")

    def start(self, group, command, netns=None):
        group = self.cgroup / group
        group.mkdir(exist_ok=True)
        self.logs += 1
        log = self.folder / f"{self.logs}-{pathlib.Path(command[-2]).name}.log"
        enter = ["ip", "netns", "exec", netns] if netns else []
        process = subprocess.Popen(enter + command, stdout=open(log, "w"), stderr=subprocess.STDOUT,
                                   preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
        process.log = log
        return process

    def start_agent(self, program):
        self.agent = self.start("node", [
            program, "--node-name=n1", f"--config-dir={self.config}", f"--pin-dir={self.bpffs}/culvert",
            f"--cgroup-root={self.cgroup}", f"--ztunnel-socket={self.folder}/ztunnel.sock", f"--kubelet-cgroups={self.cgroup}/kubelet", "--log-level=debug"])

    def start_ztunnel(self, group="ztunnel"):
        self.ztunnel = self.start(group, PEERS + ["ztunnel", f"{self.folder}/ztunnel.sock"])

    def write(self, name, text):
        beside = self.folder / name
        beside.write_text(text)
        beside.rename(self.config / name)

    def write_namespace(self, mode):
        self.write("namespace.yaml", f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {{istio.io/dataplane-mode: {mode}}}\n")

    def write_pod(self, name, number):
        ips = ", ".join(f'{{ip: "{address}{number}"}}' for address, _ in FAMILIES.values())
        self.write(f"{name}.yaml", f"""apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: uid-{name}, annotations: {{culvert.dev/netns: /run/netns/{name}}}}}
spec: {{nodeName: n1, serviceAccount: web, containers: [{{name: c, image: x}}]}}
status: {{phase: Running, podIPs: [{ips}]}}
""")

    def redirection(self, name):
        try:
            text = (self.config / f"status/pods/n1_shop_{name}.yaml").read_text()
            return "enabled" if '"enabled"' in text else "pending"
        except FileNotFoundError:
            return None

    def try_from(self, name, address, port, group="apps"):
        run = self.start(group, PEERS + ["try", address, str(port)], netns=name)
        run.wait(10)
        return run.log.read_text().strip()

    def load(self, name, address, port):
        load = self.start("apps", PEERS + ["load", address, str(port)], netns=name)
        eventually("load", lambda: load.log.read_text())
        return load

    def fetch(self, url):
        try:
            return urllib.request.urlopen(url, timeout=2).read().decode()
        except OSError:
            return ""


def stop_load(load):
    load.send_signal(signal.SIGTERM)
    load.wait(5)
    return json.loads(load.log.read_text().splitlines()[-1])


def kill(process):
    process.kill()
    process.wait(5)


def story(world):
    world.pod("a", 2)  # the pod of the story
    world.pod("c", 4)  # outside the mesh
    for name in ("a", "c"):
        server = world.start("apps", PEERS + ["server", "80"], netns=name)
        eventually("server", lambda: server.log.read_text())

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
    link_local = subprocess.check_output("ip -n a -6 -o addr show dev eth0 scope link", shell=True, text=True).split()[3].split("/")[0]
    assert world.try_from("c", link_local + "%eth0", 80).startswith("inbound fe80"), link_local
    sh("ip -n a addr add 10.9.0.77/24 dev eth0")  # an address of its own that comes later
    eventually("own address", lambda: world.try_from("a", "10.9.0.77", 80) == "plain")

    # What it shows of itself.
    eventually("readiness", lambda: world.fetch("http://127.0.0.1:8000/readyz") == "ok\n")
    metrics = world.fetch("http://127.0.0.1:15014/metrics")
    assert 'culvert_bpf_events_total{program="connect",event="captured"}' in metrics, metrics
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
    assert [path.name for path in (world.bpffs / "culvert").glob("v*")] == ["v2"]

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
    eventually("no trace", lambda: not list((world.bpffs / "culvert/links").glob("pod-*")))

    # A pod whose namespace vanishes is removed, whatever its object says.
    world.write_pod("c", 4)
    eventually("enrolled", lambda: world.redirection("c") == "enabled")
    sh("ip netns del c")
    eventually("removed", lambda: world.redirection("c") is None)
    eventually("no trace", lambda: not list((world.bpffs / "culvert/links").glob("pod-*")))
    assert "/run/netns/c is not there" in world.fetch("http://127.0.0.1:8000/readyz")

    # Taken out of the kernel altogether.
    world.agent.terminate()
    assert world.agent.wait(5) == 0
    sh(f"{world.programs[1]} --unload --pin-dir={world.bpffs}/culvert")
    assert not (world.bpffs / "culvert").exists()


def inside(cgroup, folder, *programs):
    world = World(pathlib.Path(cgroup), pathlib.Path(folder), programs)
    try:
        story(world)
    except BaseException:
        if world.agent:
            print("--- last agent's log\n" + world.agent.log.read_text()[-8000:], file=sys.stderr)
        if world.ztunnel:
            print("--- last ztunnel's log\n" + world.ztunnel.log.read_text()[-2000:], file=sys.stderr)
        raise


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def main():
    if sys.argv[1] == "--inside":
        return inside(*sys.argv[2:])
    if os.geteuid() != 0:
        skip("needs root")
    root = cgroup2()
    if root is None or not os.access("/sys/kernel/btf/vmlinux", os.R_OK):
        skip("needs cgroup2 and a kernel with BTF")
    cgroup = root / f"culvert-agent-test-{os.getpid()}"
    cgroup.mkdir()
    folder = pathlib.Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
                   sys.executable, __file__, "--inside", str(cgroup), str(folder), *sys.argv[1:]]
        return subprocess.run(command).returncode
    finally:
        for group in (*cgroup.iterdir(), cgroup):
            if group.is_dir():
                eventually("empty cgroup", lambda: not (group / "cgroup.procs").read_text())
                group.rmdir()
        sh(f"rm -rf {folder}")


if __name__ == "__main__":
    sys.exit(main())
