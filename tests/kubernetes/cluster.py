"""The running cluster of two nodes, for tests that tests/run-e2e calls: kubectl, helm and on are on the PATH."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

KUBERNETES = pathlib.Path(__file__).resolve().parent
ROOT = KUBERNETES.parent.parent
PATIENCE = int(os.environ.get("KUBE_PATIENCE", "1"))
NODES = ("node1", "node2")


class Failed(Exception):
    """A command failed; the text says how."""


def tried(*words, input=None, timeout=150):
    """Exit code, output, and what it complained about."""
    done = subprocess.run([str(word) for word in words], input=input, capture_output=True, text=True, timeout=timeout * PATIENCE)
    return done.returncode, done.stdout, done.stderr


def run(*words, input=None, timeout=150):
    try:
        code, out, err = tried(*words, input=input, timeout=timeout)
    except subprocess.TimeoutExpired as slow:
        raise Failed(f"{' '.join(map(str, words))}: not within {timeout} s") from slow
    if code:
        raise Failed(f"{' '.join(map(str, words))}: {out.strip()}\n{err.strip()}")
    return out


def kubectl(*words, input=None):
    return run("kubectl", *words, input=input)


def apply(text):
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)


def get(*words):
    """One object, or the items of a list."""
    value = json.loads(kubectl("get", *words, "-o", "json"))
    return value["items"] if "items" in value else value


def start_culvert(*words, **more):
    """The operator's program of the build tree, in the cluster's network and with the real helm in PATH, as a process."""
    world = pathlib.Path(os.environ["KUBE_WORLD"])
    enter = ("nsenter", f"--net=/proc/{(world / 'pid').read_text().split()[0]}/ns/net")
    environment = os.environ | {"KUBECONFIG": str(world / "kubeconfig"), "PATH": f"{os.environ['KUBE_HOME']}/bin:{os.environ['PATH']}"}
    return subprocess.Popen([*enter, str(ROOT / "build/release/bin/culvert"), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=environment, **more)


def culvert_says(*words, code=0, input=""):
    """Its output and what it said beside it; it has to end with `code`."""
    with start_culvert(*words) as program:
        try:
            out, err = program.communicate(input, timeout=300 * PATIENCE)
        except subprocess.TimeoutExpired:
            program.kill()
            raise
    if program.returncode != code:
        raise Failed(f"culvert {' '.join(map(str, words))}: exit code {program.returncode}\n{out}{err}")
    return out, err


def culvert(*words, code=0, input=""):
    return culvert_says(*words, code=code, input=input)[0]


def missing(*words):
    """Whether there is no such object."""
    return not kubectl("get", *words, "--ignore-not-found", "-o", "name").strip()


def refusal(text):
    """What the API server says of YAML that it is to refuse; empty when it takes it."""
    try:
        kubectl("apply", "-f", "-", input=text)
    except Failed as failed:
        return str(failed)
    return ""


def eventually(what, condition, seconds=30):
    """Asks every 100 ms. A command that fails has not happened yet."""
    end, said = time.monotonic() + seconds * PATIENCE, ""
    while True:
        try:
            value = condition()
            if value:
                return value
        except Failed as failed:
            said = f": {failed}"
        assert time.monotonic() < end, f"{what}: not within {seconds} s{said}"
        time.sleep(0.1)


def rolled_out(namespace, *names, seconds=90):
    for name in names:
        kubectl("rollout", "status", "-n", namespace, name, f"--timeout={seconds * PATIENCE}s")


# --- pods ---

def pods(namespace, app):
    """Those that nobody has told to end."""
    return [pod for pod in get("pods", "-n", namespace, "-l", f"app={app}") if "deletionTimestamp" not in pod["metadata"]]


def on_nodes(namespace, app):
    """The pods of a DaemonSet by their node."""
    return {pod["spec"]["nodeName"]: pod for pod in pods(namespace, app)}


def redirection(pod):
    return pod["metadata"].get("annotations", {}).get("ambient.istio.io/redirection")


def incarnation(pod):
    """What changes when a pod is made anew or a container of it starts again."""
    return pod["metadata"]["uid"], [status["restartCount"] for status in pod["status"]["containerStatuses"]]


def addresses(pod):
    return [one["ip"] for one in pod["status"]["podIPs"]]


def is_ready(pod):
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def execute(pod, *command):
    """In its first container: exit code, output, complaints."""
    return tried("kubectl", "exec", "-q", "-n", pod["metadata"]["namespace"], pod["metadata"]["name"], "--", *command)


def url_host(address):
    """An address as URLs have it."""
    return f"[{address}]" if ":" in address else address


def fetch(pod, address, port=8080):
    """By busybox's wget, as a pod of the cluster."""
    return execute(pod, "wget", "-T", "5", "-qO-", f"http://{url_host(address)}:{port}/")


def events(namespace, pod):
    """What culvert-node says of it: reason -> message."""
    found = get("events", "-n", namespace, "--field-selector", f"involvedObject.name={pod}")
    return {event["reason"]: event["message"] for event in found if event["source"].get("component") == "culvert-node"}


# --- images ---

def make_images(out, *names, tag="test", build=None):
    """Images of the build tree's programs, as ./dev images makes them. The digest of each."""
    where = ("--build", build) if build else ()
    run(ROOT / "images/make", "--hub", "culvert.test", "--tag", tag, "--out", out, *where, *names)
    return dict(line.split()[:2] for line in (out / "digests").read_text().splitlines())


def load(*archives):
    run(KUBERNETES / "load", *archives)


def libraries(program):
    return {word for line in tried("ldd", program)[1].splitlines() for word in line.split() if word.startswith("/")}


def image_of(name, *command, programs, folders=(), more=()):
    """An image of programs (where they shall be: where they are) with the libraries that they need, whole folders, and empty ones; on all nodes."""
    with tempfile.TemporaryDirectory() as work:
        root, archive = pathlib.Path(work, "root"), pathlib.Path(work, "image.tar")
        for folder in ("usr/bin", "usr/lib", "usr/lib64", "etc", "tmp", "proc", "sys", "dev", "run", "var", *more):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for link in ("bin", "lib", "lib64"):
            (root / link).symlink_to(f"usr/{link}")
        (root / "var/run").symlink_to("../run")
        for path, program in programs.items():
            run("install", "-D", "-s", os.path.realpath(program), root / path.lstrip("/"))
        needed = set(map(str, programs.values()))
        for folder in folders:
            shutil.copytree(folder, root / folder.lstrip("/"), symlinks=True, ignore=shutil.ignore_patterns("test", "idlelib", "ensurepip", "pydoc_data"))
            needed |= set(map(str, pathlib.Path(folder).rglob("*.so")))
        for path in set().union(*map(libraries, needed)):
            if not (root / path.lstrip("/")).exists():
                run("install", "-D", os.path.realpath(path), root / path.lstrip("/"))
        run(KUBERNETES / "image", name, root, archive, *command)
        load(archive)


# --- the wire ---

class Wire:
    """What passes a node's cable, from the moment that this is made until ended()."""

    def __init__(self, node, what):
        self.node, self.folder = node, tempfile.TemporaryDirectory()
        self.file = pathlib.Path(self.folder.name, "wire.pcap")
        with open(self.file, "wb") as out:
            self.capture = subprocess.Popen(["on", node, "tcpdump", "-i", "eth0", "-Z", "root", "-U", "--immediate-mode", "-w", "-",
                                             f"({what}) or udp port 9"], stdout=out, stderr=subprocess.PIPE, text=True)
        line = ""
        while "listening on" not in line:
            line = self.capture.stderr.readline()
            assert line or self.capture.poll() is None, "tcpdump ended before it listened"

    def ended(self):
        """All that has passed. Silence proves nothing unless the capture still hears: its last packet is one of our own."""
        run("on", self.node, "sh", "-c", "echo 'the last packet' | socat -u - UDP6:[fd00:172:30::1]:9")
        eventually("the last packet", lambda: b"the last packet" in self.file.read_bytes())
        run("on", self.node, "pkill", "-INT", "tcpdump")  # sees the node's own processes only
        self.capture.wait(10)
        return self.file.read_bytes()

    def packets(self, what):
        """Once ended(): those that the filter matches."""
        return run("tcpdump", "-n", "-r", self.file, f"({what}) and not udp port 9").splitlines()
