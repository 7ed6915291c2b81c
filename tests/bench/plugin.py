"""What the CNI plugin costs a pod that starts: a process that begins, reads what it is asked, and ends; and the same with a question to the agent. The agent is
a stand-in that refuses at once, so that nothing but the plugin is measured."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import page

HEADING = "\n## The CNI plugin\n"
PLUGIN = "build/release/bin/culvert-cni"
GOAL_MS = 10
RESULT = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/a"}], "ips": [{"interface": 0, "address": "10.9.0.2/24", "gateway": "10.9.0.1"}],
          "dns": {}}


def options(words):
    parser = argparse.ArgumentParser(prog="./dev bench plugin", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="of each (1000)")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args(words)


def refuse_all(listener):
    while True:
        peer, _ = listener.accept()
        with peer:
            peer.recv(16384)
            peer.send(b'{"version":1,"verdict":"refused","why":"busy"}')


class Call:
    """A program that is started again and again, each time with the same input."""

    def __init__(self, what, program, folder, environment=None, settings=None, code=0):
        self.what, self.program, self.environment, self.code = what, program, environment or {}, code
        self.input = folder / f"{what}.json"
        self.input.write_text(json.dumps(settings or {}))
        self.took = []  # ms

    def run(self):
        files = [(os.POSIX_SPAWN_OPEN, 0, str(self.input), os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
        began = time.monotonic()
        pid = os.posix_spawn(self.program, [self.program], self.environment, file_actions=files)
        _, status = os.waitpid(pid, 0)
        self.took.append((time.monotonic() - began) * 1000)
        if os.waitstatus_to_exitcode(status) != self.code:
            raise RuntimeError(f"{self.what}: ended with {os.waitstatus_to_exitcode(status)}")

    def part(self, part):
        return sorted(self.took)[min(len(self.took) - 1, int(len(self.took) * part))]


def calls(folder, agent):
    settings = {"cniVersion": "1.0.0", "name": "pods", "type": "culvert-cni", "agent_socket": str(agent), "prevResult": RESULT}
    add = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": "/proc/self/ns/net", "CNI_PATH": "/opt/cni/bin",
           "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=9d2c"}
    return [Call("/bin/true", "/bin/true", folder), Call("VERSION", PLUGIN, folder, {"CNI_COMMAND": "VERSION"}, {"cniVersion": "1.0.0"}),
            Call("ADD that the agent refuses at once", PLUGIN, folder, add, settings, code=1)]


def section(measured, runs, load):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], text=True, capture_output=True).stdout.strip() or "unknown"
    own = statistics.median(measured[0].took)
    table = "\n".join(f"| {each.what} | {each.part(0.5):.2f} | {each.part(0.99):.2f} | {statistics.median(each.took) / own:.2f} | {f'≤ {GOAL_MS}' if each is not measured[0] else ''} |"
                      for each in measured)
    return f"""{HEADING}
`./dev bench plugin --runs {runs} --write` measures this and writes this part: the runtime starts the plugin once for each pod that starts, ends or is looked at. From the start of the process until it has
ended, {runs} times each, in turns with `/bin/true`, which is what a process costs here. Measured {datetime.date.today()} at commit {commit}, Linux {platform.release()}, {os.cpu_count()} CPUs with a
load of {load:.1f} before it began. An ADD that finds no agent is refused as quickly, after the five seconds in which an agent that restarts may come back.

| what | p50, ms | p99, ms | p50 in units of `/bin/true` | goal, ms |
|---|---|---|---|---|
{table}
"""


def run(words):
    chosen = options(words)
    subprocess.run(["./dev", "build", "culvert-cni"], check=True, stdout=subprocess.DEVNULL)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        folder = pathlib.Path(name)
        listener.bind(str(folder / "agent.sock"))
        listener.listen()
        threading.Thread(target=refuse_all, args=[listener], daemon=True).start()
        measured = calls(folder, folder / "agent.sock")
        for _ in range(chosen.runs):
            for each in measured:
                each.run()
    text = section(measured, chosen.runs, load)
    print(text[text.index("| what"):], end="")
    if chosen.write:
        page.write_section(HEADING, text)
    return 0
