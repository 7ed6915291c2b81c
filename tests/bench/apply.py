"""New connections while a ztunnel takes in a whole mesh: what they wait for that before were there alone.

A world of two nodes. culvertd is stopped, many workloads are written into its folder, and it is started again: both ztunnels get all of it at once, while a
client of the mesh connects, asks and closes, one connection after the other. culvertd, both ztunnels, client and server share the machine's cores.
"""
import argparse
import concurrent.futures
import contextlib
import datetime
import os
import pathlib
import platform
import subprocess
import tempfile
import threading
import time

import fill
import measure
import page
import world as worlds

HEADING = "\n## Connections while a mesh is taken in\n"
GOAL = 2  # p99 while it is taken in, in units of the p99 before


def options(words):
    parser = argparse.ArgumentParser(prog="./dev bench apply", description=__doc__.split("\n")[0])
    parser.add_argument("--workloads", type=int, default=100_000, metavar="N", help="pods that are taken in (100000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="each in a world of its own (3)")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args(words)


def connect(world, seconds):
    """A client that connects, asks and closes, again and again: (when it began, microseconds) of each."""
    run = subprocess.run(world.command("mesh", "churn", 1, seconds, "each"), capture_output=True, text=True)
    lines = run.stdout.splitlines()
    if run.returncode or '"errors":0' not in lines[-1]:
        raise RuntimeError(f"connections failed: {lines[-1:]} {run.stderr}")
    return [tuple(map(float, line.split())) for line in lines[:-1]]


@contextlib.contextmanager
def connecting(world):
    """The same while the block runs. What it gives is whole once the block has ended."""
    took, over = [], threading.Event()

    def go_on():
        while not over.is_set():
            took.extend(connect(world, 1))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        ended = pool.submit(go_on)
        try:
            yield took
        finally:
            over.set()
        ended.result()


def percentile(values, part):
    return sorted(values)[int(part * (len(values) - 1))]


def still(pids):
    """Once these processes compute no more."""
    used = None
    while (now := measure.process_cpu(pids)) != used:
        used = now
        time.sleep(0.5)


def write_workloads(world, count):
    """Into the folder that the world's programs read, which they see in a mount namespace of their own."""
    config = pathlib.Path(f"/proc/{world.pids('culvert-node')[0]}/root/run/culvert.world/config")
    with tempfile.TemporaryDirectory() as name:
        written = pathlib.Path(name) / "config"
        fill.write_folder(written, count)
        for file in written.iterdir():
            (config / file.name).write_text(file.read_text())


def ran(pid):
    """Seconds that the main thread of a process has run: of a ztunnel, the one that takes in what culvertd sends."""
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def watch(world):
    words = [worlds.CULVERT, "wait", "--all", "--timeout", "100s", "--world", world.name]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def taken_in(world, ztunnels):
    """From when to when they took it in: all but the first and the last hundredth of what their main threads did until all is in force."""
    waiting = watch(world)
    seen = []  # (when, seconds run since)
    before = sum(map(ran, ztunnels))
    while (code := waiting.poll()) != 0:
        if code is not None:  # 1: culvertd does not answer yet; 4: nobody is connected yet
            waiting = watch(world)
        seen.append((time.monotonic(), sum(map(ran, ztunnels)) - before))
        time.sleep(0.01)
    all_of_it = seen[-1][1]
    return next(at for at, run in seen if run > 0.01 * all_of_it), next(at for at, run in seen if run >= 0.99 * all_of_it)


def one_round(workloads):
    """Microseconds of each connection before, and meanwhile; seconds of meanwhile."""
    with worlds.up("apply") as world:
        world.culvert("stop", "culvertd")
        write_workloads(world, workloads)
        still(world.pids("culvert-node"))
        alone = [took for _, took in connect(world, 5)]
        with connecting(world) as connections:
            world.culvert("start", "culvertd")
            begin, end = taken_in(world, world.pids("ztunnel"))
        meanwhile = [took for at, took in connections if begin <= at < end]
    if not meanwhile:
        raise RuntimeError("no connection began meanwhile")
    return alone, meanwhile, end - begin


def line(what, values, digits=0, goal=""):
    return f"| {what} | {measure.Spread.of(values).text(digits)} | {goal} |\n"


def section(rounds, chosen, load):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], text=True, capture_output=True).stdout.strip() or "unknown"
    table = line("a connection before: p50, µs", [percentile(before, 0.5) for before, _, _ in rounds])
    table += line("a connection before: p99, µs", [percentile(before, 0.99) for before, _, _ in rounds])
    table += line("a connection meanwhile: p50, µs", [percentile(during, 0.5) for _, during, _ in rounds])
    table += line("a connection meanwhile: p99, µs", [percentile(during, 0.99) for _, during, _ in rounds])
    table += line("the slowest connection meanwhile, µs", [max(during) for _, during, _ in rounds])
    table += line("p99 meanwhile, in units of the p99 before", [percentile(during, 0.99) / percentile(before, 0.99) for before, during, _ in rounds], 2, f"≤ {GOAL}")
    table += line("from the first that the two ztunnels do about it until all is in force, s", [took for _, _, took in rounds], 2)
    return f"""{HEADING}
`./dev bench apply --workloads {chosen.workloads} --rounds {chosen.rounds} --write` measures this and writes this part. A client of the mesh connects, asks for 1 KiB and closes, one connection after the other, to a server on
another node, while both nodes' ztunnels get {chosen.workloads:,} workloads at once. culvertd, both ztunnels, client and server share the machine. Measured {datetime.date.today()} at commit {commit},
Linux {platform.release()}, {os.cpu_count()} CPUs with a load of {load:.1f} before it began; the median of {chosen.rounds} worlds, with the smallest and the largest.

| what | here | goal |
|---|---|---|
{table}"""


def run(words):
    chosen = options(words)
    subprocess.run(["./dev", "build", "culvert", "culvertd", "culvert-node", "ztunnel", "load"], check=True, stdout=subprocess.DEVNULL)
    load = os.getloadavg()[0]
    text = section([one_round(chosen.workloads) for _ in range(chosen.rounds)], chosen, load)
    print(text[text.index("| what"):], end="")
    if chosen.write:
        page.write_section(HEADING, text)
    return 0
