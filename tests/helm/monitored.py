"""A real Prometheus beside the cluster finds what to scrape as it would in it: by the Kubernetes API, and by the annotations of the pods. A step of
cluster_test.py."""
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.parse

from cluster import apply, eventually, kubectl, pods, run
import shop

PORT = 19090
RIGHTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: prometheus, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-prometheus}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-prometheus}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test-prometheus}
subjects: [{kind: ServiceAccount, name: prometheus, namespace: shop}]
"""
# The job for pods of everybody's configuration.
CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [@RULES@]
scrape_configs:
  - job_name: kubernetes-pods
    kubernetes_sd_configs: [{role: pod, kubeconfig_file: @KUBECONFIG@}]
    relabel_configs:
      - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: "true"}
      - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], action: replace, target_label: __metrics_path__, regex: (.+)}
      - {source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port], action: replace, regex: (.+);(.+), replacement: "$1:$2",
         target_label: __address__}
      - {source_labels: [__meta_kubernetes_pod_label_app], target_label: app}
      - {source_labels: [__meta_kubernetes_pod_phase], regex: Pending|Succeeded|Failed, action: drop}
"""
# What there is only once something has failed that does not fail here.
MAY_LACK = ("pilot_total_xds_rejects", "culvert_node_errors_total")


def ask(path, **query):
    said = run("on", "control", "curl", "-s", "-m", "5", f"http://127.0.0.1:{PORT}/api/v1/{path}?{urllib.parse.urlencode(query)}")
    return json.loads(said)["data"] if said.startswith("{") else None


def queries(charts):
    for path in sorted((charts / "controlplane/files/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                text = target["expr"].replace("$__rate_interval", "10s").replace("$reporter", "source|destination").replace("$namespace", ".*")
                yield f"{path.stem}: {panel['title']}", text if any(name in text for name in MAY_LACK) else text.replace(" or vector(0)", "")


def kubeconfig(folder):
    """That of the account, which is allowed to see pods."""
    view = json.loads(kubectl("config", "view", "--raw", "-o", "json"))
    view["users"][0]["user"] = {"token": kubectl("create", "token", "prometheus", "-n", "shop").strip()}
    (folder / "kubeconfig").write_text(json.dumps(view))
    return folder / "kubeconfig"


def start(folder, charts):
    config = folder / "prometheus.yaml"
    config.write_text(CONFIG.replace("@KUBECONFIG@", str(kubeconfig(folder))).replace("@RULES@", str(charts / "controlplane/files/rules.yaml")))
    world = (pathlib.Path(os.environ["KUBE_WORLD"]) / "pid").read_text().split()[0]
    return subprocess.Popen(["nsenter", f"--net=/proc/{world}/ns/net", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                             f"--web.listen-address=127.0.0.1:{PORT}", "--log.level=warn"])


def scraped():
    """How many of each program."""
    found = {}
    for one in (ask("query", query="up == 1") or {"result": []})["result"]:
        found[one["metric"]["app"]] = found.get(one["metric"]["app"], 0) + 1
    return found


def lacking(found):
    return [f"{where}: {text}" for where, text in found if not any(each["value"][1] != "NaN" for each in ask("query", query=text)["result"])]


def monitored(charts):
    """Every query of every dashboard has data, and not by `or vector(0)`; no alert fires that says something is broken."""
    apply(RIGHTS)
    found = list(queries(charts))
    with tempfile.TemporaryDirectory() as folder:
        program = start(pathlib.Path(folder), charts)
        try:
            wanted = {app: len(pods("istio-system", app)) for app in ("culvertd", "ztunnel", "culvert-node")}
            eventually("each of ours is scraped", lambda: scraped() == wanted, 30)
            asked = shop.client()

            def all_have_data():
                kubectl("exec", "-q", "-n", "shop", asked["metadata"]["name"], "--", "sh", "-c", "nslookup outside.test >/dev/null 2>&1; true")
                return not lacking(found)
            try:
                eventually("data for every query", all_have_data, 60)
            except AssertionError as late:
                raise AssertionError("no data:\n" + "\n".join(lacking(found))) from late
            rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
            assert all(rule["health"] == "ok" for rule in rules), rules
            fire = {rule["name"] for rule in rules if rule["state"] == "firing"}
            assert not fire & {"CulvertControlPlaneDown", "CulvertNodeWithoutZtunnel", "CulvertNodeWithoutAgent", "CulvertPluginNotInstalled", "CulvertPodsFail"}, fire
        finally:
            program.terminate()
            program.wait()
    kubectl("delete", "clusterrole,clusterrolebinding", "test-prometheus")
    print(f"  {len(found)} queries have data", flush=True)
