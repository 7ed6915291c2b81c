"""culvertd at scale: a real one on a real API server full of objects, with data planes by the thousand (tests/bench/nodes.cc).

The objects go straight into the API server's database, since it would take minutes to create them one by one, and no controllers run: nothing but culvertd
looks at them. Changes are made through the API, as anybody's would be.
"""
import argparse
import concurrent.futures
import contextlib
import datetime
import ipaddress
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import measure
import nodes as fleets

for folder in ("tests/kubernetes", "tests/integration/kubernetes"):
    sys.path.insert(0, folder)
import apiserver  # noqa: E402
import plane as planes  # noqa: E402

# Of all objects. The API server takes back the address of an older one whose Service it has not seen yet.
CREATED = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
PODS_OF_A_SERVICE = 20
NAMESPACES = 200
REVISION = "service.istio.io/canonical-revision"  # a label that becomes part of what is served


def options(words):
    parser = argparse.ArgumentParser(prog="./dev bench scale", description=__doc__.split("\n")[0])
    add = lambda name, value, what: parser.add_argument(f"--{name}", type=type(value), default=value, metavar="N", help=f"{what} ({value})")
    add("workloads", 10_000, "pods, the data planes' own among them")
    add("services", 5000, "of them")
    add("policies", 1000, "AuthorizationPolicies")
    add("nodes", 1000, "data planes")
    add("rate", 100, "changes a second")
    add("seconds", 8, "how long they go on, in each round")
    add("rounds", 3, "rounds")
    add("changes", 100, "changes one after the other")
    add("soak", 0, "minutes of churn at the end")
    add("log-level", "warn", "of culvertd")
    add("culvertd", "build/release/bin/culvertd", "the program, another one to compare with")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args(words)


HEADING = "\n## The control plane at scale\n"


INTRODUCTION = """
`./dev bench scale … --write` measures this and writes this part, a table for each size (`--help` lists what can be set). A real culvertd watches a real API
server, whose database is filled directly and which runs without controllers; the data planes are connections of one process, each with TLS, a token and a
stream of its own, all of one address. Nodes say what they hold as Culvert's ztunnel does, in sums ([ADR 26](adr/0026-sums-of-what-is-held.md)), and once as Istio's does. All share the machine with the API server, so that what nodes, API server and culvertd take is taken from each other. A change is a label
of a pod, from the moment the API server is asked for it until the last node has answered.
"""


def with_table(section, title, table):
    """The section with this table, in the place of what had its title before."""
    tables = dict(part.split("\n", 1) for part in section.split("\n### ")[1:])
    tables[title] = table
    return HEADING + INTRODUCTION + "".join(f"\n### {title}\n{table}" for title, table in sorted(tables.items()))


class Shape:
    """What is in the cluster. The first workloads are the nodes' ztunnels."""

    def __init__(self, workloads, services, policies, nodes):
        self.workloads, self.services, self.policies, self.nodes = workloads, services, policies, nodes

    @staticmethod
    def text(kind, api, namespace, name, more, labels=None, annotations=None):
        metadata = {"name": name, "uid": f"{kind}-{namespace}-{name}".lower(), "creationTimestamp": CREATED}
        metadata |= {"namespace": namespace} if namespace else {}
        metadata |= {"labels": labels} if labels else {}
        metadata |= {"annotations": annotations} if annotations else {}
        return json.dumps({"apiVersion": api, "kind": kind, "metadata": metadata, **more})

    @staticmethod
    def address(index):
        """Of a pod: below the addresses of services."""
        return str(ipaddress.IPv4Address("10.0.1.0") + index)

    @staticmethod
    def cluster_address(index):
        """Of a service, out of the API server's range (tests/kubernetes/lib.sh), whose first 256 it gives to those that it makes itself."""
        return str(ipaddress.IPv4Address("10.96.1.0") + index)

    def namespace(self, service):
        return f"ns-{service % NAMESPACES}"

    def pod_of(self, index):
        """(namespace, name, account, labels)"""
        if index < self.nodes:
            return "istio-system", f"ztunnel-{index:05}", "ztunnel", {"app": "ztunnel", "pod-template-generation": "1", "controller-revision-hash": "5f6d8b9c7d"}
        service = index % self.services
        return (self.namespace(service), f"app-{service}-5d4f8c7b9-{index:05}", f"app-{service}",
                {"app": f"app-{service}", "pod-template-hash": "5d4f8c7b9", "version": "v1", "tier": "backend"})

    def pod(self, index):
        namespace, name, account, labels = self.pod_of(index)
        container = {"name": "main", "image": f"registry.example.com/shop/{account}:1.27.3", "ports": [{"containerPort": 8080, "name": "http"}],
                     "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "LOG_LEVEL", "value": "info"}],
                     "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
        condition = lambda type: {"type": type, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        address = self.address(index)
        return f"/registry/pods/{namespace}/{name}", self.text(
            "Pod", "v1", namespace, name,
            {"spec": {"nodeName": f"node-{index % self.nodes}", "serviceAccountName": account, "containers": [container]},
             "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                        "conditions": [condition(type) for type in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
                        "startTime": "2026-01-01T00:00:00Z"}},
            labels, {"ambient.istio.io/redirection": "enabled"})

    def objects(self):
        """(key, text) pairs of all."""
        for index in range(NAMESPACES):
            yield f"/registry/namespaces/ns-{index}", self.text("Namespace", "v1", "", f"ns-{index}", {"status": {"phase": "Active"}},
                                                                {"kubernetes.io/metadata.name": f"ns-{index}", "istio.io/dataplane-mode": "ambient"})
        for index in range(self.nodes):
            yield f"/registry/minions/node-{index}", self.text(
                "Node", "v1", "", f"node-{index}", {"status": {"nodeInfo": {"kernelVersion": "6.12"}}},
                {"topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": f"z{index % 3}"})
        endpoints = {}
        for index in range(self.workloads):
            if index >= self.nodes:
                endpoints.setdefault(index % self.services, []).append(index)
            yield self.pod(index)
        for index in range(self.services):  # before the Services: else the API server says of these that their address is not allocated, and does so
            yield self.allocation(index)
        for index in range(self.services):
            yield from self.service(index, endpoints.get(index, []))
        for index in range(self.policies):
            service = index * (self.services // self.policies)
            namespace = self.namespace(service)
            yield f"/registry/security.istio.io/authorizationpolicies/{namespace}/only-{service}", self.text(
                "AuthorizationPolicy", "security.istio.io/v1", namespace, f"only-{service}",
                {"spec": {"selector": {"matchLabels": {"app": f"app-{service}"}}, "action": "ALLOW",
                          "rules": [{"from": [{"source": {"principals": [f"cluster.local/ns/{namespace}/sa/app-{service + 1}"]}}]}]}})

    def allocation(self, index):
        address = self.cluster_address(index)
        parent = {"group": "", "resource": "services", "namespace": self.namespace(index), "name": f"app-{index}"}
        return f"/registry/ipaddresses/{address}", self.text(
            "IPAddress", "networking.k8s.io/v1", "", address, {"spec": {"parentRef": parent}},
            {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"})

    def service(self, index, pods):
        namespace, name, address = self.namespace(index), f"app-{index}", self.cluster_address(index)
        yield f"/registry/serviceaccounts/{namespace}/{name}", self.text("ServiceAccount", "v1", namespace, name, {})
        yield f"/registry/services/specs/{namespace}/{name}", self.text(
            "Service", "v1", namespace, name,
            {"spec": {"clusterIP": address, "clusterIPs": [address], "selector": {"app": name}, "type": "ClusterIP",
                      "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]}})
        points = [{"addresses": [self.address(pod)], "conditions": {"ready": True, "serving": True, "terminating": False}, "nodeName": f"node-{pod % self.nodes}",
                   "targetRef": {"kind": "Pod", "namespace": namespace, "name": self.pod_of(pod)[1]}, "zone": f"z{pod % 3}"} for pod in pods]
        yield f"/registry/endpointslices/{namespace}/{name}-x7k2p", self.text(
            "EndpointSlice", "discovery.k8s.io/v1", namespace, f"{name}-x7k2p",
            {"addressType": "IPv4", "endpoints": points, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]},
            {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"})


class Cluster:
    """An API server that holds a Shape."""

    def __init__(self, api, shape):
        self.api, self.shape = api, shape
        for crds in sorted(pathlib.Path("build/release/crds").glob("*.yaml")):
            api.apply(crds.read_text())
        api.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crds", "--all")
        api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: ztunnel, namespace: istio-system}\n")
        self.account = api.account("culvertd", planes.RULES, "istio-system")
        api.store(shape.objects())
        self.admin = apiserver.Admin(api)
        self.next_change = 1

    def tokens(self, path):
        """One for each node's ztunnel, bound to its pod."""
        def request(index):
            pod = {"apiVersion": "v1", "kind": "Pod", "name": f"ztunnel-{index:05}", "uid": f"pod-istio-system-ztunnel-{index:05}"}
            return "/api/v1/namespaces/istio-system/serviceaccounts/ztunnel/token", {
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {"audiences": ["istio-ca"], "expirationSeconds": 7200, "boundObjectRef": pod}}
        answers = self.admin.each("POST", map(request, range(self.shape.nodes)))
        path.touch(mode=0o600)
        path.write_text("".join(f"{each['status']['token']} {each['spec']['boundObjectRef']['name']}\n" for each in answers))

    def change(self, connection):
        """One more pod says something else. Its number, and when it was asked for."""
        number = self.next_change
        self.next_change += 1
        count = self.shape.workloads - self.shape.nodes
        namespace, name, _, _ = self.shape.pod_of(self.shape.nodes + number * 7919 % count)
        began = time.monotonic_ns()
        self.admin.ask(connection, "PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}", {"metadata": {"labels": {REVISION: f"change-{number}"}}},
                       "application/merge-patch+json")
        return number, began


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


class Scale:
    def __init__(self, options):
        self.options = options
        self.rows = []

    def row(self, what, value, goal=""):
        self.rows.append((what, value, goal))
        print(f"  {what}: {value}" + (f"   (goal {goal})" if goal else ""), flush=True)

    def run(self):
        options = self.options
        self.load = os.getloadavg()[0]
        shape = Shape(options.workloads, options.services, options.policies, options.nodes)
        with contextlib.ExitStack() as stack:
            began = time.monotonic()
            api = stack.enter_context(apiserver.ApiServer("--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000", "--profiling=false", controllers=False))
            cluster = Cluster(api, shape)
            print(f"  ({options.workloads} pods in the API server after {time.monotonic() - began:.0f} s)", flush=True)
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            cluster.tokens(folder / "tokens")
            # All nodes have one address here, and may have as many connections that prove nothing yet as if each had its own.
            bounds = os.environ | {"CULVERT_MAX_UNPROVED_PER_ADDRESS": "1000"}
            self.plane = planes.Plane(options.culvertd, cluster.account, None, "--webhook-port=0", f"--log-level={options.log_level}", **bounds)
            began = time.monotonic()
            stack.enter_context(self.plane)
            self.plane.ready(120)
            size = f"{options.workloads:,} workloads"
            self.row(f"start of culvertd until it serves {size}, s", f"{time.monotonic() - began:.1f}")
            self.row(f"resident with {size} and no node, MiB", f"{self.plane.memory()}")
            self.nodes = fleets.Nodes("build/release/bin/nodes", f"127.0.0.1:{self.plane.serving}", f"{self.plane.data}/root-cert.pem", folder / "tokens")
            stack.callback(self.nodes.close)
            self.measure(cluster)

    def measure(self, cluster):
        cold = self.nodes.do("cold", 1)
        self.row("one node begins with nothing, s", f"{cold['seconds']:.2f}, {cold['resources']:,} resources, {cold['bytes'] / 2**20:.1f} MiB")
        self.come("come for the first time and hold all", "connect", self.options.nodes)
        self.row(f"resident with {self.options.nodes} nodes, MiB", f"{self.plane.memory()}", "≤ 400 for 100,000 workloads")
        self.idle(cluster)
        self.busy(cluster)
        for _ in range(self.options.rounds):
            self.come("come again, at once", "again")
        self.after()
        self.come("come again, at once, as Istio's ztunnel does: with the version of each resource", "versions")
        self.after()
        if self.options.soak:
            self.soak(cluster)

    def come(self, what, *words):
        of_all = [[self.plane.process.pid], [self.nodes.process.pid]]
        used, machine = [measure.process_cpu(each) for each in of_all], measure.machine_cpu()
        said = self.nodes.do(*words)
        used, machine = [measure.process_cpu(each) - before for each, before in zip(of_all, used)], measure.machine_cpu() - machine
        print(f"    ({used[1]:.1f} CPU-seconds of the nodes; the machine was busy with {machine / said['seconds']:.2f} of {os.cpu_count()} cores)", flush=True)
        if said["ended"]:
            print(f"    ({said['ended']} tries failed, the last one by {said['last_end']})", flush=True)
        self.row(f"{self.options.nodes} nodes {what}: s; CPU-seconds of culvertd; resources sent again",
                 f"{said['seconds']:.1f}; {used[0]:.1f}; {said['resources'] + said['removed']}", "≤ 5; ; 0")

    def after(self):
        """What is resident when nodes have come again; the second time it has looked twice at what could go back."""
        at_once = self.plane.memory()
        time.sleep(12)
        self.row("resident after that: at once, and when what is not used has gone back, MiB", f"{at_once}, {self.plane.memory()}")

    def latencies(self, asked, seconds):
        """Of each change until the last node had it, and of every node with every change, as far as the nodes tell; in ms."""
        self.nodes.wait("the changes", lambda: all(number in self.nodes.changes for number, _ in asked), seconds)
        seen = [(self.nodes.changes[number], began) for number, began in asked]
        return [(said["last"] - began) / 1e6 for said, began in seen], [(at - began) / 1e6 for said, began in seen for at in said["at"]]

    def say_latencies(self, when, took):
        """`took`: what latencies() gave, again and again."""
        for whose, values in (("a node has it, over all nodes and changes", [each for _, pairs in took for each in pairs]),
                              (f"the last of {self.options.nodes} nodes has it", [each for last, _ in took for each in last])):
            self.row(f"change asked for until {whose}, {when}: p50, p99, most, ms",
                     f"{percentile(values, .5):.1f}, {percentile(values, .99):.1f}, {max(values):.1f}", "≤ 20, ≤ 100")

    def idle(self, cluster):
        connection, took = cluster.admin.connect(), []
        for _ in range(self.options.changes):
            took.append(self.latencies([cluster.change(connection)], 30))
        self.say_latencies("at idle", took)

    def churn(self, cluster, seconds, rate):
        """Changes at a steady rate, whatever becomes of them. [(number, when)]"""
        threads, asked = 4, []
        start = time.monotonic()

        def work(offset):
            connection = cluster.admin.connect()
            for turn in range(offset, int(seconds * rate), threads):
                if (wait := start + turn / rate - time.monotonic()) > 0:
                    time.sleep(wait)
                asked.append(cluster.change(connection))
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            for worker in [pool.submit(work, offset) for offset in range(threads)]:
                worker.result()
        return asked

    def busy(self, cluster):
        took, used = [], []
        for _ in range(self.options.rounds):
            cpu, machine, began = measure.process_cpu([self.plane.process.pid]), measure.machine_cpu(), time.monotonic()
            asked = self.churn(cluster, self.options.seconds, self.options.rate)
            lasted = time.monotonic() - began
            used.append((measure.process_cpu([self.plane.process.pid]) - cpu) / lasted)
            print(f"    ({len(asked) / lasted:.0f} changes/s; the machine was busy with {(measure.machine_cpu() - machine) / lasted:.2f} of {os.cpu_count()} cores)", flush=True)
            took.append(self.latencies(asked, 60))
        self.say_latencies(f"at {self.options.rate} changes/s", took)
        self.row(f"CPU of culvertd at {self.options.rate} changes/s to {self.options.nodes} nodes, cores", measure.Spread.of(used).text(), "≤ 1")
        self.row("resident while that goes on, MiB", f"{self.plane.memory()}")

    def soak(self, cluster):
        """Pods change, and a part of the nodes come again each minute: what it has in memory stays what it is."""
        seen, began = [], time.monotonic()
        while (minutes := (time.monotonic() - began) / 60) < self.options.soak:
            self.churn(cluster, 20, self.options.rate)
            self.nodes.do("again")
            seen.append((minutes, measure.anonymous_memory(self.plane.process.pid) / 2**20))
            print(f"    ({seen[-1][0]:.1f} min: {seen[-1][1]:.1f} MiB)", flush=True)
        late = [each for each in seen if each[0] >= seen[-1][0] / 3]  # the first third is for what fills up once
        slope = statistics.linear_regression(*zip(*late)).slope * 60 if len(late) > 2 else 0.0
        points = ", ".join(f"{seen[(len(seen) - 1) * part // 4][1]:.0f}" for part in range(5))
        self.row(f"{self.options.soak} minutes of changes and of nodes that come again: memory from the first to the last, MiB; MiB more each hour",
                 f"{points}; {slope:+.1f}", "0")

    def table(self):
        """Of docs/performance.md: a title, and what stands under it."""
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], text=True, capture_output=True).stdout.strip() or "unknown"
        table = "\n".join(f"| {what} | {value} | {goal} |" for what, value, goal in self.rows)
        words = " ".join(f"--{name} {getattr(self.options, name)}" for name in ("workloads", "services", "policies", "nodes", "soak"))
        return f"{self.options.workloads:,} workloads, {self.options.nodes:,} nodes", f"""
`./dev bench scale {words} --write`, measured {datetime.date.today()} at commit {commit} on {os.cpu_count()} cores with a load of
{self.load:.1f} before it began and of {os.getloadavg()[1]:.1f} when it was done (what is above {os.cpu_count()} waits; the measurement itself makes about 4).

| what | here | goal |
|---|---|---|
{table}
"""
