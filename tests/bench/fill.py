"""One culvertd and one ztunnel that know many workloads: what it costs each to take them in, and to hold them.

culvertd reads a folder, so no API server has a part in it. The ztunnel has no pods of its own; it gets every workload, as each ztunnel of a cluster does.
"""
import argparse
import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

import measure

PODS_OF_A_NAMESPACE = 100
BIN = pathlib.Path("build/release/bin")
TOKEN = "token-of-the-only-node-that-there-is"
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {{name: {name}, labels: {{istio.io/dataplane-mode: ambient}}}}
"""
POD = """---
apiVersion: v1
kind: Pod
metadata: {{name: web-{pod}, namespace: {name}, uid: "{name}-{pod}", labels: {{app: web}}, annotations: {{ambient.istio.io/redirection: enabled}}}}
spec: {{nodeName: node-{node}, serviceAccountName: web, containers: [{{name: web, image: web}}]}}
status: {{phase: Running, podIP: "{address}", podIPs: [{{ip: "{address}"}}], conditions: [{{type: Ready, status: "True"}}]}}
"""
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {name}}}
spec: {{clusterIP: "{address}", selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
"""


def options(words):
    parser = argparse.ArgumentParser(prog="./dev bench fill", description=__doc__.split("\n")[0])
    parser.add_argument("--workloads", type=int, default=100_000, metavar="N", help=f"pods, {PODS_OF_A_NAMESPACE} to a namespace, which has one service (100000)")
    return parser.parse_args(words)


def write_folder(folder, workloads):
    folder.mkdir()
    for space in range(workloads // PODS_OF_A_NAMESPACE):
        name, text = f"space-{space}", []
        text.append(NAMESPACE.format(name=name))
        text.append(SERVICE.format(name=name, address=f"10.96.{space // 250}.{space % 250 + 1}"))
        for pod in range(PODS_OF_A_NAMESPACE):
            number = space * PODS_OF_A_NAMESPACE + pod
            text.append(POD.format(name=name, pod=pod, node=number % 1000, address=f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
        (folder / f"{name}.yaml").write_text("".join(text))


@contextlib.contextmanager
def started(folder, name, words, environment):
    with open(folder / f"{name}.log", "w") as log, subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | environment) as process:
        try:
            yield process
        finally:
            process.kill()


def culvert_waits(programs):
    """Until the ztunnel has everything in force, whatever it takes."""
    words = [BIN / "culvert", "wait", "--all", "--timeout", "600s", "--url", "http://127.0.0.1:15014"]
    while subprocess.run(words, capture_output=True).returncode:  # 1: nobody listens yet; 4: nobody is connected yet
        assert all(program.poll() is None for program in programs), "a program has ended"
        time.sleep(0.05)


def most_resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def at_rest(pid):
    """What is resident once it goes down no more: what is unused goes back little by little."""
    least, since = measure.resident_memory(pid), time.monotonic()
    while time.monotonic() < since + 10:
        time.sleep(0.2)
        if (now := measure.resident_memory(pid)) < least:
            least, since = now, time.monotonic()
    return least


def run(words):
    workloads = options(words).workloads
    subprocess.run(["./dev", "build", "culvert", "culvertd", "ztunnel"], check=True, stdout=subprocess.DEVNULL)
    os.unshare(os.CLONE_NEWNET)  # the ports are those of a node
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_folder(folder / "config", workloads)
        tokens, token, data = folder / "tokens", folder / "token", folder / "data"
        for path, text in ((tokens, f"{TOKEN} node-0\n"), (token, TOKEN)):
            path.touch(mode=0o600)
            path.write_text(text)
        roots = str(data / "root-cert.pem")
        plane = [BIN / "culvertd", f"--config-dir={folder}/config", f"--data-dir={data}", f"--tokens={tokens}"]
        proxy = {"NODE_NAME": "node-0", "POD_NAME": "ztunnel-0", "POD_NAMESPACE": "istio-system", "INPOD_UDS": str(folder / "nobody.sock"), "AUTH_TOKEN": str(token),
                 "XDS_ROOT_CA": roots, "CA_ROOT_CA": roots, "ZTUNNEL_WORKER_THREADS": "2"}
        with started(folder, "culvertd", plane, {"LOG_LEVEL": "warn"}) as culvertd, started(folder, "ztunnel", [BIN / "ztunnel"], proxy) as ztunnel:
            programs = {"culvertd": culvertd, "ztunnel": ztunnel}
            culvert_waits(programs.values())
            cpu = {name: measure.process_cpu([program.pid]) for name, program in programs.items()}
            print(f"{workloads} workloads, {workloads // PODS_OF_A_NAMESPACE} services, one ztunnel with two workers")
            for name, program in programs.items():
                print(f"  {name}: {cpu[name]:.1f} s of CPU until all of it is in force; resident {at_rest(program.pid) / 2**20:.0f} MiB, "
                      f"{most_resident(program.pid) / 2**20:.0f} MiB at most", flush=True)
    return 0
