#!/usr/bin/env python3
"""A real Prometheus reads what culvertd, culvert-node and ztunnel say of themselves: every query of every dashboard returns data, every alert can
be evaluated, and is explained in docs/operations.md; those that say "all is well" do not fire.
Usage: monitoring_test.py CHARTS CULVERTD ZTUNNEL CULVERT-NODE"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import culvertd_test as mesh  # its world
from culvertd_test import apps
from apiserver import ApiServer
from world import eventually, main

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
PROMETHEUS = 19090
CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [@RULES@]
scrape_configs:
  - {job_name: culvertd, static_configs: [{targets: ["127.0.0.1:15112"]}]}
  - {job_name: ztunnel, static_configs: [{targets: ["127.0.0.1:15201", "127.0.0.1:15202"]}]}
  - {job_name: culvert-node, static_configs: [{targets: ["127.0.0.1:16001", "127.0.0.1:16002"]}]}
"""
# What exists only once something has failed that does not fail here, and what only a node with a CNI has: tests/helm/cluster_test.py looks there.
NOT_HERE = {"pilot_total_xds_rejects", "culvert_node_errors_total", "culvert_node_cni_installed", "culvert_node_cni_restored_total",
            "culvert_node_cni_answers_total"}


def ask(path, **query):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        if error.code == 503:  # it has just begun
            return None
        raise AssertionError(f"{query}: {error.read().decode()}") from error
    except urllib.error.URLError:
        return None


def queries(charts):
    """Dashboard, panel and query, with the variables as Grafana fills them in when everything is chosen."""
    for path in sorted((charts / "controlplane/files/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                text = target["expr"].replace("$__rate_interval", "10s").replace("$reporter", "source|destination").replace("$namespace", ".*")
                assert "$" not in text, text
                yield f"{path.stem}: {panel['title']}", text


def has_data(query):
    """A value that is a number: a ratio of nothing by nothing is none."""
    return any(value["value"][1] != "NaN" for value in ask("query", query=query)["result"])


def traffic(world, api):
    """Of all sorts: carried, refused by policy, names asked, objects reviewed."""
    world.plane.kill()
    world.plane.start("--webhook-port=15712", "--webhook-url=https://127.0.0.1:15712/validate")
    eventually("it leads", lambda: world.plane.ready() == "ready\n" and "\nculvert_leading 1\n" in world.plane.metrics(), 40)
    api.apply(mesh.filled(mesh.POLICY, name="denied", action="DENY"))
    eventually("refused", lambda: not mesh.works(world))
    for _ in range(5):
        mesh.works(world)
    api.delete("authorizationpolicy", "denied", "-n", "shop")
    eventually("open", lambda: mesh.works(world))
    world.traffic = [world.spawn("a", keep_connecting, world.address("b"), 8080, 60)]
    world.traffic.append(world.spawn("a", keep_asking, 60))


def keep_connecting(address, port, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        apps.who(address, port)
        time.sleep(0.05)


def keep_asking(seconds):
    """DNS over UDP, of a resolver that is not there: handed on, and not answered."""
    import socket
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07outside\x04test\x00\x00\x01\x00\x01"
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        while time.monotonic() < end:
            asking.sendto(query, ("10.9.0.1", 53))
            time.sleep(0.2)


def start_prometheus(world, charts):
    rules = charts / "controlplane/files/rules.yaml"
    config = world.folder / "prometheus.yaml"
    config.write_text(CONFIG.replace("@RULES@", str(rules)))
    world.start("control/prometheus", ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={world.folder}/prometheus",
                                       f"--web.listen-address=127.0.0.1:{PROMETHEUS}", "--log.level=warn"], world.cgroup)
    eventually("five targets are scraped", lambda: len((ask("query", query="up == 1") or {"result": []})["result"]) == 5, 30)


def dashboards(charts):
    found = list(queries(charts))
    missing = {}

    def all_have_data():
        missing.clear()
        missing.update({(where, text): None for where, text in found if not has_data(text)})
        return not missing
    try:
        eventually("data for every query", all_have_data, 40)
    except AssertionError as late:
        raise AssertionError("no data:\n" + "\n".join(f"{where}: {text}" for where, text in missing)) from late
    print(f"{len(found)} queries return data", flush=True)
    return [text for _, text in found]


def names_exist(texts):
    """`or vector(0)` hides a misspelt name from the test above: each is one that is exported."""
    exported = set(ask("label/__name__/values"))
    used = set(re.findall(r"\b((?:istio|culvert|pilot|citadel|galley|process|workload_manager)_[a-z0-9_]+)\b", "\n".join(texts)))
    sources = "\n".join(path.read_text() for folder in ("ztunnel", "cni", "controlplane") for path in (ROOT / folder).rglob("*.cc"))
    for name in used - exported:
        assert name in NOT_HERE and f'"{name}"' in sources, f"nobody exports {name}"
    print(f"{len(used)} metrics are used, and exported", flush=True)


def alerts(charts, folder):
    def evaluated():
        groups = ask("rules")["groups"]
        return groups and all(rule["health"] == "ok" for group in groups for rule in group["rules"]) and groups[0]["rules"]
    rules = eventually("every rule is evaluated", evaluated, 15)
    fire = {rule["name"] for rule in rules if rule["state"] != "inactive"}
    quiet = {"CulvertControlPlaneDown", "CulvertNoLeader", "CulvertKindNotWatched", "CulvertObjectUnreadable", "CulvertCertificatesFail", "CulvertRootEnds",
             "CulvertNodeWithoutZtunnel", "CulvertNodeNotInForce", "CulvertPodsMissed", "CulvertPodsFail", "CulvertPodsNotServed", "CulvertIdentityErrors", "CulvertLogLinesLost"}
    assert quiet <= {rule["name"] for rule in rules} and not quiet & fire, fire & quiet
    runbook = (ROOT / "docs/operations.md").read_text()
    for rule in rules:
        assert f"| `{rule['name']}` |" in runbook, f"docs/operations.md does not say what to do about {rule['name']}"
    for path in (charts / "controlplane/files/rules.yaml", ROOT / "tests/integration/kubernetes/alerts_test.yaml"):
        shutil.copy(path, folder)
    subprocess.run(["promtool", "test", "rules", folder / "alerts_test.yaml"], check=True)
    print(f"{len(rules)} alerts are evaluated and explained", flush=True)
    return [rule["query"] for rule in rules]


def one_goes(world):
    """A ztunnel that dies is what the critical alerts are about."""
    world.nodes["n2"].kill_ztunnel()
    fires = lambda: [rule["name"] for group in ask("rules")["groups"] for rule in group["rules"] if rule["state"] != "inactive"]
    eventually("it is noticed", lambda: "CulvertNodeWithoutZtunnel" in fires(), 15)


def story(world):
    charts = pathlib.Path(world.programs.pop("charts"))
    with ApiServer() as api:
        mesh.build(world, api)
        traffic(world, api)
        start_prometheus(world, charts)
        texts = dashboards(charts)
        texts += alerts(charts, world.folder)
        names_exist(texts)
        one_goes(world)


if __name__ == "__main__":
    sys.exit(main(story, __file__, ["charts", "culvertd", "ztunnel", "culvert-node"]))
