"""The worlds of the bench: brings them up by `culvert local`, runs the load generator in their pods, finds their processes."""
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import measure

CULVERT = "build/release/bin/culvert"
LOAD = "/culvert/build/release/bin/load"
PORT = "7000"

# Tries until it is answered, and prints when that was: on CLOCK_MONOTONIC, which all namespaces share.
ANSWERED = """
import socket, sys, time
host, port, request, answer = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4].encode()
end = time.monotonic() + 20
while time.monotonic() < end:
    try:
        with socket.create_connection((host, port), 1) as s:
            s.sendall(request)
            got = s.recv(max(1, len(answer)), socket.MSG_WAITALL)
            if got and got.startswith(answer):
                print(time.monotonic())
                sys.exit()
    except OSError:
        pass
    time.sleep(0.001)
sys.exit("nobody answers")
"""


@contextlib.contextmanager
def up(name="bench", mesh=True):
    down = [CULVERT, "local", "down", "--name", name]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("tests/bench/world/world.yaml", folder)
        subprocess.run(down, capture_output=True)
        try:
            flags = [] if mesh else ["--no-mesh"]
            subprocess.run([CULVERT, "local", "up", folder, "--name", name, "--nodes", "2", *flags], check=True, stdout=subprocess.DEVNULL)
            yield World(name, folder)
        finally:
            subprocess.run(down, capture_output=True)


class World:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        status = json.loads(self.culvert("status", "--output", "json"))
        self.address = {f'{pod["namespace"]}/{pod["name"]}': pod["addresses"][0] for pod in status["pods"]}
        for client in ("mesh/client", "bare/client"):
            # Whoever closes first keeps the port for a minute. Many short connections would measure that, and nothing else.
            self.culvert("exec", "--privileged", client, "--", "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1")

    def culvert(self, command, *words):
        return subprocess.run([CULVERT, "local", command, "--name", self.name, *words], check=True, text=True, capture_output=True).stdout

    def within(self, place, *words):
        return [CULVERT, "local", "exec", "--name", self.name, place, "--", *words]

    def pids(self, program):
        """Our programs of this world, numbered as the machine sees them."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "comm").read_text().strip() == program and f"/culvert.local.{self.name}/" in (folder / "cgroup").read_text():
                    found.append(int(folder.name))
        return sorted(found)

    def command(self, namespace, mode, *numbers, to=None):
        """The load generator, from the namespace's client to its server, or to something else that it reaches."""
        host, port = to or (self.address[f"{namespace}/server"], PORT)
        return self.within(f"{namespace}/client", LOAD, mode, host, port, *map(str, numbers))

    @contextlib.contextmanager
    def relays(self):
        """Two relays that do nothing but pass bytes on, where the mesh has its proxies, but outside it. Gives the way in."""
        way_in, between = ("127.0.0.1", "7100"), (self.address["bare/server"], "7100")
        words = [self.within("bare/client", LOAD, "relay", way_in[1], *between),
                 self.within("bare/server", LOAD, "relay", between[1], "127.0.0.1", PORT)]
        processes = [subprocess.Popen(each) for each in words]
        try:
            wait_for("the relays", lambda: subprocess.run(self.command("bare", "rr", 1, 0.01, to=way_in), capture_output=True).returncode == 0)
            yield way_in
        finally:
            for process in processes:
                process.terminate()
                process.wait(10)

    def load(self, namespace, mode, *numbers, to=None):
        words = self.command(namespace, mode, *numbers, to=to)
        proxies = self.pids("ztunnel")
        machine, used = measure.machine_cpu(), measure.process_cpu(proxies)
        run = subprocess.run(words, text=True, capture_output=True)
        machine, used = measure.machine_cpu() - machine, measure.process_cpu(proxies) - used
        if run.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {run.stderr.strip()}")
        seen = json.loads(run.stdout.splitlines()[-1])
        if seen["errors"]:
            raise RuntimeError(f"{' '.join(words)}: {seen['kinds']}")
        return measure.Run(seen, machine, used)

    def tunnelled(self):
        """Connections that came into the server's node under mutual TLS so far."""
        run = subprocess.run(self.within("node2", "curl", "-sf", "http://localhost:15020/metrics"), check=True, text=True, capture_output=True)
        lines = re.findall(r'^istio_tcp_connections_opened_total\{(.*)\} (\S+)$', run.stdout, re.M)
        return sum(float(value) for labels, value in lines if 'reporter="destination"' in labels and "mutual_tls" in labels)

    def answered(self, place, host, port, request, answer):
        """Starts to ask; the process prints the time of the first answer."""
        words = self.within(place, "python3", "-c", ANSWERED, host, port, request, answer)
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    @contextlib.contextmanager
    def held(self, namespace, connections):
        """Idle connections, held while the block runs."""
        words = self.command(namespace, "hold", connections)
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError("the idle connections did not come up")
            yield
            process.stdin.close()
            process.wait(30)


def wait_for(what, condition, seconds=10):
    """Polls, since what is waited for is another process' state; returns how long it took."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if condition():
            return time.monotonic() - start
        time.sleep(0.001)
    raise RuntimeError(f"{what}: not within {seconds} s")
