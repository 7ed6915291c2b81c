"""The world of the bench: brings it up by `culvert local`, runs the load generator in its pods, finds its processes."""
import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import measure

CULVERT = "build/release/bin/culvert"
LOAD = "/culvert/build/release/bin/load"
NAME = "bench"
PORT = "7000"


def culvert(*args, **options):
    return subprocess.run([CULVERT, "local", *args], check=True, text=True, capture_output=True, **options).stdout


@contextlib.contextmanager
def up():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy("tests/bench/world/world.yaml", folder)
        subprocess.run([CULVERT, "local", "down", "--name", NAME], capture_output=True)
        subprocess.run([CULVERT, "local", "up", folder, "--name", NAME, "--nodes", "2"], check=True, stdout=subprocess.DEVNULL)
        try:
            yield World(folder)
        finally:
            subprocess.run([CULVERT, "local", "down", "--name", NAME], capture_output=True)


class World:
    def __init__(self, folder):
        self.folder = folder
        status = json.loads(culvert("status", "--name", NAME, "--output", "json"))
        self.address = {f'{pod["namespace"]}/{pod["name"]}': pod["addresses"][0] for pod in status["pods"]}

    def pids(self, program):
        """Our programs of this world, numbered as the machine sees them."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "comm").read_text().strip() == program and f"/culvert.local.{NAME}/" in (folder / "cgroup").read_text():
                    found.append(int(folder.name))
        return sorted(found)

    def command(self, namespace, *words):
        return [CULVERT, "local", "exec", "--name", NAME, f"{namespace}/client", "--", *words]

    def load(self, namespace, mode, *numbers):
        """Runs the load generator from the namespace's client against its server."""
        words = self.command(namespace, LOAD, mode, self.address[f"{namespace}/server"], PORT, *map(str, numbers))
        proxies = self.pids("ztunnel")
        machine, used = measure.machine_cpu(), measure.process_cpu(proxies)
        run = subprocess.run(words, text=True, capture_output=True)
        machine, used = measure.machine_cpu() - machine, measure.process_cpu(proxies) - used
        if run.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {run.stderr.strip()}")
        seen = json.loads(run.stdout.splitlines()[-1])
        if seen["errors"]:
            raise RuntimeError(f"{' '.join(words)}: {seen['errors']} errors")
        return measure.Run(seen, machine, used)

    @contextlib.contextmanager
    def held(self, namespace, connections):
        """Idle connections, held while the block runs."""
        words = self.command(namespace, LOAD, "hold", self.address[f"{namespace}/server"], PORT, str(connections))
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
