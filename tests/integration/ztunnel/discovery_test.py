#!/usr/bin/env python3
"""One ztunnel whose configuration comes over a stream: what is in force before all of it has come, after a bad part of it, and while
certificates come, stay away and return."""
import os
import subprocess
import sys
import time

import apps
from world import FAMILIES, eventually, kill, main

DENY_ALL = {"name": "closed", "namespace": "shop", "scope": "Namespace", "action": "Deny", "dryRun": False, "rules": [[]]}
ONLY_A = DENY_ALL | {"name": "door", "action": "Allow", "rules": [[[{"principals": [{"Exact": "cluster.local/ns/shop/sa/sa-a"}]}]]]}


def unreadable(name):
    """A policy of namespace shop, for all of it, with action 7."""
    return b"\x0a" + bytes([len(name)]) + name.encode() + b"\x12\x04shop\x18\x01\x20\x07"


def build(world):
    node = world.node("n1")
    world.start_authority(3600)
    world.pod("a", 2, node)
    world.pod("b", 3, node)
    world.pod("c", 4)  # outside the mesh
    world.policies = [DENY_ALL]
    (world.folder / "hold").touch()
    (world.folder / "refused").touch()
    world.publish()
    world.enrol()
    plane = world.start("control-plane", [world.programs["test-control-plane"], world.folder, "15013"], world.cgroup)
    eventually("control plane", lambda: "listening" in plane.log.read_text())
    node.extra = {"LOCAL_XDS_PATH": "", "XDS_ADDRESS": "https://localhost:15013", "XDS_ROOT_CA": str(world.folder / "root.pem")}
    node.start_agent()
    node.start_ztunnel()
    for pod in ("a", "b"):
        eventually(f"{pod} enrolled", lambda: world.enrolled(pod), 15)
    for pod in ("a", "b", "c"):
        world.spawn(pod, apps.serve, 8080)
    return node


def starts_that_are_refused(world, node):
    """What cannot be served is said in one line, and the program ends."""
    for environment, hint in (({"FAKE_CA": "true"}, "point CA_ADDRESS at culvertd"), ({"CA_ADDRESS": ""}, "point it at culvertd"),
                              ({"CRL_PATH": "/crl"}, "CRL_PATH is not supported"), ({"XDS_ADDRESS": ""}, "nothing says what the mesh is"),
                              ({"XDS_HEADER_x": "two\nlines"}, "XDS_HEADER_x"), ({"CA_HEADER_a:b": "c"}, "CA_HEADER_a:b")):
        ended = subprocess.run([world.programs["ztunnel"]], env=os.environ | environment, capture_output=True, text=True, timeout=20)
        last = ended.stderr.strip().splitlines()[-1]
        assert ended.returncode == 1 and last.startswith("ztunnel: ") and hint in last, (environment, ended)


def put(world, file, name, content):
    """Has the control plane tell these bytes as the resource of that name."""
    (world.folder / "beside").write_bytes(name.encode() + b"\n" + content)
    (world.folder / "beside").rename(world.folder / file)


def reached(world, source="a"):
    return [world.run(source, apps.who, world.address("b", family), 8080)[1] == "end" for family in FAMILIES]


def works(world, source="a"):
    return all(reached(world, source))


def closed(world, source="a"):
    return not any(reached(world, source))


def half_a_configuration(world, node):
    """Workloads without their policies let nobody in."""
    eventually("the stream", lambda: "configuration stream is up" in node.log())
    assert not node.ready()
    assert "state manager" in node.readiness(), node.readiness()
    held = [world.spawn(pod, apps.who, world.address("b", family), 8080) for pod in ("a", "c") for family in FAMILIES]
    time.sleep(0.5)
    (world.folder / "hold").unlink()
    for each in held:
        got = world.result(each)
        assert got == ["", "ECONNRESET"], got
    for source in ("src.addr=10.9.0.4:", "src.addr=[fd09::4]:"):
        assert eventually("the plaintext refusal", lambda: node.access('reason="policy_denied"', "closed", 'direction="inbound"', source))
    eventually("ready", node.ready)
    world.policies = []
    world.publish()
    eventually("open", lambda: works(world) and works(world, "c"))


def bad_resources(world, node):
    """What cannot be read is refused by name; what was good stays, and what never was denies."""
    refused = world.folder / "refused"
    put(world, "bad-address", "bad", b"\xff")
    eventually("the refusal", lambda: "bad: not an istio.workload.Address" in refused.read_text())
    assert works(world) and node.ready()
    assert "culvert_xds_refused_resources_total 1" in node.metrics()

    put(world, "bad-policy", "shop/bad", unreadable("bad"))
    eventually("closed", lambda: closed(world))
    assert eventually("policy_invalid", lambda: closed(world) and node.access('reason="policy_invalid"', "action 7 is unknown"))
    assert "shop/bad: action 7 is unknown" in refused.read_text()
    (world.folder / "bad-policy").unlink()
    eventually("open", lambda: works(world))
    (world.folder / "bad-address").unlink()


def good_resources_that_turn_bad(world, node):
    """Refused by name; the version before is in force until a good one comes."""
    refused = world.folder / "refused"
    uid = world.workloads["b"]["uid"]

    def owner():
        return next(each.get("workloadName") for each in node.config_dump()["workloads"] if each["uid"] == uid)

    world.workloads["b"]["workloadName"] = "first"
    world.policies = [ONLY_A]
    world.publish()
    eventually("in force", lambda: owner() == "first" and works(world) and closed(world, "c"))

    put(world, "bad-address", uid, b"\xff")
    eventually("the refusal", lambda: f"{uid}: not an istio.workload.Address" in refused.read_text())
    put(world, "bad-policy", "shop/door", unreadable("door"))
    eventually("the refusal", lambda: "shop/door: action 7 is unknown" in refused.read_text())
    after = len(node.log())
    assert works(world) and closed(world, "c") and owner() == "first" and node.ready()
    assert node.access('dst.identity="spiffe://cluster.local/ns/shop/sa/sa-b"', 'direction="outbound"', after=after)
    assert eventually("the reason", lambda: node.access('reason="policy_denied"', "src.addr=10.9.0.4:", after=after))
    assert not node.access('reason="policy_invalid"', after=after)

    world.workloads["b"]["workloadName"] = "second"
    world.policies = [ONLY_A | {"action": "Deny"}]
    world.publish()
    for file in ("bad-address", "bad-policy"):
        (world.folder / file).unlink()
    eventually("the next good ones", lambda: owner() == "second" and closed(world) and works(world, "c"))
    del world.workloads["b"]["workloadName"]
    world.policies = []
    world.publish()
    eventually("open", lambda: works(world))


def a_policy_that_comes_in_time(world, node):
    """A connection that is held for a policy which its workload names goes on when that arrives. It is held for a second: a try that took longer says nothing."""
    known = lambda: [each["name"] for each in node.config_dump()["policies"]]
    in_time = False
    for _ in range(10):
        world.workloads["b"]["authorizationPolicies"] = ["shop/late"]
        world.publish()
        eventually("named", lambda: any(each.get("authorizationPolicies") for each in node.config_dump()["workloads"]))
        began = time.monotonic()
        held = {family: world.spawn("a", apps.who, world.address("b", family), 8080) for family in FAMILIES}
        time.sleep(0.3)
        world.policies = [DENY_ALL | {"name": "late", "scope": "WorkloadSelector", "action": "Allow"}]
        world.publish()
        eventually("known", lambda: known() == ["late"])
        in_time = time.monotonic() < began + 1
        got = {family: world.result(each) for family, each in held.items()}
        del world.workloads["b"]["authorizationPolicies"]
        world.policies = []
        world.publish()
        eventually("forgotten", lambda: known() == [])
        if in_time:
            break
    assert in_time, "never in time"
    assert got == {family: [world.address("a", family), "end"] for family in FAMILIES}, got


def certificates(world, node):
    """Renewed under live traffic; an authority that is away costs nothing until they expire; when it returns, all goes on."""
    def serial():
        return next(each["certChain"][0]["serialNumber"] for each in node.config_dump()["certificates"]
                    if each["identity"].endswith("/sa-b") and each["certChain"])

    node.kill_ztunnel()
    kill(world.authority)
    world.start_authority(6)  # dated back by two minutes: past their half from the start, renewed again and again
    node.start_ztunnel()
    eventually("works", lambda: works(world), 10)
    live = world.spawn("a", apps.hold, world.address("b"), 8080, 3)
    first = serial()
    eventually("renewed", lambda: serial() != first)
    assert world.result(live)[0] == "alive"

    (world.folder / "refuse").touch()
    assert works(world)
    eventually("expired", lambda: closed(world), 15)
    assert eventually("the reason", lambda: node.access('reason="identity_error"', "refused by the test"))
    (world.folder / "refuse").unlink()
    eventually("works again", lambda: works(world), 10)

    # The authority itself is gone for a while: its return is noticed within about a second.
    kill(world.authority)
    eventually("expired", lambda: closed(world), 15)
    time.sleep(2)
    world.start_authority(3600)
    begun = time.monotonic()
    eventually("works again", lambda: works(world), 10)
    print(f"certificates were back {time.monotonic() - begun:.1f} s after their authority")


def story(world):
    node = build(world)
    for step in (starts_that_are_refused, half_a_configuration, bad_resources, good_resources_that_turn_bad, a_policy_that_comes_in_time,
                 certificates):
        begun = time.monotonic()
        step(world, node)
        print(f"{step.__name__}: ok, {time.monotonic() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(story, __file__, ["ztunnel", "culvert-node", "test-authority", "test-control-plane"]))
