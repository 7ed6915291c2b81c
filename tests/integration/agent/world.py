"""The world of culvert-node's tests: real kernel programs and namespaces, and a ztunnel that only answers (peers.py).

Everything lives in a mount, network and PID namespace of its own, and in a cgroup of its own at which the programs attach:
nothing of the machine is captured, and nothing is left behind.
"""
import collections
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
        sh("ip link set lo up && ip link add br0 address 02:00:00:00:00:01 type bridge && ip link set br0 up")
        sh("ip addr add 10.9.0.1/24 dev br0 && ip addr add fd09::1/64 dev br0 nodad")
        (cgroup / "kubelet").mkdir()
        self.agent = self.ztunnel = None
        self.servers, self.peers, self.source = {}, PEERS, HERE.parents[2]
        self.logs = 0

    def pod(self, name, number):
        sh(f"ip netns add {name} && ip link add v{name} type veth peer name eth0 netns {name} && ip link set v{name} master br0 up")
        for address, length in FAMILIES.values():
            sh(f"ip -n {name} addr add {address}{number}{length} dev eth0" + (" nodad" if ":" in address else ""))
        sh(f"ip -n {name} link set lo up && ip -n {name} link set eth0 up && ip -n {name} route add default via 10.9.0.1")
        sh(f"ip -n {name} -6 route add default via fd09::1")

    def serve(self, name):
        server = self.servers[name] = self.start("apps", PEERS + ["server", "80"], netns=name)
        eventually("server", lambda: server.log.read_text())

    def start(self, group, command, netns=None):
        group = self.cgroup / group
        group.mkdir(exist_ok=True)
        self.logs += 1
        log = self.folder / f"{self.logs}.log"
        enter = ["ip", "netns", "exec", netns] if netns else []
        process = subprocess.Popen(enter + command, stdout=open(log, "w"), stderr=subprocess.STDOUT,
                                   preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
        process.log = log
        return process

    def start_agent(self, program=None, source=None, **environment):
        self.agent = self.start("node", ["env", *(f"{name}={value}" for name, value in environment.items()),
            program or self.programs[0], "--node-name=n1", source or f"--config-dir={self.config}", f"--pin-dir={self.bpffs}/culvert",
            f"--cgroup-root={self.cgroup}", f"--ztunnel-socket={self.folder}/ztunnel.sock", f"--kubelet-cgroups={self.cgroup}/kubelet", "--log-level=debug"])

    def restart_agent(self, program=None, **environment):
        kill(self.agent)
        self.start_agent(program, **environment)
        self.in_force()

    def in_force(self, seconds=5.0):
        eventually("in force", lambda: "kernel programs are in force" in self.agent.log.read_text(), seconds)

    def start_ztunnel(self, group="ztunnel", refuse="-"):
        self.ztunnel = self.start(group, PEERS + ["ztunnel", f"{self.folder}/ztunnel.sock", refuse])

    def write(self, name, text):
        beside = self.folder / name
        beside.write_text(text)
        beside.rename(self.config / name)

    def write_namespace(self, mode):
        self.write("namespace.yaml", f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {{istio.io/dataplane-mode: {mode}}}\n")

    def write_pod(self, name, number, netns=None, labels=""):
        ips = ", ".join(f'{{ip: "{address}{number}"}}' for address, _ in FAMILIES.values())
        self.write(f"{name}.yaml", f"""apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: uid-{name}, labels: {{{labels}}}, annotations: {{culvert.dev/netns: {netns or "/run/netns/" + name}}}}}
spec: {{nodeName: n1, serviceAccount: web, containers: [{{name: c, image: x, readinessProbe: {{tcpSocket: {{port: 80}}}}}}]}}
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

    def ask_from(self, name, address, port):
        run = self.start("apps", PEERS + ["ask", address, str(port)], netns=name)
        run.wait(10)
        return run.log.read_text().strip()

    def pods(self):
        """What the agent shows of each pod, nothing while it does not answer."""
        shown = {pod["pod"]: pod for pod in json.loads(self.fetch("http://127.0.0.1:9876/pods") or "[]")}
        return collections.defaultdict(lambda: collections.defaultdict(str), shown)

    def slot_of(self, name):
        """The slot of what the pod dials by IPv4, as bpftool wants to be told."""
        cookie = self.pods()[f"shop/{name}"]["netns_cookie"]
        key = [*cookie.to_bytes(8, sys.byteorder), *(15001).to_bytes(2, "big"), 2, 6, 0, 0, 0, 0]
        shared = next((self.bpffs / "culvert").glob("shared-v*"))
        return f"pinned {shared}/listeners key {' '.join(map(str, key))}"

    def slot(self, name):
        """The cookie of the socket that stands in it."""
        return subprocess.check_output(f"bpftool --json map lookup {self.slot_of(name)}", shell=True, text=True)

    def links(self):
        return [path.name for path in (self.bpffs / "culvert/links").glob("pod-*")]

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


def inside(story, cgroup, folder, *programs):
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


def main(story):
    if sys.argv[1] == "--inside":
        return inside(story, *sys.argv[2:])
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
                   sys.executable, sys.argv[0], "--inside", str(cgroup), str(folder), *sys.argv[1:]]
        return subprocess.run(command).returncode
    finally:
        for group in (*cgroup.iterdir(), cgroup):
            if group.is_dir():
                eventually("empty cgroup", lambda: not (group / "cgroup.procs").read_text())
                group.rmdir()
        sh(f"rm -rf {folder}")

