#!/usr/bin/env python3
"""culvertd's CA on a real Kubernetes API server, with real ztunnels and traffic through them: the CA is replaced while connections come and go, and none
fails; callers lose what they had with their pods; keys stay nowhere; Kubernetes' own signer and another culvertd sign in its place."""
import base64
import contextlib
import datetime
import json
import pathlib
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "ztunnel"))
import apps  # noqa: E402
import culvertd_test as base  # noqa: E402
import memory  # noqa: E402
from apiserver import ApiServer, Refused  # noqa: E402
from culvertd_test import Plane, works  # noqa: E402
from world import eventually, main  # noqa: E402

OVERLAP = 6
KEPT = 30  # the overlap of a culvertd that starts with another root: time to look at what is published meanwhile
BUNDLE = "istio.io:istiod-ca:root-cert"


# --- authorities, made by openssl ---

class Authority:
    def __init__(self, folder, name, issuer=None, trust_domain=None):
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        by = ["-CA", issuer.certificate, "-CAkey", issuer.key] if issuer else []
        by += ["-addext", f"subjectAltName=URI:spiffe://{trust_domain}"] if trust_domain else []
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out",
                        self.certificate, "-days", "3650", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                        "-addext", "keyUsage=critical,keyCertSign,cRLSign", *by], check=True, capture_output=True)
        self.serial = str(int(subprocess.check_output(["openssl", "x509", "-in", self.certificate, "-noout", "-serial"], text=True).split("=")[1], 16))

    def pem(self):
        return self.certificate.read_text()


def cacerts(api, signer, *roots):
    data = {"ca-cert.pem": signer.pem(), "ca-key.pem": signer.key.read_text(), "cert-chain.pem": signer.pem(),
            "root-cert.pem": "".join(root.pem() for root in roots)}
    api.apply(json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": "istio-system"},
                          "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}}))


# --- looking ---

def certificates(node):
    page = node.page(15100, "/config_dump")  # empty: it is not up yet
    return [each for each in json.loads(page)["certificates"] if each["state"] == "Available"] if page else []


@contextlib.contextmanager
def every_version_of(api, secret, namespace):
    """The data of each version of a Secret, as it is written; of one that passes in a moment as well. Ends after a minute."""
    with subprocess.Popen(["timeout", "60", api.folder / "kubectl", "get", "secrets", "-n", namespace, f"--field-selector=metadata.name={secret}", "--watch", "-o", "json"],
                          stdout=subprocess.PIPE, text=True) as watch:
        yield (json.loads(text)["data"] for text in _objects(watch.stdout))
        watch.terminate()


def _objects(lines):
    """Pretty-printed JSON objects that follow one another, each as its text."""
    text = ""
    for line in lines:
        text += line
        if line == "}\n":
            yield text
            text = ""


def signed_by(world, authority):
    """Every certificate of every ztunnel has it in its chain."""
    found = [certificate for node in world.nodes.values() for certificate in certificates(node)]
    return found and all(authority.serial in [one["serialNumber"] for one in certificate["certChain"]] for certificate in found)


def trusting(world, *authorities):
    wanted = {authority.serial for authority in authorities}
    found = [certificate for node in world.nodes.values() for certificate in certificates(node)]
    return found and all({one["serialNumber"] for one in certificate["rootCerts"]} == wanted for certificate in found)


def said_at(plane, text, after=""):
    """When the log said it first, behind the line that has `after` in it."""
    lines = plane.log().splitlines()
    begin = next(number for number, line in enumerate(lines) if after in line)
    return datetime.datetime.fromisoformat(next(line for line in lines[begin:] if text in line).split("\t")[0])


def value(plane, name):
    return re.search(rf"^{name} (\S+)$", plane.metrics(), re.M).group(1)


def bundle(*authorities):
    return "".join(authority.pem() for authority in authorities)


def published(api, *authorities):
    """In the ConfigMap of each namespace, and as a ClusterTrustBundle."""
    text = bundle(*authorities)
    try:
        maps = [api.get("configmap", "istio-ca-root-cert", "-n", ns)["data"]["root-cert.pem"] for ns in ("shop", "istio-system", "default")]
        return all(one == text for one in maps) and api.get("clustertrustbundle", BUNDLE)["spec"]["trustBundle"] == text
    except Refused:
        return False


def remembered(api):
    """The root of what signs now, as the next start will know it."""
    roots = json.loads(base64.b64decode(api.get("secret", "culvert-ca-roots", "-n", "istio-system")["data"]["roots.json"]))["roots"]
    return "".join(root["pem"] for root in roots if "until" not in root).split()


class Load:
    """Short connections both ways, each through a tunnel of its own, and long ones beside them."""

    def __init__(self, world):
        self.world, self.flag = world, world.folder / "load"
        self.flag.touch()
        self.short = [world.spawn(source, apps.load, world.address(to), 8080, str(self.flag)) for source, to in (("a", "b"), ("b", "a"))]
        self.began = time.monotonic()

    def end(self, what):
        self.flag.unlink()
        ends = [self.world.result(each) for each in self.short]
        print(f"  {what}: {ends} in {time.monotonic() - self.began:.1f} s", flush=True)
        for each in ends:
            assert set(each) == {"end"}, f"{what}: connections failed: {ends}"


class Admissions:
    """Policies that the webhook is asked about, one after another: the API server must never fail to reach or to believe it."""

    def __init__(self, api):
        self.api, self.refusals, self.count, self.ended = api, [], 0, threading.Event()
        eventually("registered", lambda: not missing(api, "validatingwebhookconfiguration", "culvert-validator"), 40)
        self.thread = threading.Thread(target=self.ask)
        self.thread.start()

    def ask(self):
        policy = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: asked, namespace: shop}\nspec: {mtls: {mode: PERMISSIVE}}\n"
        while not self.ended.is_set():
            try:
                self.api.kubectl("apply", "--dry-run=server", "-f", "-", input=policy)
            except Refused as refused:
                self.refusals.append(str(refused))
            self.count += 1

    def end(self, what):
        self.ended.set()
        self.thread.join()
        print(f"  {what}: {self.count} policies were admitted", flush=True)
        assert self.count > 0 and not self.refusals, f"{what}: {self.refusals}"


def missing(api, *what):
    try:
        api.get(*what)
        return False
    except Refused:
        return True


# --- what is tried ---

def before_the_ca(world, api):
    """Pages answer while the CA cannot be loaded, and say so."""
    eventually("said", lambda: "the CA is not loaded yet: reading Secret istio-system/cacerts: has no data" in world.plane.ready(), 20)
    assert "citadel_server_root_cert_expiry_timestamp 0\n" in world.plane.metrics()
    cacerts(api, world.one, world.first_root)


def keys_stay_nowhere(world, api):
    """Neither the key as the API server sent it, nor as openssl wrote it, is to be found in culvertd's memory; nor may it be dumped."""
    pid = world.plane.process.pid
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0", limits), limits
    encoded = api.get("secret", "cacerts", "-n", "istio-system")["data"]["ca-key.pem"]
    assert base64.b64decode(encoded).decode() == world.one.key.read_text(), "it is the key that is looked for"
    said = memory.found(pid, memory.pieces_of_key("the CA's key", world.one.key.read_text()))
    assert not said, "pieces of the CA's key are left in memory:\n" + "\n".join(said)


def another_intermediate(world, api):
    load = Load(world)
    cacerts(api, world.two, world.first_root)
    eventually("its certificate is the server's", lambda: world.two.pem() in (world.plane.data / "server-cert.pem").read_text(), 10)
    eventually("all are signed by it", lambda: signed_by(world, world.two), 40)
    load.end("another intermediate")


def another_root(world, api):
    """First everybody trusts both, then the new one signs, then the old one goes; and the webhook's certificate with them."""
    load, admissions = Load(world), Admissions(api)
    cacerts(api, world.three, world.first_root, world.second_root)
    eventually("it waits", lambda: value(world.plane, "culvert_ca_waiting") == "1", 10)
    eventually("both are published", lambda: published(api, world.first_root, world.second_root), 10)
    eventually("ztunnels trust both", lambda: trusting(world, world.first_root, world.second_root), OVERLAP + 1)
    eventually("all are signed by it", lambda: signed_by(world, world.three), 40)
    # By culvertd's own clock: who looks from here with kubectl may come when the overlap is over.
    waits = "a new root is published, and signs once everybody has it"
    overlap = said_at(world.plane, "\tsigns with ", after=waits) - said_at(world.plane, waits)
    assert overlap.total_seconds() > OVERLAP - 0.5, f"it signed {overlap} after it was published"
    assert world.three.pem() in (world.plane.data / "server-cert.pem").read_text()
    held = world.spawn("a", apps.hold, world.address("b"), 8080, 8)
    time.sleep(OVERLAP)
    cacerts(api, world.three, world.second_root)
    eventually("only the new one is published", lambda: published(api, world.second_root), 10)
    eventually("ztunnels trust it alone", lambda: trusting(world, world.second_root), 40)
    load.end("another root")
    admissions.end("another root")
    registered = api.get("validatingwebhookconfiguration", "culvert-validator")["webhooks"][0]["clientConfig"]["caBundle"]
    assert base64.b64decode(registered).decode().split() == world.second_root.pem().split()
    assert world.result(held)[0] == "alive"
    world.nodes["n2"].kill_ztunnel()
    world.nodes["n2"].start_ztunnel()
    eventually("a ztunnel that starts afterwards", lambda: works(world), 15)


def a_root_without_overlap(world, api):
    load = Load(world)
    cacerts(api, world.one, world.first_root)
    eventually("refused", lambda: "is not taken up: its roots do not lead to the certificates that are in use" in world.plane.log(), 10)
    assert value(world.plane, "culvert_ca_refused") == "1"
    time.sleep(1)
    assert published(api, world.second_root)
    cacerts(api, world.three, world.second_root)
    eventually("put back", lambda: value(world.plane, "culvert_ca_refused") == "0", 10)
    load.end("a root without overlap")


def a_root_replaced_while_nobody_ran(world, api):
    """What the CA of before has signed is trusted on, until it has been renewed."""
    world.plane.environment["CULVERT_ROOT_OVERLAP"] = f"{KEPT}s"
    world.plane.kill()
    cacerts(api, world.one, world.first_root)
    world.plane.start(*world.more)
    eventually("both are published", lambda: published(api, world.first_root, world.second_root), 40)
    eventually("ztunnels trust both", lambda: trusting(world, world.first_root, world.second_root), 20)
    eventually("remembered", lambda: remembered(api) == world.first_root.pem().split(), 10)
    world.plane.kill()
    cacerts(api, world.three, world.second_root)
    world.plane.start(*world.more)
    eventually("and so the other way round", lambda: published(api, world.second_root, world.first_root), 40)
    eventually("only the one that signs is published in the end", lambda: published(api, world.second_root), KEPT + 10)
    eventually("all are signed by it", lambda: signed_by(world, world.three), 40)
    eventually("works", lambda: works(world), 15)
    world.plane.environment["CULVERT_ROOT_OVERLAP"] = f"{OVERLAP}s"  # for the next start


def spiffe_bundle(world, api):
    """Over TLS, by the mesh's root: who wants to trust this trust domain fetches it there."""
    trust = ssl.create_default_context(cadata=world.second_root.pem())
    with urllib.request.urlopen("https://localhost:15799/spiffe/bundle", context=trust, timeout=5) as answer:
        got = json.load(answer)
    assert [key["use"] for key in got["keys"]] == ["x509-svid"] and got["spiffe_refresh_hint"] > 0
    assert 0 < got["spiffe_sequence"] <= int(api.get("secret", "cacerts", "-n", "istio-system")["metadata"]["resourceVersion"])
    assert ssl.DER_cert_to_PEM_cert(base64.b64decode(got["keys"][0]["x5c"][0])).split() == world.second_root.pem().split()


def a_pod_that_is_gone(world, api):
    """The configuration's stream of a ztunnel ends with its pod, within seconds."""
    node = world.nodes["n2"]
    streams = lambda: [row for row in json.loads(urllib.request.urlopen(f"http://127.0.0.1:{world.plane.port + 200}/debug/syncz", timeout=3).read())
                       if row["node"] == "n2"]
    eventually("n2 is connected", streams, 15)
    api.delete("pod", "ztunnel-n2", "-n", "istio-system")
    began = time.monotonic()
    eventually("its stream has ended", lambda: not streams(), 10)
    print(f"  ended {time.monotonic() - began:.1f} s after its pod was deleted")
    eventually("said", lambda: "the caller's proof is no longer valid" in world.plane.log())  # lines are written a moment later
    base.add_pod(world, api, "ztunnel-n2", "istio-system", "n2", "ztunnel")
    pathlib.Path(node.extra["AUTH_TOKEN"]).write_text(api.token("ztunnel", "istio-system", audience="istio-ca", pod="ztunnel-n2"))
    eventually("n2 is back", streams, 20)


def an_orderly_end(world, api):
    """Who is told to end gives the lease back: the next leader need not wait for it to run out."""
    eventually("leads", lambda: value(world.plane, "culvert_leading") == "1", 30)
    world.plane.process.send_signal(signal.SIGTERM)
    world.plane.process.wait(5)
    assert api.get("lease", "culvertd", "-n", "istio-system")["spec"]["holderIdentity"] == ""
    world.plane.start(*world.more)
    eventually("ready", lambda: world.plane.ready() == "ready\n", 20)


def somebody_elses_root(world, api):
    """Two control planes with different roots do not fight for ever."""
    eventually("ours is there", lambda: published(api, world.second_root), 40)
    for _ in range(3):
        eventually("ours", lambda: published(api, world.second_root) or value(world.plane, "culvert_root_configmaps_contested") != "0", 10)
        api.kubectl("patch", "configmap", "istio-ca-root-cert", "-n", "shop", "--field-manager=pilot-discovery", "-p", '{"data": {"root-cert.pem": "his"}}')
    eventually("said", lambda: "somebody else writes another root certificate" in world.plane.log(), 10)
    assert 'writer="pilot-discovery"' in world.plane.log()
    assert value(world.plane, "culvert_root_configmaps_contested") == "1"
    time.sleep(2)
    assert api.get("configmap", "istio-ca-root-cert", "-n", "shop")["data"]["root-cert.pem"] == "his", "left alone"


def a_root_of_its_own(world, api):
    """A mesh without cacerts, whose root lives for seconds: the next is published, then signs, then is alone."""
    api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: rotating}\n")
    with every_version_of(api, "istio-ca-secret", "rotating") as versions:
        plane = Plane(world, world.plane.account, 15412, CITADEL_SELF_SIGNED_CA_CERT_TTL="16s", CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL="1s",
                      CULVERT_ROOT_OVERLAP="3s", MAX_WORKLOAD_CERT_TTL="2s", DEFAULT_WORKLOAD_CERT_TTL="2s").start("--namespace=rotating", "--webhook-port=0")
        eventually("ready", lambda: plane.ready() == "ready\n", 20)
        steps = []
        for data in versions:
            step = (data["ca-cert.pem"], base64.b64decode(data["root-cert.pem"]).count(b"BEGIN"), "next-key.pem" in data)
            steps += [step] if step not in steps else []
            if len(steps) == 4:
                break
    old, new = steps[0][0], steps[-1][0]
    assert steps == [(old, 1, False), (old, 2, True), (new, 2, False), (new, 1, False)] and old != new, steps
    eventually("followed", lambda: (plane.data / "root-cert.pem").read_text() == base64.b64decode(new).decode(), 5)
    plane.kill()


def another_trust_domain(world, api):
    """MeshConfig says another one, and then a CA that names it takes over: all of it without a restart."""
    api.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomain: two.example'}\n")
    eventually("said", lambda: 'signs for another trust domain\ttrust_domain="two.example"' in world.plane.log(), 10)
    eventually("asked for", lambda: 'issued a certificate\tidentity="spiffe://two.example/ns/shop/sa/sa-a"' in world.plane.log(), 20)
    eventually("works", lambda: works(world), 15)
    folder = world.folder / "authorities"
    named = Authority(folder, "named", trust_domain="two.example")
    below = Authority(folder, "below-named", named)
    cacerts(api, below, world.second_root, named)
    eventually("all are signed by it", lambda: signed_by(world, below), 40)
    eventually("works", lambda: works(world), 15)


def kubernetes_signs(world, api):
    """Kubernetes' own signer, which grants certificates for clients: each is made, approved, fetched and removed."""
    signer = "kubernetes.io/kube-apiserver-client"
    rules = base.RULES + [
        {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "delete"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"], "verbs": ["update"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [signer], "verbs": ["approve"]}]
    plane = Plane(world, api.account("asking", rules, "istio-system"), 15512, K8S_SIGNER=signer, CULVERT_SIGNER_ROOTS=str(api.ca)).start(
        "--name=asking", "--webhook-port=0")
    eventually("ready", lambda: plane.ready() == "ready\n", 20)
    node = world.nodes["n1"]
    node.kill_ztunnel()
    node.start_ztunnel(CA_ADDRESS="https://localhost:15512", CA_ROOT_CA=str(plane.data / "root-cert.pem"))
    found = eventually("a certificate", lambda: certificates(node), 30)
    leaf = base64.b64decode(found[0]["certChain"][0]["pem"])
    text = subprocess.run(["openssl", "x509", "-noout", "-issuer", "-ext", "subjectAltName"], input=leaf, capture_output=True, check=True).stdout.decode()
    assert "URI:spiffe://cluster.local/ns/shop/sa/sa-a" in text, text
    assert subprocess.run(["openssl", "verify", "-partial_chain", "-CAfile", api.ca], input=leaf, capture_output=True).returncode == 0, text
    assert 'issued a certificate\tidentity="spiffe://cluster.local/ns/shop/sa/sa-a"' in plane.log()
    eventually("nothing is left behind", lambda: not api.get("certificatesigningrequests"), 10)
    plane.kill()
    node.kill_ztunnel()
    node.start_ztunnel()
    eventually("works again", lambda: works(world), 15)


def another_culvertd_signs(world, api):
    """A culvertd in front of ours, which decides, and ours, which signs: traffic goes between nodes of either."""
    base.add_pod(world, api, "front", "istio-system", "n1", "front")
    token, roots = world.folder / "front.token", world.folder / "upstream.pem"
    token.touch(mode=0o600)
    token.write_text(api.token("front", "istio-system", audience="istio-ca", pod="front"))
    roots.write_text(world.second_root.pem())
    plane = Plane(world, world.plane.account, 15612, CA_ADDR="https://localhost:15012", CA_ROOT_CA=str(roots), CULVERT_CA_TOKEN=str(token),
                  CULVERT_SIGNER_ROOTS=str(roots)).start("--name=front", "--webhook-port=0")
    eventually("ready", lambda: plane.ready() == "ready\n", 20)
    node = world.nodes["n2"]
    node.kill_ztunnel()
    node.start_ztunnel(CA_ADDRESS="https://localhost:15612", CA_ROOT_CA=str(plane.data / "root-cert.pem"))
    eventually("traffic", lambda: works(world), 20)
    assert signed_by(world, world.three)
    assert 'caller="authority spiffe://cluster.local/ns/istio-system/sa/front"' in world.plane.log()
    plane.kill()
    node.kill_ztunnel()
    node.start_ztunnel()
    eventually("works again", lambda: works(world), 15)


def story(world):
    folder = world.folder / "authorities"
    folder.mkdir()
    world.first_root, world.second_root = Authority(folder, "first-root"), Authority(folder, "second-root")
    world.one, world.two = Authority(folder, "one", world.first_root), Authority(folder, "two", world.first_root)
    world.three = Authority(folder, "three", world.second_root)
    world.more = ("--webhook-port=15799", "--webhook-url=https://127.0.0.1:15799/validate")
    with ApiServer() as api:
        api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n")
        api.apply("apiVersion: v1\nkind: Secret\nmetadata: {name: cacerts, namespace: istio-system}\ndata: {}\n")
        base.build(world, api, before_the_ca, more=world.more,
                   plane={"CULVERT_ROOT_OVERLAP": f"{OVERLAP}s", "CULVERT_TRUSTED_AUTHORITIES": "istio-system/front"},
                   node_environment={"SECRET_TTL": "20s", "POOL_MAX_STREAMS_PER_CONNECTION": "1", "POOL_UNUSED_RELEASE_TIMEOUT": "1s"})
        for step in (keys_stay_nowhere, another_intermediate, another_root, a_root_without_overlap, a_root_replaced_while_nobody_ran, spiffe_bundle,
                     a_pod_that_is_gone, kubernetes_signs, another_culvertd_signs, an_orderly_end, somebody_elses_root, a_root_of_its_own,
                     another_trust_domain):
            began = time.monotonic()
            step(world, api)
            print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(story, __file__, ["culvertd", "ztunnel", "culvert-node"]))
