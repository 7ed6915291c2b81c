#!/usr/bin/env python3
"""The keys of CAs stay nowhere in culvertd's memory: one CA follows another, and each time that culvertd has taken it up, neither what the API server sent of
it nor what openssl wrote is to be found, of this one and of those before. Nor is what culvertd makes itself, and writes.
Usage: keys_test.py CULVERTD CRDS [STEP...]"""
import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import memory
from apiserver import ApiServer, Refused
from plane import RULES, Plane, Road, eventually

TIMES = 20
# Its next root is announced after 12 s, and signs 50 s later.
SOON = {"CITADEL_SELF_SIGNED_CA_CERT_TTL": "120s", "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL": "1s", "CULVERT_ROOT_OVERLAP": "50s",
        "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE": "90", "MAX_WORKLOAD_CERT_TTL": "2s", "DEFAULT_WORKLOAD_CERT_TTL": "2s"}


def authority(folder, name, by=None):
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    issuer = ["-CA", by[0], "-CAkey", by[1]] if by else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "3650", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign", *issuer], check=True, capture_output=True)
    return certificate, key


def look(plane, pieces, when):
    said = memory.found(plane.process.pid, pieces)
    assert not said, f"{when}, of {len(pieces)} pieces of keys {len(said)} are left in memory:\n" + "\n".join(said)


def users_own(api, account, culvertd):
    """The user's CA, replaced by another again and again."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        root = authority(folder, "root")
        ours = [authority(folder, f"ca-{number}", root) for number in range(TIMES)]
        pieces = {}

        def put(number):
            certificate, key = ours[number]
            texts = {"ca-cert.pem": certificate, "ca-key.pem": key, "cert-chain.pem": certificate, "root-cert.pem": root[0]}
            secret = json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": "istio-system"},
                                 "data": {name: base64.b64encode(path.read_bytes()).decode() for name, path in texts.items()}})
            api.kubectl("apply", "-f", "-", input=secret)  # by which all that is in it is in an annotation too: metadata, which is watched
            pieces.update(memory.pieces_of_key(f"key {number}", key.read_text()))

        put(0)
        with Plane(culvertd, account) as plane:
            plane.ready()
            for number in range(1, TIMES):
                put(number)
                # Written when the Secret has been read; it is read once for each change.
                written = plane.data / "server-cert.pem"
                eventually("taken up", lambda: ours[number][0].read_text() in written.read_text(), 20)
                look(plane, pieces, f"after {number + 1} CAs")
        assert "kubectl.kubernetes.io/last-applied-configuration" in api.get("secret", "cacerts", "-n", "istio-system")["metadata"]["annotations"]
    api.delete("secret", "cacerts", "-n", "istio-system")


def our_own(api, account, culvertd):
    """A root that culvertd makes, and the next one at once: written, and read back. The API server is away when we look, so that none is on its way."""
    road = Road(api.url)
    with Plane(culvertd, account, road, **SOON) as plane:
        def data():
            try:
                return api.get("secret", "istio-ca-secret", "-n", "istio-system")["data"]
            except Refused:
                return {}
        held = eventually("the next root is announced", lambda: "next-key.pem" in (found := data()) and found, 40)
        pieces = {}
        for name in ("ca-key.pem", "next-key.pem"):
            pieces |= memory.pieces_of_key(name, base64.b64decode(held[name]).decode())
        road.close()
        eventually("said", lambda: "following Secret istio-system/cacerts: " in plane.log(), 30)
        look(plane, pieces, "after a root of its own and the next")
    road.server.close()


def main():
    culvertd, steps = sys.argv[1], sys.argv[3:]
    with ApiServer() as api:
        api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n")
        account = api.account("culvertd", RULES, "istio-system")
        for step in (users_own, our_own):
            if steps and step.__name__ not in steps:
                continue
            began = time.monotonic()
            step(api, account, culvertd)
            print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
