"""The world of ztunnel's tests: nodes with a real culvert-node and ztunnel each, pods in network namespaces, an authority.

Everything lives in a mount, network and PID namespace of its own, and in a cgroup of its own: nothing of the machine is captured,
and nothing is left behind. The nodes share one network namespace and are told apart by name, ports and cgroup.
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

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
        time.sleep(0.005)


def choose_congestion_control(netns=None):
    """Whatever the machine prefers: one that paces would measure its own timers. Reno where we may not choose Cubic."""
    enter = f"ip netns exec {netns} " if netns else ""
    sh(f"{enter}sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null || {enter}sysctl -qw net.ipv4.tcp_congestion_control=reno")


def kill(process):
    """What is killed was alive until then: one that has ended by itself must not look like one that was ended."""
    assert process.poll() is None, f"{process.log.name} had ended by itself: {process.returncode}"
    process.kill()
    process.wait(5)


class Node:
    PORTS = {"CULVERT_ADMIN_PORT": 15100, "CULVERT_STATS_PORT": 15200, "CULVERT_READINESS_PORT": 15300}  # and the node's number

    def __init__(self, world, name, number):
        self.world, self.name, self.number = world, name, number
        self.cgroup = world.cgroup / name
        self.cgroup.mkdir()
        self.uds = world.folder / f"{name}.sock"
        self.agent = self.ztunnel = None
        self.extra = {}

    def start_agent(self):
        self.agent = self.world.start(f"{self.name}/agent", [
            self.world.programs["culvert-node"], f"--node-name={self.name}", f"--config-dir={self.world.config}",
            f"--pin-dir={self.world.bpffs}/{self.name}", f"--cgroup-root={self.cgroup}", f"--ztunnel-socket={self.uds}",
            f"--monitoring-port={16000 + self.number}",
            f"--readiness-port={16100 + self.number}", f"--admin-port={16200 + self.number}"], self.cgroup)

    def start_ztunnel(self, **more):
        environment = {
            "NODE_NAME": self.name, "INPOD_UDS": str(self.uds), "LOCAL_XDS_PATH": str(self.world.mesh), "CA_ADDRESS": "https://localhost:15012",
            "CA_ROOT_CA": str(self.world.folder / "root.pem"), "ZTUNNEL_WORKER_THREADS": "2", "RUST_LOG": "info,access=info",
            "ASAN_OPTIONS": ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "detect_leaks=0")))}  # where reports go is for the caller to say
        environment |= {name: str(port + self.number) for name, port in self.PORTS.items()} | self.extra | more
        self.ztunnel = self.world.start(f"{self.name}/ztunnel", [self.world.programs["ztunnel"]], self.cgroup, environment)

    def kill_ztunnel(self):
        kill(self.ztunnel)

    def page(self, port, path):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port + self.number}{path}", timeout=3).read().decode()
        except OSError:
            return ""

    def config_dump(self):
        return json.loads(self.page(15100, "/config_dump"))

    def metrics(self):
        return self.page(15200, "/metrics")

    def ready(self):
        return self.page(15300, "/healthz/ready") == "ready\n"

    def readiness(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{15300 + self.number}/healthz/ready", timeout=3).read().decode()
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    def log(self):
        return self.ztunnel.log.read_text()

    def access(self, *words, after=0):
        """The first access line past offset `after` that holds all of the words."""
        for line in self.log()[after:].splitlines():
            if "\taccess\t" in line and all(word in line for word in words):
                return line
        return None


class World:
    def __init__(self, programs, cgroup, folder):
        self.programs, self.cgroup, self.folder = programs, cgroup, folder
        self.config, self.bpffs, self.mesh = folder / "config", folder / "bpf", folder / "mesh.yaml"
        self.config.mkdir()
        self.bpffs.mkdir()
        sh("mount -t tmpfs none /run && mkdir -p /run/netns && mount --bind /run/netns /run/netns && mount --make-shared /run/netns")
        sh(f"mount -t bpf none {self.bpffs}")
        choose_congestion_control()
        sh("ip link set lo up && ip link add br0 address 02:00:00:00:00:01 type bridge && ip link set br0 up")
        sh("ip addr add 10.9.0.1/24 dev br0 && ip addr add fd09::1/64 dev br0 nodad")
        self.processes, self.pods, self.nodes = [], {}, {}
        self.workloads, self.services, self.policies = {}, [], []
        self.logs = 0

    # --- what runs ---

    def start(self, name, command, cgroup, environment=None, netns=None):
        group = cgroup / pathlib.Path(name).name
        group.mkdir(exist_ok=True)
        self.logs += 1
        log = self.folder / f"{self.logs}-{name.replace('/', '-')}.log"
        enter = ["ip", "netns", "exec", netns] if netns else []
        process = subprocess.Popen(enter + [str(word) for word in command], stdout=open(log, "w"), stderr=subprocess.STDOUT,
                                   env=os.environ | (environment or {}),
                                   preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
        process.log = log
        self.processes.append(process)
        return process

    def start_authority(self, lifetime=86400):
        authority = self.start("authority", [self.programs["test-authority"], self.folder, "15012", str(lifetime)], self.cgroup)
        eventually("authority", lambda: "listening" in authority.log.read_text())
        self.authority = authority
        return authority

    def node(self, name):
        self.nodes[name] = Node(self, name, len(self.nodes) + 1)
        return self.nodes[name]

    # --- pods ---

    def pod(self, name, number, node=None, services=None):
        """A pod; without a node it stands outside the mesh."""
        sh(f"ip netns add {name} && ip link add v{name} type veth peer name eth0 netns {name} && ip link set v{name} master br0 up")
        for address, length in FAMILIES.values():
            sh(f"ip -n {name} addr add {address}{number}{length} dev eth0" + (" nodad" if ":" in address else ""))
        sh(f"ip -n {name} link set lo up && ip -n {name} link set eth0 up && ip -n {name} route add default via 10.9.0.1")
        sh(f"ip -n {name} -6 route add default via fd09::1")
        choose_congestion_control(name)
        self.pods[name] = (number, node)
        if node is None:
            return
        addresses = [address + str(number) for address, _ in FAMILIES.values()]
        ips = ", ".join(f'{{ip: "{address}"}}' for address in addresses)
        self.write(self.config / f"{name}.yaml", f"""apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, uid: uid-{name}, annotations: {{culvert.dev/netns: /run/netns/{name}}}}}
spec: {{nodeName: {node.name}, serviceAccount: sa-{name}, containers: [{{name: c, image: x}}]}}
status: {{phase: Running, podIPs: [{ips}]}}
""")
        self.workloads[name] = {"uid": f"cluster1//v1/Pod/shop/{name}", "name": name, "namespace": "shop", "serviceAccount": f"sa-{name}",
                                "trustDomain": "cluster.local", "workloadIps": addresses, "protocol": "HBONE", "node": node.name,
                                "network": "", "clusterId": "Kubernetes", "services": services or {}}

    def write(self, path, text):
        beside = self.folder / "beside"
        beside.write_text(text)
        beside.rename(path)

    def enrol(self, mode="ambient"):
        self.write(self.config / "namespace.yaml",
                   f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels: {{istio.io/dataplane-mode: {mode}}}\n")

    def enrolled(self, name):
        node = self.pods[name][1]
        try:
            return '"enabled"' in (self.config / f"status/pods/{node.name}_shop_{name}.yaml").read_text()
        except FileNotFoundError:
            return False

    def publish(self):
        self.write(self.mesh, json.dumps({"workloads": list(self.workloads.values()), "services": self.services, "policies": self.policies}))

    # --- applications ---

    def spawn(self, pod, function, *arguments):
        """Runs a function in the pod, in a process of its own. Its result comes from `result(spawned)`."""
        node = self.pods[pod][1]
        group = (node.cgroup if node else self.cgroup) / "apps"
        group.mkdir(exist_ok=True)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                (group / "cgroup.procs").write_text(str(os.getpid()))
                with open(f"/run/netns/{pod}") as netns:
                    os.setns(netns.fileno(), os.CLONE_NEWNET)
                os.close(reading)
                os.write(writing, json.dumps(function(*arguments)).encode())
            except BaseException as error:  # noqa: BLE001: whatever it was, the test must see it
                os.write(writing, json.dumps(f"failed: {error!r}").encode())
            os._exit(0)
        os.close(writing)
        return pid, reading

    def result(self, spawned):
        pid, reading = spawned
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        os.waitpid(pid, 0)
        return json.loads(text) if text else None

    def run(self, pod, function, *arguments):
        return self.result(self.spawn(pod, function, *arguments))

    def stop(self, spawned):
        os.kill(spawned[0], signal.SIGKILL)
        os.close(spawned[1])
        os.waitpid(spawned[0], 0)

    def address(self, pod, family="IPv4"):
        return FAMILIES[family][0] + str(self.pods[pod][0])

    def check_the_ended(self):
        """Programs end when they are told to, and in no other way."""
        for process in self.processes:
            assert process.poll() in (None, 0, -signal.SIGKILL), f"{process.log.name} ended by itself: {process.returncode}"

    def show_logs(self):
        for process in self.processes:
            print(f"--- {process.log.name}\n{process.log.read_text()[-6000:]}", file=sys.stderr)


def cgroup2():
    for line in open("/proc/self/mountinfo"):
        words = line.split()
        if words[words.index("-") + 1] == "cgroup2":
            return pathlib.Path(words[4])
    return None


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def remove_cgroup(cgroup):
    for group in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True) + [cgroup]:
        eventually("empty cgroup", lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def remove_the_dead(root):
    """Cgroups of runs that were killed: their processes ended with them."""
    for cgroup in root.glob("culvert-test-*"):
        if not pathlib.Path("/proc", cgroup.name.rsplit("-", 1)[1]).exists():
            remove_cgroup(cgroup)


def main(story, script, names):
    """Runs story(world) inside namespaces of its own. Arguments: the programs, in the order of `names`."""
    if sys.argv[1] == "--inside":
        world = World(dict(zip(names, sys.argv[2:])), pathlib.Path(sys.argv[-2]), pathlib.Path(sys.argv[-1]))
        try:
            story(world)
            world.check_the_ended()
        except BaseException:
            world.show_logs()
            raise
        return 0
    if os.geteuid() != 0:
        skip("needs root")
    root = cgroup2()
    if root is None or not os.access("/sys/kernel/btf/vmlinux", os.R_OK):
        skip("needs cgroup2 and a kernel with BTF")
    remove_the_dead(root)
    cgroup = root / f"culvert-test-{os.getpid()}"
    cgroup.mkdir()
    folder = pathlib.Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        return subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, script,
                               "--inside", *sys.argv[1:], str(cgroup), str(folder)]).returncode
    finally:
        remove_cgroup(cgroup)
        sh(f"rm -rf {folder}")
