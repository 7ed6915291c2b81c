#!/usr/bin/env python3
"""What a cluster does to culvertd and its ztunnels over hours, on a real API server: it is away, tokens run out under a live stream, CRDs are those of somebody
else and become others."""
import base64
import json
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "ztunnel"))
from apiserver import ApiServer  # noqa: E402
from culvertd_test import CRD, POLICY, build, filled, works  # noqa: E402
from world import eventually, main  # noqa: E402


def an_api_server_away(world, api):
    """Nobody misses it, however long: traffic, streams that have to come again, ztunnels that restart, policies in force. What happened meanwhile arrives when
    it is back. An hour is as long as a token's review and a stream last; here both are short."""
    plane, node = world.plane, world.nodes["n2"]
    plane.kill()
    ordinary, plane.environment = plane.environment, {**plane.environment, "CULVERT_TOKEN_REVIEW_TTL": "1s", "CULVERT_MAX_CONNECTION_AGE": "3s"}
    plane.start()
    api.apply(filled(POLICY, name="kept", action="DENY"))
    eventually("refused", lambda: not works(world), 20)
    count = lambda name: int(next((line.split()[-1] for line in plane.metrics().splitlines() if line.startswith(name + " ")), 0))
    eventually("both are served", lambda: count("pilot_xds") == 2, 20)
    unseen = api.token("ztunnel", "istio-system", audience="istio-ca", pod="ztunnel-n2", seconds=1800)
    api.stop()
    time.sleep(2)  # now no review counts any more
    assert not works(world) and works(world, "c")
    before = count("culvert_tokens_from_memory_total")
    node.kill_ztunnel()
    node.start_ztunnel()
    eventually("has configuration", lambda: node.ready() and works(world, "c"), 20)
    eventually("has its certificate", lambda: any(each["identity"].endswith("/sa-b") and each["state"] == "Available" for each in node.config_dump()["certificates"]), 20)
    assert not works(world) and count("culvert_tokens_from_memory_total") > before, plane.metrics()
    eventually("streams that end come again", lambda: count("culvert_tokens_from_memory_total") > before + 4 and count("pilot_xds") == 2, 20)
    assert "the API server cannot be asked about tokens: those that it called good before count until their end" in plane.log()

    token = world.folder / "unseen.token"
    token.touch(mode=0o600)
    token.write_text(unseen)
    node.kill_ztunnel()
    node.start_ztunnel(AUTH_TOKEN=str(token))
    eventually("a token that it has never seen is refused", lambda: "it has not called this token good before" in plane.log(), 20)
    assert not node.ready()

    api.start()
    eventually("the watches are back", lambda: 'culvert_kube_synced{collection="pods"} 1' in plane.metrics(), 40)
    eventually("what was refused for want of an API server is let in", lambda: node.ready(), 40)
    assert "the API server can be asked about tokens again" in plane.log()
    api.delete("authorizationpolicy", "kept", "-n", "shop")
    eventually("open", lambda: works(world), 40)
    plane.kill()
    plane.environment = ordinary
    plane.start()
    eventually("ready", lambda: plane.ready() == "ready\n", 20)
    node.kill_ztunnel()
    node.start_ztunnel()
    eventually("has configuration", node.ready, 20)
    eventually("works", lambda: works(world), 20)


def short_token(api, seconds):
    """A token as TokenRequest makes it, by the API server's own key, but for a time that it gives nobody (600 s at least)."""
    head, claims, _ = api.token("ztunnel", "istio-system", audience="istio-ca", pod="ztunnel-n2").split(".")
    padded = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    plain = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    signed = f"{head}.{plain(json.dumps(json.loads(padded(claims)) | {'exp': int(time.time()) + seconds}).encode())}"
    key = f"/proc/{api.pid}/root{api.folder}/state/pki/sa.key"
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=signed.encode(), capture_output=True, check=True).stdout
    return f"{signed}.{plain(signature)}"


def an_expired_token(world, api):
    """A token that runs out under a live stream ends it, and lets nobody in again; the next one does. Connections go on all the while."""
    plane, node = world.plane, world.nodes["n2"]
    streams = lambda: int(next((line.split()[-1] for line in plane.metrics().splitlines() if line.startswith("pilot_xds ")), 0))
    token = world.folder / "short.token"
    token.touch(mode=0o600)
    token.write_text(short_token(api, 40))
    assert api.review(token.read_text(), "istio-ca")["authenticated"], "it is as good as any"
    node.kill_ztunnel()
    node.start_ztunnel(AUTH_TOKEN=str(token))
    eventually("served", lambda: node.ready() and streams() == 2, 30)
    eventually("the stream ends with the token", lambda: streams() == 1, 90)
    eventually("and it is said why", lambda: "refused a call that proves nobody: the token has expired" in plane.log(), 40)
    assert streams() == 1 and works(world), "what is in force stays"
    token.write_text(api.token("ztunnel", "istio-system", audience="istio-ca", pod="ztunnel-n2"))
    eventually("the next token is good", lambda: streams() == 2, 60)
    node.kill_ztunnel()
    node.start_ztunnel()
    eventually("has configuration", node.ready, 20)
    eventually("works", lambda: works(world), 20)


def older_versions(world, api):
    """CRDs that somebody else has installed, which serve v1beta1 alone: a policy is enforced and has a status. When they serve v1, too, it is gone over to."""
    older = POLICY.replace("/v1\n", "/v1beta1\n")
    crd = filled(CRD, group="security.istio.io", plural="authorizationpolicies", kind="AuthorizationPolicy")
    served = lambda name: f"{{name: {name}, served: true, storage: {str(name == 'v1beta1').lower()}, subresources: {{status: {{}}}}, " \
        "schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}"
    foreign = lambda *names: crd[:crd.index("versions:")] + f"versions: [{', '.join(map(served, names))}]\n"
    accepted = lambda: any(each["type"] == "ZtunnelAccepted" and each["status"] == "True" for each in
                           api.get("authorizationpolicies", "older", "-n", "shop").get("status", {}).get("conditions", ()))
    said = lambda version: re.search(rf"read in another version.*authorizationpolicies.security.istio.io.*version=\"?{version}\b", world.plane.log())
    assert "not installed, or in no version that is read" in world.plane.log()
    absent = next(line for line in world.plane.log().splitlines() if "not installed, or in no version" in line)
    assert "virtualservices.networking.istio.io" in absent and "authorizationpolicies" not in absent and "pods" not in absent, absent

    world.plane.kill()
    api.kubectl("delete", "crd", "authorizationpolicies.security.istio.io")
    api.apply(foreign("v1beta1"))
    api.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "authorizationpolicies.security.istio.io")
    world.plane.start()
    eventually("ready", lambda: world.plane.ready() == "ready\n", 20)
    assert said("v1beta1"), world.plane.log()[-3000:]
    api.apply(filled(older, name="older", action="DENY"))
    eventually("enforced", lambda: not works(world), 20)
    eventually("has a status", accepted, 40)  # a leader that was killed is succeeded when its lease has run out
    api.apply(foreign("v1", "v1beta1"))
    eventually("v1 is gone over to", lambda: said("v1"), 90)
    assert not works(world)
    api.delete("authorizationpolicies", "older", "-n", "shop")
    eventually("open", lambda: works(world), 20)


def story(world):
    with ApiServer() as api:
        build(world, api)
        for step in (an_api_server_away, an_expired_token, older_versions):
            began = time.monotonic()
            step(world, api)
            print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(story, __file__, ["culvertd", "ztunnel", "culvert-node"]))
