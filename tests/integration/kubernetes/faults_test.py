#!/usr/bin/env python3
"""What a cluster can do to culvertd: objects that no API server should have stored, objects in thousands, an API server that is slow, that cuts a watch in
the middle of an event or has forgotten the past, a hostile peer at the webhook, a disk that is full. Each time it says what is wrong, goes on with the rest,
and has what is right in the end.
Usage: faults_test.py CULVERTD CRDS NODES [STEP...]"""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

import nodes
from apiserver import Admin, ApiServer, Refused
from plane import RULES, Plane, Road, eventually

LOOSE = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: @PLURAL@.@GROUP@}
spec:
  group: @GROUP@
  scope: Namespaced
  names: {plural: @PLURAL@, kind: @KIND@}
  versions: [{name: v1, served: true, storage: true, subresources: {status: {}}, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
"""
KINDS = {"AuthorizationPolicy": ("security.istio.io", "authorizationpolicies"), "PeerAuthentication": ("security.istio.io", "peerauthentications"),
         "ServiceEntry": ("networking.istio.io", "serviceentries"), "VirtualService": ("networking.istio.io", "virtualservices"),
         "WorkloadEntry": ("networking.istio.io", "workloadentries")}


def custom(kind, name, spec, namespace="bad"):
    return json.dumps({"apiVersion": f"{KINDS[kind][0]}/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


DENY = {"action": "DENY", "rules": [{"from": [{"source": {"namespaces": ["x"]}}]}]}


def condition(api, kind, name, type, namespace="bad"):
    status = api.get(kind, name, "-n", namespace).get("status", {})
    return next((f"{each['status']} {each['reason']}: {each['message']}" for each in status.get("conditions", ()) if each["type"] == type), "")


def works(api, plane, name):
    """A policy that is applied now is in force soon: nobody was stopped by anything."""
    api.apply(custom("AuthorizationPolicy", name, DENY, "good"))
    eventually(f"{name} is in force", lambda: f"AuthorizationPolicy good/{name}" in plane.objects(), 20)
    assert plane.alive()


def bad_objects(api, plane):
    big = {"action": "DENY", "rules": [{"from": [{"source": {"principals": [f"cluster.local/ns/n/sa/{number:040}" for number in range(15000)]}}]}]}
    assert len(json.dumps(big)) > 900_000
    entry = {"hosts": [f"h{number}.example" for number in range(10_000)], "ports": [{"number": 80, "name": "http"}], "resolution": "DNS"}
    objects = [("AuthorizationPolicy", "enum", {"action": "DENI"}), ("AuthorizationPolicy", "type", {"rules": 7}),
               ("AuthorizationPolicy", "unknown", {"rulez": []}), ("AuthorizationPolicy", "deep", {"rules": [nested(300)]}),
               ("AuthorizationPolicy", "big", big), ("AuthorizationPolicy", "nothing", {**DENY, "selector": {"matchLabels": {"app": "nobody"}}}),
               ("ServiceEntry", "hosts", entry), ("PeerAuthentication", "text", "STRICT"),
               ("ServiceEntry", "twin-a", {"hosts": ["t.example"], "addresses": ["240.0.0.1"], "ports": [{"number": 80, "name": "a"}], "resolution": "STATIC"}),
               ("ServiceEntry", "twin-b", {"hosts": ["t.example"], "addresses": ["240.0.0.1"], "ports": [{"number": 80, "name": "a"}], "resolution": "STATIC"}),
               ("ServiceEntry", "rule", {"hosts": ["r.example"], "ports": [{"number": 80, "name": "a"}], "endpoints": [{"address": "192.0.2.8"}]}),
               ("WorkloadEntry", "vm-a", {"address": "192.0.2.7"}), ("WorkloadEntry", "vm-b", {"address": "192.0.2.7"}),
               ("VirtualService", "loop-a", {"hosts": ["l.example"], "http": [{"delegate": {"name": "loop-b"}}]}),
               ("VirtualService", "loop-b", {"http": [{"delegate": {"name": "loop-a"}}]}),
               ("VirtualService", "loop-self", {"hosts": ["s.example"], "http": [{"delegate": {"name": "loop-self"}}]})]
    for kind, name, spec in objects:
        api.kubectl("create", "-f", "-", input=custom(kind, name, spec))
    for name, value in (("numbers", {"metadata": {"name": "numbers", "namespace": "bad", "uid": "u-1", "generation": "many", "labels": [1]}}),
                        ("names", {"metadata": {"name": "other", "namespace": "else", "uid": "u-2"}, "spec": DENY})):
        api.store([(f"/registry/security.istio.io/authorizationpolicies/bad/{name}",
                    json.dumps({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", **value}))])
    for kind, name, type, start in (("authorizationpolicy", "enum", "ZtunnelAccepted", "False Invalid: spec.action: unknown value"),
                                    ("authorizationpolicy", "type", "ZtunnelAccepted", "False Invalid: spec.rules: "),
                                    ("authorizationpolicy", "unknown", "ZtunnelAccepted", "False Invalid: spec.rulez: unknown field (did you mean rules?)"),
                                    ("authorizationpolicy", "deep", "ZtunnelAccepted", "False Invalid: nested too deeply"),
                                    ("authorizationpolicy", "big", "ZtunnelAccepted", "True Accepted: attached to ztunnel"),
                                    ("authorizationpolicy", "nothing", "ZtunnelAccepted", "True Accepted: attached to ztunnel, bound to 0 workloads; "),
                                    ("serviceentry", "hosts", "Accepted", "False Invalid: spec.hosts"),
                                    ("peerauthentication", "text", "Accepted", "False Invalid: spec: "),
                                    ("authorizationpolicy", "numbers", "ZtunnelAccepted", "True Accepted: attached to ztunnel"),
                                    ("serviceentry", "rule", "Accepted", "False Invalid: spec: resolution NONE has no endpoints"),
                                    ("serviceentry", "twin-a", "Accepted", "True Accepted: valid; resolution STATIC without"),
                                    ("serviceentry", "twin-b", "Accepted", "True Accepted: valid; spec.hosts: t.example is left out: it belongs to ServiceEntry bad/twin-a"),
                                    ("workloadentry", "vm-a", "Accepted", "True Accepted: valid; spec.address: 192.0.2.7 is the address of WorkloadEntry bad/vm-b as well"),
                                    ("workloadentry", "vm-b", "Accepted", "True Accepted: valid; spec.address: 192.0.2.7 is the address of WorkloadEntry bad/vm-a as well"),
                                    ("virtualservice", "loop-a", "Accepted",
                                     "True Accepted: valid; spec.http[0].delegate: VirtualService bad/loop-b delegates back to this one"),
                                    ("virtualservice", "loop-b", "Accepted", "True Accepted: valid; spec.http[0].delegate: without spec.hosts"),
                                    ("virtualservice", "loop-self", "Accepted", "True Accepted: valid; spec.http[0].delegate: is this VirtualService itself"),
                                    ("virtualservice", "loop-a", "culvert.dev/Enforced", "False NotEnforcedYet"),
                                    ("virtualservice", "loop-self", "culvert.dev/Enforced", "False NotEnforcedYet")):
        eventually(f"{name}: {start}", lambda: condition(api, kind, name, type).startswith(start) or print(condition(api, kind, name, type)), 20)
    log = plane.log()
    for said in ("AuthorizationPolicy bad/enum: spec.action", "AuthorizationPolicy bad/type: spec.rules", "AuthorizationPolicy bad/unknown: spec.rulez",
                 "AuthorizationPolicy bad/deep", "ServiceEntry bad/hosts: spec.hosts", "PeerAuthentication bad/text: spec",
                 "ServiceEntry bad/rule: cannot be read and is left out",
                 "ServiceEntry bad/twin-b: spec.hosts: t.example is left out: it belongs to ServiceEntry bad/twin-a",
                 "ServiceEntry bad/twin-a: spec.addresses: 240.0.0.1 is written by ServiceEntry bad/twin-b as well",
                 "WorkloadEntry bad/vm-b: spec.address: 192.0.2.7 is the address of WorkloadEntry bad/vm-a as well",
                 "AuthorizationPolicy bad/nothing: spec.selector selects no pod", "AuthorizationPolicy bad/enum: cannot be read and there is no good version"):
        assert said in log, said
    assert "AuthorizationPolicy else/other" in plane.objects()  # what it says of itself counts, wherever it was found
    works(api, plane, "beside-the-bad")
    eventually("what was bad is mended", lambda: api.apply(custom("AuthorizationPolicy", "enum", DENY)) and
               condition(api, "authorizationpolicy", "enum", "ZtunnelAccepted").startswith("True Accepted"))
    api.kubectl("delete", "workloadentry", "vm-b", "-n", "bad", "--wait=false")
    eventually("who has the address alone says nothing of it", lambda: condition(api, "workloadentry", "vm-a", "Accepted") == "True Accepted: valid")
    for kind, name, _ in objects:
        if name == "vm-b":
            continue
        api.kubectl("delete", kind, name, "-n", "bad", "--wait=false")


def no_object(api, plane):
    """What is no JSON in the database keeps its whole collection from being listed: what was in force stays, other kinds go on, and the log says which and why."""
    key = "/registry/security.istio.io/authorizationpolicies/bad/garbage"
    api.apply(custom("AuthorizationPolicy", "before", DENY, "good"))
    eventually("in force", lambda: "AuthorizationPolicy good/before" in plane.objects())
    api.store([(key, "{ this is no object")])
    eventually("said", lambda: re.search(r"(list|watch) authorizationpolicies.security.istio.io: .*(decode|garbage|invalid character)", plane.log()) or
               print(plane.log()[-3000:]), 30)
    api.apply(custom("PeerAuthentication", "meanwhile", {"mtls": {"mode": "STRICT"}}, "good"))
    eventually("other kinds go on", lambda: "PeerAuthentication good/meanwhile" in plane.objects(), 20)
    assert "AuthorizationPolicy good/before" in plane.objects()
    api.store([(key, None)])
    works(api, plane, "after-the-garbage")


def a_storm(api, plane):
    """10,000 pods at once: known in the end, and counted with few writes."""
    api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: storm}\n")
    api.apply(custom("AuthorizationPolicy", "all", DENY, "storm"))
    eventually("its service account", lambda: "default" in api.kubectl("get", "serviceaccounts", "-n", "storm", "-o", "name"))
    before, writes = plane.memory(), plane.metric("culvert_status_written_total")
    pod = lambda number: {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p-{number}", "namespace": "storm", "annotations": {"ambient.istio.io/redirection": "enabled"}},
                          "spec": {"automountServiceAccountToken": False, "nodeName": "n1", "containers": [{"name": "c", "image": "culvert.test/none"}]}}
    began = time.monotonic()
    Admin(api).each("POST", (("/api/v1/namespaces/storm/pods", pod(number)) for number in range(10_000)))
    took = time.monotonic() - began
    works(api, plane, "in-the-storm")
    eventually("all are counted", lambda: "bound to 10000 workloads" in condition(api, "authorizationpolicy", "all", "ZtunnelAccepted", "storm"), 40)
    writes = plane.metric("culvert_status_written_total") - writes
    print(f"  10,000 pods in {took:.0f} s, {plane.memory() - before} MiB more, {writes:.0f} statuses written", flush=True)
    assert writes < 40 and plane.memory() < 500
    api.kubectl("delete", "namespace", "storm", "--wait=false")


def slow(api, plane, road):
    road.delay, road.rate = 0.2, 100_000
    works(api, plane, "slowly")
    api.kubectl("delete", "authorizationpolicy", "slowly", "-n", "good")
    eventually("gone", lambda: "AuthorizationPolicy good/slowly" not in plane.objects(), 20)
    eventually("said", lambda: condition(api, "authorizationpolicy", "beside", "ZtunnelAccepted", "good").startswith("True"), 20)
    road.delay = road.rate = 0


def cut(api, plane, road):
    """Connections end in the middle of an event, again and again: nothing is lost, nothing is half read."""
    before = len(plane.log())
    road.close()
    road.reopen()
    road.cut_after = 40_000
    for number in range(30):
        api.apply(custom("AuthorizationPolicy", f"cut-{number % 5}", {**DENY, "selector": {"matchLabels": {"app": "x" * 60, "round": f"r{number}"}},
                                                                      "rules": [{"from": [{"source": {"namespaces": [f"n{each}" for each in range(2000)]}}]}]}, "good"))
        time.sleep(0.1)
    road.cut_after = 0
    road.close()
    road.reopen()
    for number in range(5):
        api.kubectl("delete", "authorizationpolicy", f"cut-{number}", "-n", "good") if number < 2 else None
    eventually("what is left", lambda: {f"AuthorizationPolicy good/cut-{number}" for number in range(2, 5)} == {
        each for each in plane.objects() if "/cut-" in each}, 40)
    assert road.cuts > 5, road.cuts
    for half_read in ("JSON", "is no Lease"):
        assert half_read not in plane.log()[before:], half_read
    print(f"  {road.cuts} connections were cut", flush=True)
    works(api, plane, "after-the-cuts")


def forgotten(api, plane, road):
    """Away for longer than the API server remembers: what was there stays in force, and what has gone meanwhile goes."""
    api.apply(custom("AuthorizationPolicy", "goes", DENY, "good"))
    eventually("is there", lambda: "AuthorizationPolicy good/goes" in plane.objects())
    road.close()
    api.kubectl("delete", "authorizationpolicy", "goes", "-n", "good")
    api.apply(custom("AuthorizationPolicy", "comes", DENY, "good"))
    for number in range(8):  # compacted every two seconds, while things happen
        api.kubectl("annotate", "namespace", "good", f"n={number}", "--overwrite")
        time.sleep(1)
    assert "AuthorizationPolicy good/goes" in plane.objects() and plane.page("/ready") == "ready\n"
    before = lists(api, "authorizationpolicies")
    road.reopen()
    eventually("as it is now", lambda: "AuthorizationPolicy good/comes" in plane.objects() and "AuthorizationPolicy good/goes" not in plane.objects(), 60)
    assert lists(api, "authorizationpolicies") > before, "it went on from where it was: nothing was forgotten"


def lists(api, plural):
    """How often the API server has listed them, in pages or as a stream: a watch that goes on needs neither."""
    lines = [line for line in api.kubectl("get", "--raw", "/metrics").splitlines() if f'resource="{plural}"' in line]
    return sum(float(line.split()[-1]) for line in lines if line.startswith("apiserver_watch_list_duration_seconds_count{")
               or line.startswith("apiserver_request_total{") and 'verb="LIST"' in line)


def hostile(api, culvertd):
    """Whoever reaches the webhook can hold connections, send without an end or slowly: policies are reviewed all the same."""
    port = 15717
    account = api.account("hooked", RULES, "istio-system")
    with Plane(culvertd, account, None, f"--webhook-port={port}", f"--webhook-url=https://127.0.0.1:{port}/validate") as plane:
        plane.ready()
        eventually("registered", lambda: "denied the request" in refusal(api, {"action": "DENI"}), 40)
        said = refusal(api, {"action": "DENI"})
        assert "spec.action: unknown value" in said, said
        warned = warnings(api, "AuthorizationPolicy", {**DENY, "selector": {"matchLabels": {"app": "nobody"}}}, "good")
        assert "Warning: spec.selector selects no pod" in warned, warned
        warned = warnings(api, "AuthorizationPolicy", {}, "istio-system")
        assert "no connection in the WHOLE MESH is allowed" in warned, warned
        warned = warnings(api, "VirtualService", {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}}]}]}, "good")
        assert "enforces nothing of it yet" in warned, warned

        held = [dial(f"127.0.0.{2 + number % 3}", port) for number in range(150)]  # shake no hands
        review(api)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        talking = []
        for number in range(150):
            try:
                talking.append(context.wrap_socket(dial(f"127.0.0.{5 + number % 3}", port), server_hostname="x"))
            except OSError:
                continue  # turned away
        assert len(talking) >= 100, len(talking)
        for each in talking:
            say(each, b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n")
        review(api)
        for _ in range(16):  # all of them at once would be more than a gigabyte
            for each in talking:
                say(each, b" " * 500_000)
        review(api)
        assert plane.memory() < 400, plane.memory()
        large = context.wrap_socket(dial("127.0.0.9", port), server_hostname="x")
        say(large, b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
        assert large.recv(1) == b"", "more than an object can have"
        eventually("turned away", lambda: plane.metric("culvert_webhook_turned_away_total") > 50)
        for each in held + talking:
            each.close()
        review(api)
        print(f"  {plane.metric('culvert_webhook_turned_away_total'):.0f} were turned away, {plane.memory()} MiB", flush=True)
    api.kubectl("delete", "validatingwebhookconfiguration", "culvert-validator")


def dial(source, port):
    return socket.create_connection(("127.0.0.1", port), 5, (source, 0))


def say(stream, data):
    try:
        stream.settimeout(2)
        stream.sendall(data)
    except OSError:
        pass  # cut off


def refusal(api, spec, namespace="good"):
    try:
        api.kubectl("apply", "--dry-run=server", "-f", "-", input=custom("AuthorizationPolicy", "reviewed", spec, namespace))
    except Refused as error:
        return str(error)
    return ""


def warnings(api, kind, spec, namespace):
    run = subprocess.run([api.folder / "kubectl", "apply", "--dry-run=server", "-f", "-"], input=custom(kind, "reviewed", spec, namespace),
                         capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    return run.stderr


def review(api):
    began = time.monotonic()
    said = refusal(api, {"action": "DENI"})
    assert "unknown value" in said, said
    assert not refusal(api, DENY)
    print(f"  reviewed within {time.monotonic() - began:.1f} s", flush=True)


def a_full_disk(api, culvertd):
    """No room for the certificate: it says so. It goes on with a certificate that is there, and starts as soon as there is room when there is none."""
    account = api.account("full", RULES, "istio-system")
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        data.mkdir(mode=0o700)
        mount = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=64k,mode=700 x {data} && {{ [ -z "$FILL" ] || head -c 1M /dev/zero >{data}/filler; }} 2>/dev/null; exec "$@"', "sh"]
        with Plane(culvertd, account, None, data=data, wrap=mount, PATH=os.environ["PATH"], FILL="1") as plane:
            eventually("it ends", lambda: not plane.alive(), 20)
            last = plane.log().strip().splitlines()[-1]
            assert plane.process.returncode == 1 and last.startswith("culvertd: ") and "No space left on device" in last and str(data) in last, last
        with Plane(culvertd, account, None, data=data, wrap=mount, PATH=os.environ["PATH"]) as plane:
            plane.ready()
            (pathlib.Path(f"/proc/{plane.process.pid}/root{data}") / "filler").write_bytes(b"x" * 1000)
            fill(plane, data)
            works(api, plane, "on-a-full-disk")


def fill(plane, data):
    try:
        with open(f"/proc/{plane.process.pid}/root{data}/more", "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
    except OSError as error:
        assert error.errno == 28, error


def ztunnels(api, count, path):
    """Nodes, the pods of their ztunnels, and a file with the tokens of these."""
    api.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: ztunnel, namespace: istio-system}\n")
    admin = Admin(api)
    pods = admin.each("POST", (("/api/v1/namespaces/istio-system/pods", {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"ztunnel-{number}", "namespace": "istio-system"},
        "spec": {"serviceAccountName": "ztunnel", "automountServiceAccountToken": False, "nodeName": f"n{number}",
                 "containers": [{"name": "c", "image": "culvert.test/none"}]}}) for number in range(count)))
    bound = lambda pod: {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    asked = admin.each("POST", (("/api/v1/namespaces/istio-system/serviceaccounts/ztunnel/token", {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["istio-ca"], "boundObjectRef": bound(pod)}}) for pod in pods))
    path.touch(mode=0o600)
    path.write_text("".join(f"{each['status']['token']} {each['spec']['boundObjectRef']['name']}\n" for each in asked))


def served(plane):
    """Names and versions of all that it serves."""
    return sorted((each["type"], each["name"], each["version"]) for each in json.loads(plane.page("/debug/resources")))


def replicas(api, culvertd, program, count=30):
    """Three serve; any may be killed, and all of them: its nodes go on elsewhere with what they hold, and are sent nothing again."""
    account = api.account("replica", RULES, "istio-system")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ztunnels(api, count, folder / "tokens")
        for number in range(5):  # something to serve
            api.apply(custom("AuthorizationPolicy", f"held-{number}", DENY, "good"))
        planes = [stack.enter_context(Plane(culvertd, account, None, "--webhook-port=0", f"--name=replica-{name}", CULVERT_MAX_CONNECTION_AGE="3s"))
                  for name in "abc"]
        for plane in planes:
            plane.ready()
        eventually("one leads", lambda: sum(plane.metric("culvert_leading") for plane in planes) == 1, 30)
        eventually("all serve the same", lambda: served(planes[0]) == served(planes[1]) == served(planes[2]) != [])

        service = Road(*(f"https://127.0.0.1:{plane.serving}" for plane in planes))
        fleet = nodes.Nodes(program, f"127.0.0.1:{service.port}", planes[0].data / "root-cert.pem", folder / "tokens")
        stack.callback(fleet.close)
        fleet.do("cold", 1)
        came = fleet.do("connect", count)
        assert came["resources"] == came["removed"] == 0, came
        streams = lambda: [int(plane.metric("pilot_xds")) for plane in planes]
        for victim in planes:
            eventually("all have some", lambda: min(streams()) > 0 and sum(streams()) == count)
            victim.kill()
            eventually("all are elsewhere", lambda: sum(streams()) == count)
            signed = fleet.do("sign")
            assert signed["signed"] == count, signed
            victim.start().ready()
        for plane in planes:
            plane.kill()
        for plane in planes:
            plane.start()
        eventually("all are back", lambda: sum(streams()) == count, 30)
        eventually("one that comes gets its share", lambda: min(streams()) > count // 6, 20)
        seen = eventually("said", lambda: (seen := fleet.back())["lost"] > count and seen)
        assert seen["resources"] == seen["removed"] == 0, seen
        for plane in planes:
            sent = plane.page("/metrics", plane.monitoring)
            assert not re.search(r"^culvert_xds_resources_sent_total{.*} [1-9]", sent, re.M), sent
        print(f"  streams: {streams()}, came again {seen['lost']} times", flush=True)


def a_stopped_leader(api, culvertd):
    """A leader that stands still for longer than its lease leads no more when it goes on, and writes nothing until it leads again; whoever has led meanwhile
    is treated alike."""
    account = api.account("stopped", RULES, "istio-system")
    holder = lambda: api.get("lease", "culvertd", "-n", "istio-system")["spec"]["holderIdentity"]
    accepted = lambda name: condition(api, "authorizationpolicy", name, "ZtunnelAccepted", "good").startswith("True")
    written = lambda plane: plane.metric("culvert_status_written_total") + plane.metric("culvert_status_failed_total")

    def goes_on(plane, ended):
        """Writes nothing until it leads again, or ended() holds."""
        before = plane.written
        plane.process.send_signal(signal.SIGCONT)
        eventually("leads no more", lambda: "leads no more" in plane.log()[plane.seen:], 20)
        while not ended():
            leads, wrote = plane.metric("culvert_leading"), written(plane)
            assert leads or plane.metric("culvert_leading") or wrote == before, (wrote, before)
            time.sleep(0.1)

    def is_quiet(plane):
        before = written(plane)
        time.sleep(2)
        return written(plane) == before

    def stops(plane):
        eventually("has nothing more to write", lambda: is_quiet(plane), 40)
        plane.written, plane.seen = written(plane), len(plane.log())
        plane.process.send_signal(signal.SIGSTOP)

    with Plane(culvertd, account, None, "--webhook-port=0", "--name=first") as first, Plane(culvertd, account, None, "--webhook-port=0", "--name=second") as second:
        first.ready(), second.ready()
        eventually("one leads", lambda: first.metric("culvert_leading") + second.metric("culvert_leading") == 1, 40)
        one, other = (first, second) if first.metric("culvert_leading") else (second, first)
        stops(one)
        eventually("the other leads", lambda: other.metric("culvert_leading") == 1, 40)
        api.apply(custom("AuthorizationPolicy", "one-stopped", DENY, "good"))
        eventually("the other writes", lambda: accepted("one-stopped"), 20)
        stops(other)
        api.apply(custom("AuthorizationPolicy", "both-stopped", DENY, "good"))
        goes_on(one, lambda: accepted("both-stopped"))
        assert one.metric("culvert_leading") == 1 and holder() == ("first" if one is first else "second")
        goes_on(other, lambda: other.metric("culvert_leading") == 0 and written(one) > one.written)
        assert one.metric("culvert_leading") == 1 and other.metric("culvert_leading") == 0 and written(other) == other.written
        print(f"  {other.metric('culvert_status_written_total'):.0f} and {one.metric('culvert_status_written_total'):.0f} statuses written", flush=True)


def main():
    culvertd, crds, program, steps = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
    with ApiServer("--etcd-compaction-interval=2s", "--watch-cache=false", "--min-request-timeout=5") as api:
        for kind, (group, plural) in KINDS.items():  # from before there was a schema
            api.apply(LOOSE.replace("@PLURAL@", plural).replace("@GROUP@", group).replace("@KIND@", kind))
        api.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crds", "--all")
        for name in ("istio-system", "good", "bad"):
            api.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
        api.apply("apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n")
        eventually("served", lambda: not refusal(api, DENY), 20)
        api.apply(custom("AuthorizationPolicy", "beside", DENY, "good"))
        road = Road(api.url)

        def step(work, *words):
            if steps and work.__name__ not in steps:
                return
            began = time.monotonic()
            work(api, *words)
            print(f"{work.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)

        with Plane(culvertd, api.account("culvertd", RULES, "istio-system"), road) as plane:
            plane.ready()
            for work in (bad_objects, no_object, a_storm):
                step(work, plane)
            for work in (slow, cut, forgotten):
                step(work, plane, road)
        step(hostile, culvertd)
        step(a_full_disk, culvertd)
        step(replicas, culvertd, program)
        step(a_stopped_leader, culvertd)


if __name__ == "__main__":
    sys.exit(main())
