#!/usr/bin/env python3
"""Two ztunnels with real pods between them: what an application sees, and what an operator sees of it."""
import os
import pathlib
import re
import signal
import socket
import sys
import time

import apps
from world import FAMILIES, eventually, kill, main

MIB = 1 << 20
STRICT = {"name": "strict", "namespace": "shop", "scope": "Namespace", "action": "Deny", "dryRun": False,
          "rules": [[[{"notPrincipals": [{"Presence": []}]}]]]}


def build(world):
    n1, n2 = world.node("n1"), world.node("n2")
    world.start_authority()
    service = {"shop/web.shop.svc.cluster.local": {80: 8080}}
    world.pod("a", 2, n1)
    world.pod("b", 3, n2, service)
    world.pod("b2", 4, n1)
    world.pod("c", 5)  # outside the mesh
    world.services = [{"name": "web", "namespace": "shop", "hostname": "web.shop.svc.cluster.local",
                       "vips": ["/10.96.0.10", "/fd96::10"], "ports": {80: 8080}, "subjectAltNames": []}]
    world.publish()
    world.enrol()
    for node in (n1, n2):
        node.start_agent()
        node.start_ztunnel()
    for pod in ("a", "b", "b2"):
        eventually(f"{pod} enrolled", lambda: world.enrolled(pod), 15)
    for pod in ("a", "b", "b2", "c"):
        world.spawn(pod, apps.serve, 8080)
        world.spawn(pod, apps.serve_first, 3306)
    world.spawn("c", apps.serve_dns, 53)
    eventually("a first connection", lambda: world.run("a", apps.who, world.address("b"), 8080)[1] == "end", 10)
    return n1, n2


def connections(world, n1, n2):
    """Every pair, both families: carried, with the client's own address."""
    for family in FAMILIES:
        for source, target in (("a", "b"), ("b", "a"), ("a", "b2"), ("a", "a"), ("a", "c"), ("c", "b")):
            got = world.run(source, apps.who, world.address(target, family), 8080)
            assert got == [world.address(source, family), "end"], (family, source, target, got)
    got = world.run("a", apps.who, "10.96.0.10", 80)  # a service
    assert got == [world.address("a"), "end"], got
    got = world.run("b", apps.who, "10.96.0.10", 80)  # one that leads back to the caller
    assert got == [world.address("b"), "end"], got
    assert world.run("a", apps.first, world.address("b"), 3306) == "hello\n"


def access_lines(world, n1, n2):
    # Not the first attempts, from before the applications listened.
    line = eventually("source's line", lambda: n1.access("\tinfo\t", 'dst.workload="b"', 'src.workload="a"', "direction=\"outbound\""))
    for field in ('src.identity="spiffe://cluster.local/ns/shop/sa/sa-a"', 'dst.identity="spiffe://cluster.local/ns/shop/sa/sa-b"',
                  f'dst.hbone_addr={world.address("b")}:8080 ', f'dst.addr={world.address("b")}:15008 ', "bytes_sent=1 "):
        assert field in line, (field, line)
    line = eventually("destination's line", lambda: n2.access("\tinfo\t", 'dst.workload="b"', 'src.workload="a"', "direction=\"inbound\""))
    assert 'src.identity="spiffe://cluster.local/ns/shop/sa/sa-a"' in line and "error" not in line, line


def endings(world, n1, n2):
    """FIN stays FIN, each way on its own; a reset stays a reset."""
    for address in (world.address("b"), world.address("b2"), world.address("c"), world.address("b", "IPv6")):
        assert world.run("a", apps.echo, address, 8080, "half-close") == ["half-close", "end"], address
        assert world.run("a", apps.ask, address, 8080, b"r", b"", False) == ["before the reset", "ECONNRESET"], address
        pathlib.Path("/tmp/culvert-ending").unlink(missing_ok=True)
        world.run("a", apps.reset_after, address, 8080)
        eventually("the server's end", lambda: pathlib.Path("/tmp/culvert-ending").exists() and pathlib.Path("/tmp/culvert-ending").read_text())
        assert pathlib.Path("/tmp/culvert-ending").read_text() == "ECONNRESET", address
    # Nobody listens: the connection comes about, and is reset.
    assert world.run("a", apps.who, world.address("b"), 9) == ["", "ECONNRESET"]
    line = eventually("refused", lambda: n1.access(f'dst.hbone_addr={world.address("b")}:9 '))
    assert 'reason="http_status"' in line and "503" in line, line


def bytes_arrive(world, n1, n2):
    for target in ("b", "b2", "c"):
        assert world.run("a", apps.upload, world.address(target), 8080, 64 * MIB), target
        assert world.run("a", apps.download, world.address(target), 8080, 64 * MIB), target


def policies(world, n1, n2):
    # STRICT refuses plaintext, cuts what lives, and spares what has an identity.
    plain = world.spawn("c", apps.hold, world.address("b"), 8080, 5)
    tunnelled = world.spawn("a", apps.hold, world.address("b"), 8080, 2)
    time.sleep(0.5)
    world.policies = [STRICT]
    changed = time.monotonic()
    world.publish()
    how, when = world.result(plain)
    assert how == "ECONNRESET", how
    print(f"a policy cut a live connection after {(when - changed) * 1000:.1f} ms")
    assert when - changed < 0.25, when - changed  # 100 ms, and what Python takes on a busy machine
    assert world.result(tunnelled)[0] == "alive"
    assert eventually("the cut's line", lambda: n2.access('reason="policy_changed"', 'direction="inbound"'))
    assert world.run("c", apps.who, world.address("b"), 8080)[1] == "ECONNRESET"
    assert eventually("the refusal's line", lambda: n2.access('reason="policy_denied"'))
    assert world.run("a", apps.who, world.address("b"), 8080)[1] == "end"

    # A tunnel's identity is refused by name, with a 401.
    world.policies = [{"name": "no-a", "namespace": "shop", "scope": "Namespace", "action": "Deny", "dryRun": False,
                       "rules": [[[{"principals": [{"Exact": "cluster.local/ns/shop/sa/sa-a"}]}]]]}]
    world.publish()
    # A connection that the policy overtook was cut: that is a reset as well, but of another reason.
    eventually("a 401", lambda: world.run("a", apps.who, world.address("b"), 8080)[1] == "ECONNRESET" and n1.access('reason="http_status"', "401"))

    # A policy that is named and unknown holds new connections for a second, then denies; live ones go on.
    world.policies = []
    world.publish()
    targets = [world.address("b", family) for family in FAMILIES]
    answers = lambda address: world.run("a", apps.who, address, 8080)[1] == "end"
    eventually("allowed again", lambda: all(map(answers, targets)))
    live = [world.spawn("a", apps.hold, address, 8080, 5) for address in targets]
    time.sleep(0.3)
    world.workloads["b"]["authorizationPolicies"] = ["shop/late"]
    world.publish()
    named = lambda: any(each.get("authorizationPolicies") for each in n2.config_dump()["workloads"])
    eventually("named", named)
    for address in targets:
        before, begun = len(n2.log()), time.monotonic()
        assert world.run("a", apps.who, address, 8080)[1] == "ECONNRESET", address
        assert time.monotonic() - begun > 0.9, address
        line = eventually("unknown", lambda: n2.access('reason="policy_unknown"', after=before))
        assert 900 <= int(re.search(r'duration="(\d+)ms"', line)[1]) < 2500, line
    assert [world.result(each)[0] for each in live] == ["alive"] * len(live)
    del world.workloads["b"]["authorizationPolicies"]
    world.publish()
    eventually("allowed again", lambda: all(map(answers, targets)))

    # A file that cannot be read changes nothing.
    world.write(world.mesh, "workloads: [{nonsense: 1}]")
    eventually("refused", lambda: "last good version stays in force" in n1.log())
    assert all(map(answers, targets))
    world.publish()


def handover(world, n1, n2):
    """A ztunnel that is told to end while another one runs beside it: whoever had got as far as its sockets is served by one of the two. It is stopped
    meanwhile, so that there are many who did: in its listeners' queues, in a handshake, with a request in an open tunnel, with a query in its socket."""
    n2.kill_ztunnel()
    n2.start_ztunnel(CONNECTION_TERMINATION_DEADLINE="60s")  # nothing is cut because the machine is busy
    eventually("served", lambda: world.run("a", apps.who, world.address("b"), 8080)[1] == "end", 10)
    for turn, deadline in enumerate(("60s", os.environ["CONNECTION_TERMINATION_DEADLINE"])):
        old = n2.ztunnel
        ports = {name: str(port + 10 * (turn == 0) + n2.number) for name, port in n2.PORTS.items()}
        n2.start_ztunnel(CONNECTION_TERMINATION_DEADLINE=deadline, **ports)
        eventually("the new one has its pods", lambda: n2.log().count("its proxy runs") == 1, 20)
        old.send_signal(signal.SIGSTOP)
        ways = [("b", "a"), ("c", "b"), ("a", "b"), ("b2", "b")]  # captured, plaintext, and two with a tunnel each
        flags = [world.folder / f"burst-{turn}-{n}" for n in range(2 * len(ways))]
        asking = [world.spawn(source, apps.burst, world.address(target, family), 8080, 200, str(flags[2 * n + m]))
                  for n, (source, target) in enumerate(ways) for m, family in enumerate(FAMILIES)]
        flags.append(world.folder / f"dns-{turn}")
        names = world.spawn("b", apps.dns_burst, world.address("c"), 100, str(flags[-1]))
        eventually("all have connected", lambda: all(flag.exists() for flag in flags), 60)
        old.send_signal(signal.SIGTERM)
        old.send_signal(signal.SIGCONT)
        ends = [world.result(one) for one in asking]
        assert ends == [{"end": 200}] * len(asking), ends
        answered = world.result(names)
        assert answered == 100, answered
        assert old.wait(60) == 0


def takeover(world, n1, n2):
    """One that cannot have its certificates yet leaves the pods to the one that serves them. It takes them when it has."""
    old = n2.ztunnel
    world.authority.send_signal(signal.SIGSTOP)
    n2.start_ztunnel(**{name: str(port + 10 + n2.number) for name, port in n2.PORTS.items()})
    eventually("it waits", lambda: "waiting for the configuration and the certificate of a pod" in n2.log(), 20)
    ends = [world.run("a", apps.who, world.address("b", family), 8080)[1] for family in FAMILIES for _ in range(4)]
    assert ends == ["end"] * 8 and "its proxy runs" not in n2.log(), (ends, n2.log())
    world.authority.send_signal(signal.SIGCONT)
    eventually("it has them", lambda: "its proxy runs" in n2.log(), 20)
    assert "certificate for spiffe://cluster.local/ns/shop/sa/sa-b" in n2.log().split("its proxy runs")[0]
    kill(old)
    ends = [world.run("a", apps.who, world.address("b", family), 8080)[1] for family in FAMILIES]
    assert ends == ["end"] * 2, ends

    # If that lasts, what connects waits for it, and is not refused.
    old = n2.ztunnel
    world.authority.send_signal(signal.SIGSTOP)
    n2.start_ztunnel()
    eventually("it waits no longer", lambda: "their connections wait for what has not come" in n2.log(), 20)
    eventually("it has them", lambda: "its proxy runs" in n2.log(), 20)
    kill(old)
    waiting = world.spawn("b", apps.who, world.address("c"), 8080)
    world.authority.send_signal(signal.SIGCONT)
    assert world.result(waiting)[1] == "end"
    eventually("ready", n2.ready, 10)


def dns(world, n1, n2):
    resolver = world.address("c")
    for tcp in (False, True):
        assert world.run("a", apps.dns_query, "web", 1, resolver, tcp) == [0, ["10.96.0.10"]], tcp
        assert world.run("a", apps.dns_query, "web.shop.svc.cluster.local", 28, world.address("c", "IPv6"), tcp) == [0, ["fd96::10"]], tcp
        assert world.run("a", apps.dns_query, "example.com", 1, resolver, tcp) == [0, ["192.0.2.1"]], tcp
        assert world.run("a", apps.dns_query, "example.com", 1, world.address("c", "IPv6"), tcp) == [0, ["192.0.2.1"]], tcp
    # What does not fit is asked for again over TCP.
    assert world.run("a", apps.dns_query, "big.example.com", 1, resolver) == [0, "truncated"]
    assert world.run("a", apps.dns_query, "big.example.com", 1, resolver, True) == [0, ["192.0.2.1"] * 100]

    # Over TCP a resolver is reached as everything is: through a tunnel when it has one, and with an access line.
    world.spawn("b", apps.serve_dns, 53)
    for family, address in (("IPv4", f'{world.address("b")}:53'), ("IPv6", f'[{world.address("b", "IPv6")}]:53')):
        eventually("a resolver in the mesh", lambda: world.run("a", apps.dns_query, "example.com", 1, world.address("b", family), True) == [0, ["192.0.2.1"]])
        assert eventually("its line", lambda: n1.access(f'dst.hbone_addr={address} ', 'direction="outbound"')), family
        assert eventually("and there", lambda: n2.access(f'dst.hbone_addr={address} ', 'direction="inbound"', "sa-a")), family


class Wire:
    """What a pod sends into the network."""
    def __init__(self, pod):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((f"v{pod}", 0))
        self.socket.setblocking(False)

    def connections(self):
        """SYNs since the last look, as (address, port) of their destination."""
        seen = []
        try:
            while frame := self.socket.recv(2048):
                kind, header = frame[12:14], 0
                if kind == b"\x08\0" and frame[23] == 6:
                    header, to = 34, socket.inet_ntop(socket.AF_INET, frame[30:34])
                elif kind == b"\x86\xdd" and frame[20] == 6:
                    header, to = 54, socket.inet_ntop(socket.AF_INET6, frame[38:54])
                if header and frame[header + 13] & 0x12 == 2:
                    seen.append((to, int.from_bytes(frame[header + 2:header + 4], "big")))
        except BlockingIOError:
            return seen


def not_yet(world, n1, n2):
    """Behind a waypoint, or in another network: refused with a reason, and nothing of it on the wire."""
    wire = Wire("a")
    for family in FAMILIES:  # it would see what it is to miss
        assert world.run("a", apps.who, world.address("c", family), 8080)[1] == "end"
        assert (world.address("c", family), 8080) in wire.connections(), family

    def refused(addresses, port, *words):
        for address in addresses:
            before = len(n1.log())
            eventually("refused", lambda: world.run("a", apps.who, address, port)[1] == "ECONNRESET")
            wire.connections()
            assert world.run("a", apps.who, address, port) == ["", "ECONNRESET"], address
            eventually("its line", lambda: n1.access('reason="not_yet"', *words, after=before))
            assert not wire.connections(), address

    workload, service = [world.address("b", family) for family in FAMILIES], ["10.96.0.10", "fd96::10"]
    waypoint = {"destination": "shop/waypoint.shop.svc.cluster.local"}
    world.workloads["b"]["waypoint"] = waypoint
    world.publish()
    refused(workload, 8080, "waypoint")
    for address in workload:
        assert world.run("a", apps.dns_query, "example.com", 1, address, True)[0] == 2, address  # SERVFAIL
    assert not wire.connections()
    del world.workloads["b"]["waypoint"]
    world.services[0]["waypoint"] = waypoint
    world.publish()
    refused(service, 80, "waypoint")
    del world.services[0]["waypoint"]
    world.workloads["b"]["network"] = "elsewhere"
    world.publish()
    refused(service, 80, "network")
    world.workloads["b"]["network"] = ""
    world.publish()
    for address in service:
        eventually("open again", lambda: world.run("a", apps.who, address, 80)[1] == "end")


def pages(world, n1, n2):
    assert n1.ready() and n2.ready()
    dump = n1.config_dump()
    assert {each["name"] for each in dump["workloads"]} == {"a", "b", "b2"}
    assert dump["services"][0]["vips"] == ["/10.96.0.10", "/fd96::10"]
    states = {each["identity"]: each["state"] for each in dump["certificates"]}
    assert states["spiffe://cluster.local/ns/shop/sa/sa-a"] == "Available", states
    live = world.spawn("a", apps.hold, world.address("b"), 8080, 1)
    time.sleep(0.3)
    shown = n1.config_dump()["workloadState"]["uid-a"]
    assert shown["info"] == {"name": "a", "namespace": "shop", "serviceAccount": "sa-a"}
    assert shown["connections"]["outbound"][0]["protocol"] == "HBONE"
    assert n2.config_dump()["workloadState"]["uid-b"]["connections"]["inbound"][0]["actualDst"] == f"{world.address('b')}:8080"
    world.result(live)
    metrics = n1.metrics()
    for text in ('istio_tcp_connections_opened_total{reporter="source"', "istio_tcp_sent_bytes_total", 'connection_security_policy="mutual_tls"',
                 "workload_manager_active_proxy_count 2", "istio_dns_requests_total", "process_resident_memory_bytes"):
        assert text in metrics, text


def refusals(world, n1, n2):
    """Who has a certificate is refused at any rate: in few lines, which say how many have none, and each is counted."""
    def counted():
        found = re.search(r'culvert_connections_ended_total{reporter="destination",reason="policy_denied"} (\d+)', n2.metrics())
        return int(found[1]) if found else 0
    start, before = len(n2.log()), counted()
    world.policies = [{"name": "no-a", "namespace": "shop", "scope": "Namespace", "action": "Deny", "dryRun": False,
                       "rules": [[[{"principals": [{"Exact": "cluster.local/ns/shop/sa/sa-a"}]}]]]}]
    world.publish()
    eventually("refused", lambda: world.run("a", apps.who, world.address("b"), 8080)[1] == "ECONNRESET" and counted() > before)
    ends = world.run("a", apps.churn, world.address("b"), 8080, 2000, 16)
    assert ends == {"ECONNRESET": 2000}, ends
    n1.kill_ztunnel()  # its tunnels end, which is when the last lines are told of that were left out

    def told():
        lines = [line for line in n2.log()[start:].splitlines() if 'reason="policy_denied"' in line]
        left_out = sum(int(number) for number in re.findall(r" not_logged_before=(\d+)", n2.log()[start:]))
        return len(lines), left_out
    eventually("all are told of", lambda: sum(told()) == counted() - before)
    assert counted() - before > 2000 and told()[0] < 2000, told()
    print(f"{told()[0]} lines about {sum(told())} refused connections")
    world.policies = []
    world.publish()
    n1.start_ztunnel()
    eventually("allowed again", lambda: n1.ready() and world.run("a", apps.who, world.address("b"), 8080)[1] == "end", 10)


def deaths(world, n1, n2):
    """A killed ztunnel: nothing passes in the clear, what lived is reset, and a new one serves at once."""
    through = world.spawn("a", apps.hold, world.address("b"), 8080, 10)
    time.sleep(0.3)
    n2.kill_ztunnel()
    assert world.result(through)[0] == "ECONNRESET"  # never a clean end
    assert world.run("c", apps.who, world.address("b"), 8080)[1] == "ECONNREFUSED"
    assert world.run("b", apps.who, world.address("c"), 8080)[1] == "ECONNREFUSED"
    assert world.run("a", apps.who, world.address("b"), 8080)[1] == "ECONNRESET"
    n2.start_ztunnel()
    eventually("ready", n2.ready, 10)
    for family in FAMILIES:  # the first that comes after that: nobody has to ask twice
        assert world.run("a", apps.who, world.address("b", family), 8080)[1] == "end", family
        assert world.run("c", apps.who, world.address("b", family), 8080)[1] == "end", family

    # Told to end, it lets what lives go on until the deadline, and takes nothing new.
    through = world.spawn("b", apps.hold, world.address("a"), 8080, 10)
    short = world.spawn("b", apps.hold, world.address("a"), 8080, 1)
    time.sleep(0.3)
    begun = time.monotonic()
    n2.ztunnel.send_signal(signal.SIGTERM)
    assert world.result(short)[0] == "alive"
    how, when = world.result(through)
    assert how == "ECONNRESET" and 1.5 < when - begun < 4, (how, when - begun)
    assert n2.ztunnel.wait(5) == 0
    assert n2.access('reason="draining"')
    n2.start_ztunnel()
    eventually("ready", n2.ready, 10)
    assert world.run("a", apps.who, world.address("b"), 8080)[1] == "end"


def without_agent(world, n1, n2):
    """While the node's agent is away a ztunnel serves the pods that it has, and says that it is ready: Kubernetes would end it for less in the middle of an
    upgrade of both, before the one that follows it serves."""
    kill(n2.agent)
    eventually("noticed", lambda: "lost the node agent" in n2.log(), 10)
    assert n2.ready(), n2.readiness()
    assert world.run("a", apps.who, world.address("b"), 8080)[1] == "end"
    connected = n2.log().count("connected to the node agent")
    n2.start_agent()
    eventually("connected again", lambda: n2.log().count("connected to the node agent") > connected, 10)
    assert n2.ready() and world.run("b", apps.who, world.address("a"), 8080)[1] == "end"


def removal(world, n1, n2):
    """A pod that leaves the mesh: its connections end with a reason."""
    (world.config / "b.yaml").unlink()
    eventually("left", lambda: "pod left" in n2.log(), 10)


def many(world, n1, n2):
    ends = world.run("a", apps.churn, world.address("b"), 8080, 2000, 16)
    assert ends == {"end": 2000}, ends
    ends = world.run("c", apps.churn, world.address("b"), 8080, 2000, 16)
    assert ends == {"end": 2000}, ends
    ready = world.folder / "idle"
    held = world.spawn("a", apps.idle, world.address("b"), 8080, 1000, str(ready), 1)
    assert world.result(held) == 1000


def story(world):
    n1, n2 = build(world)
    for step in (connections, access_lines, endings, bytes_arrive, handover, takeover, dns, not_yet, policies, pages, refusals, deaths, without_agent, many, removal):
        begun = time.monotonic()
        step(world, n1, n2)
        print(f"{step.__name__}: ok, {time.monotonic() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("CONNECTION_TERMINATION_DEADLINE", "2s")
    sys.exit(main(story, __file__, ["ztunnel", "culvert-node", "test-authority"]))
