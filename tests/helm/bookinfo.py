"""samples/bookinfo on the cluster: the YAML that `culvert local` takes, in the mesh. Steps of cluster_test.py."""
from cluster import ROOT, Wire, addresses, eventually, execute, get, image_of, is_ready, kubectl, on_nodes, pods, redirection, url_host

SYSTEM = "istio-system"
SAMPLE = ROOT / "samples/bookinfo"
PAGE = "http://productpage.bookinfo:9080/productpage"
DETAILS = "http://details:9080/details/0"
GET = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
ONLY_PRODUCTPAGE = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: details, namespace: bookinfo}
spec:
  selector: {matchLabels: {app: details}}
  action: ALLOW
  rules: [{from: [{source: {principals: [cluster.local/ns/bookinfo/sa/bookinfo-productpage]}}]}]
"""


def images():
    """What the sample names, made of the environment's programs."""
    image_of("docker.io/library/python:3.13-slim", "python3", programs={path: path for path in ("/usr/bin/python3", "/usr/bin/sleep")},
             folders=("/usr/lib/python3.13",))
    image_of("docker.io/library/redis:7", "redis-server", programs={path: path for path in ("/usr/bin/redis-server", "/usr/bin/redis-cli", "/usr/bin/sleep")})


def page_of(pod, url):
    """What it answers, or nothing."""
    code, out, _ = execute(pod, "python3", "-c", GET, url)
    return out if code == 0 else ""


def one(app, namespace="bookinfo"):
    (pod,) = pods(namespace, app)
    return pod


def available():
    for namespace in ("bookinfo", "outside"):
        kubectl("wait", "-n", namespace, "deployments", "--all", "--for=condition=Available", "--timeout=90s")


def account(pod):
    return f"spiffe://cluster.local/ns/bookinfo/sa/{pod['spec']['serviceAccountName']}"


def works():
    visitor = one("visitor", "outside")
    page = page_of(visitor, PAGE)
    return "The Comedy of Errors" in page and "Book reviews (v" in page


def bookinfo(_):
    """It comes up in the mesh, with its probes, and the page works for somebody from outside: through every service and every version of reviews."""
    kubectl("apply", "-f", SAMPLE)
    available()
    inside = get("pods", "-n", "bookinfo")
    assert len(inside) == 7 and all(is_ready(pod) for pod in inside)
    eventually("all are enrolled", lambda: all(redirection(pod) == "enabled" for pod in get("pods", "-n", "bookinfo")))
    assert redirection(one("visitor", "outside")) is None
    eventually("the page", works)
    wanted = {"Book reviews (v1)", "Book reviews (v2)", "Book reviews (v3)", "color=red", "color=black"}

    def see_another():
        page = page_of(one("visitor", "outside"), PAGE)
        wanted.difference_update([words for words in wanted if words in page])
        return not wanted

    eventually(f"every version of reviews, and stars out of Redis: {wanted}", see_another)


def far_apart():
    """Two pods on different nodes, the second of which serves, what it serves, and what stands therein."""
    servers = [(one("details"), "/details/0", "The Comedy of Errors")] + [(pod, "/reviews/0", "slapstick humour") for pod in pods("bookinfo", "reviews")]
    clients = [one("productpage"), *pods("bookinfo", "reviews"), one("details")]
    return next((client, server, path, words) for client in clients for server, path, words in servers
                if client["spec"]["nodeName"] != server["spec"]["nodeName"])


def on_the_wire(_):
    """Between the nodes there is TLS on 15008 and nothing of what is said, in both families; each end logs who both are."""
    client, server, path, words = far_apart()
    wire = Wire("node1", "tcp port 9080 or tcp port 15008")
    for address in addresses(server):
        assert words in page_of(client, f"http://{url_host(address)}:9080{path}"), address
    bytes_seen = wire.ended()
    assert wire.packets("port 15008") and not wire.packets("port 9080"), wire.packets("port 9080")[:5]
    assert b"\x17\x03\x03" in bytes_seen and words.encode() not in bytes_seen, "TLS records, and nothing in the clear"
    ztunnels = on_nodes(SYSTEM, "ztunnel")
    for pod, direction in ((client, "outbound"), (server, "inbound")):
        parts = (f'direction="{direction}"', f'src.identity="{account(client)}"', f'dst.identity="{account(server)}"')
        name = ztunnels[pod["spec"]["nodeName"]]["metadata"]["name"]
        eventually(f"{direction} line", lambda: any(all(part in line for part in parts) for line in kubectl("logs", "-n", SYSTEM, name).splitlines()))


def policy(_):
    """A policy that lets one in keeps the other out, and the log says which policy it was."""
    productpage, other = one("productpage"), pods("bookinfo", "reviews")[0]
    assert page_of(other, DETAILS) and page_of(productpage, DETAILS)
    kubectl("apply", "-f", "-", input=ONLY_PRODUCTPAGE)
    eventually("refused", lambda: not page_of(other, DETAILS))
    assert page_of(productpage, DETAILS)
    name = on_nodes(SYSTEM, "ztunnel")[one("details")["spec"]["nodeName"]]["metadata"]["name"]
    eventually("its line", lambda: any("error=" in line and "policy" in line and f'src.identity="{account(other)}"' in line
                                       for line in kubectl("logs", "-n", SYSTEM, name).splitlines()))
    kubectl("delete", "authorizationpolicy", "-n", "bookinfo", "details")
    eventually("let in again", lambda: page_of(other, DETAILS))
