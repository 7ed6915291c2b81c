"""culvertd alone on a real API server, without a data plane, and a road between the two that can be made bad."""
import json
import pathlib
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

# What culvertd needs to be allowed, as docs/operations.md shows it.
RULES = [
    {"apiGroups": [""], "resources": ["namespaces", "nodes", "serviceaccounts", "pods", "services"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {"apiGroups": ["security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io", "gateway.networking.k8s.io"],
     "resources": ["*"], "verbs": ["list", "watch"]},
    {"apiGroups": ["security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io", "gateway.networking.k8s.io"],
     "resources": ["*/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]},
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["istio-ca-root-cert"], "verbs": ["list", "watch", "create", "patch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["istio"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["cacerts", "istio-ca-secret"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["istio-ca-secret"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["culvert-ca-roots"], "verbs": ["get", "patch"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    {"apiGroups": ["certificates.k8s.io"], "resources": ["clustertrustbundles"], "resourceNames": ["istio.io:istiod-ca:root-cert"],
     "verbs": ["create", "patch"]},
    {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["istio.io/istiod-ca"], "verbs": ["attest"]},
    {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingwebhookconfigurations"], "resourceNames": ["culvert-validator"],
     "verbs": ["patch"]},
    {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingwebhookconfigurations"], "verbs": ["create"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["culvertd"], "verbs": ["get", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
]


def eventually(what, condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return value


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Plane:
    """culvertd, as a pod of the service account in `account` (a folder of ApiServer.account) would run it; `road` leads to its API server."""

    def __init__(self, program, account, road=None, *more, data=None, wrap=(), **environment):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        self.data = pathlib.Path(data or folder / "data")
        self.serving, self.monitoring, self.debug = free_ports(3)
        config = json.loads((account / "kubeconfig").read_text())
        for name in ("certificate-authority",):
            config["clusters"][0]["cluster"][name] = str(account / config["clusters"][0]["cluster"][name])
        config["users"][0]["user"]["tokenFile"] = str(account / "token")
        if road:
            config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{road.port}"
        (folder / "kubeconfig").write_text(json.dumps(config))
        self.log_file = folder / "log"
        self.words = [*wrap, program, f"--kubeconfig={folder}/kubeconfig", f"--data-dir={self.data}", f"--address=127.0.0.1:{self.serving}",
                      f"--monitoring-port={self.monitoring}", f"--debug-port={self.debug}", *(more or ["--webhook-port=0"])]
        self.environment = environment

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.words, stdout=log, stderr=log, env=self.environment or None)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if kind:
            print("".join(line[:600] + "\n" for line in self.log().splitlines()[-60:]), flush=True)
        self.kill()
        self.folder.cleanup()

    def kill(self):
        self.process.kill()
        self.process.wait(5)

    def alive(self):
        return self.process.poll() is None

    def log(self):
        return self.log_file.read_text(errors="replace")

    def page(self, path, port=None):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port or self.debug}{path}", timeout=5).read().decode()
        except urllib.error.HTTPError as refused:
            return refused.read().decode()
        except OSError as error:
            return str(error)

    def ready(self, seconds=20):
        eventually("ready", lambda: self.page("/ready") == "ready\n", seconds)
        return self

    def metric(self, name):
        for line in self.page("/metrics", self.monitoring).splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0

    def memory(self):
        return int(next(line.split()[1] for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
                        if line.startswith("VmRSS"))) // 1024

    def objects(self):
        return {each["object"] for each in json.loads(self.page("/debug/configz"))["objects"]}


class Road:
    """A TCP forwarder in front of the API server; or of several servers, each of which is led to in turn, as by a Service. TLS goes through as it is, so
    nobody behind it can tell.

    `delay` seconds before each piece of what the server says; `rate` bytes a second; `cut_after` bytes of what the server says, a connection is
    cut in the middle of things; closed() lets nobody in and cuts all."""

    def __init__(self, *urls):
        self.targets, self.turn = [("127.0.0.1", int(url.rpartition(":")[2])) for url in urls], 0
        self.server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.server.getsockname()[1]
        self.delay, self.rate, self.cut_after, self.open, self.cuts = 0, 0, 0, True, 0
        self.pairs = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            if not self.open:
                client.close()
                continue
            try:
                server = self.dial()
            except OSError:
                client.close()
                continue
            pair = (client, server)
            self.pairs.add(pair)
            threading.Thread(target=self.carry, args=(client, server, pair, False), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, pair, True), daemon=True).start()

    def dial(self):
        for tries_left in reversed(range(len(self.targets))):
            self.turn += 1
            try:
                return socket.create_connection(self.targets[self.turn % len(self.targets)], 5)
            except ConnectionRefusedError:
                if not tries_left:
                    raise

    def carry(self, source, sink, pair, answers):
        seen = 0
        try:
            while data := source.recv(16384):
                if answers:
                    if self.delay:
                        time.sleep(self.delay)
                    if self.rate:
                        time.sleep(len(data) / self.rate)
                    seen += len(data)
                    if self.cut_after and seen > self.cut_after:
                        sink.sendall(data[:len(data) // 2])
                        self.cuts += 1
                        break
                sink.sendall(data)
        except OSError:
            pass
        self.end(pair)

    def end(self, pair):
        self.pairs.discard(pair)
        for each in pair:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def close(self):
        self.open = False
        for pair in list(self.pairs):
            self.end(pair)

    def reopen(self):
        self.open = True
