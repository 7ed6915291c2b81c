#!/usr/bin/env python3
"""Two ztunnels and a culvertd over a folder, whose root lives for seconds: it is replaced while connections come and go, and none fails. Then its owner
puts a CA of his own into the folder."""
import base64
import json
import ssl
import subprocess
import sys
import time
import urllib.request

import apps
import control
from world import eventually, main

OVERLAP = 5


class Load:
    """Short connections both ways, each through a tunnel of its own."""

    def __init__(self, world):
        self.world, self.flag = world, world.folder / "load"
        self.flag.touch()
        self.short = [world.spawn(source, apps.load, world.address(to), 8080, str(self.flag)) for source, to in (("a", "b"), ("b", "a"))]

    def end(self, what):
        self.flag.unlink()
        ends = [self.world.result(each) for each in self.short]
        print(f"  {what}: {ends}", flush=True)
        for each in ends:
            assert set(each) == {"end"}, f"{what}: connections failed: {ends}"


def build(world):
    control.build(world, {
        "CITADEL_SELF_SIGNED_CA_CERT_TTL": "40s", "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE": "60",
        "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL": "1s", "CULVERT_ROOT_OVERLAP": f"{OVERLAP}s", "MAX_WORKLOAD_CERT_TTL": "8s",
        "DEFAULT_WORKLOAD_CERT_TTL": "8s"}, SECRET_TTL="8s")


def serials(world, kind):
    """Of all ztunnels' certificates: the roots that they trust, or what their chains are made of."""
    return {one["serialNumber"] for node in world.nodes.values() for each in node.config_dump()["certificates"] for one in each[kind]}


def serial(path):
    text = subprocess.check_output(["openssl", "x509", "-in", path, "-noout", "-serial"], text=True)
    return str(int(text.split("=")[1], 16))


def spiffe_bundle(world):
    """Over TLS, by the mesh's own root: the certificates of all roots, and the number of this bundle."""
    trust = ssl.create_default_context(cafile=world.data / "root-cert.pem")
    with urllib.request.urlopen("https://localhost:15799/spiffe/bundle", context=trust, timeout=5) as answer:
        got = json.load(answer)
    assert all(key["use"] == "x509-svid" for key in got["keys"]) and got["spiffe_refresh_hint"] > 0, got
    return {ssl.DER_cert_to_PEM_cert(base64.b64decode(key["x5c"][0])).strip() for key in got["keys"]}, got["spiffe_sequence"]


def roots_in(world):
    return {root.strip() + "\n-----END CERTIFICATE-----" for root in (world.data / "root-cert.pem").read_text().split("-----END CERTIFICATE-----")[:-1]}


def a_root_of_its_own(world):
    load = Load(world)
    old = serial(world.data / "ca-cert.pem")
    first, number = spiffe_bundle(world)
    assert first == roots_in(world) and len(first) == 1
    said = lambda what: f"replaces the root certificate: {what}" in world.plane.log.read_text()
    eventually("announced", lambda: said("made the next one"), 40)
    assert serial(world.data / "ca-cert.pem") == old
    eventually("both are trusted", lambda: len(serials(world, "rootCerts")) == 2, OVERLAP)
    eventually("switched", lambda: said("the next one signs"), 20)
    new = serial(world.data / "ca-cert.pem")
    assert new != old
    eventually("in the bundle are both", lambda: len(spiffe_bundle(world)[0]) == 2, 5)
    eventually("the old one is gone", lambda: said("the one before is trusted no more"), 20)
    eventually("and trusted by nobody", lambda: serials(world, "rootCerts") == {new}, 20)
    last, newer = spiffe_bundle(world)
    assert last == roots_in(world) and not first & last and newer > number, (first, last, number, newer)
    time.sleep(2)
    load.end("a root of its own")


def another_of_the_owners(world):
    """A root made by openssl and an intermediate below it, file by file, with the old root beside the new one."""
    folder = world.folder / "own"
    folder.mkdir()
    load = Load(world)
    for name, by in (("root", []), ("between", ["-CA", folder / "root.pem", "-CAkey", folder / "root.key"])):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / f"{name}.key", "-out",
                        folder / f"{name}.pem", "-days", "30", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                        "-addext", "keyUsage=critical,keyCertSign", *by], check=True, capture_output=True)
    both = (world.data / "root-cert.pem").read_text() + (folder / "root.pem").read_text()
    for name, text in (("root-cert.pem", both), ("ca-cert.pem", (folder / "between.pem").read_text()), ("ca-key.pem", (folder / "between.key").read_text())):
        beside = folder / "beside"
        beside.touch(mode=0o600)
        beside.write_text(text)
        beside.rename(world.data / name)
        time.sleep(0.3)
    between, root = serial(folder / "between.pem"), serial(folder / "root.pem")
    eventually("both roots are trusted", lambda: root in serials(world, "rootCerts"), OVERLAP)
    assert between not in serials(world, "certChain"), "it must not sign yet"
    eventually("it signs", lambda: between in serials(world, "certChain"), 30)
    time.sleep(8)  # what the old one signed has ended
    world.write(world.data / "root-cert.pem", (folder / "root.pem").read_text())
    eventually("it alone is trusted", lambda: serials(world, "rootCerts") == {root}, 20)
    time.sleep(2)
    load.end("a CA of the owner's")


def story(world):
    build(world)
    for step in (a_root_of_its_own, another_of_the_owners):
        began = time.monotonic()
        step(world)
        print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(story, __file__, ["culvertd", "ztunnel", "culvert-node"]))
