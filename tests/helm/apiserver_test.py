#!/usr/bin/env python3
"""What the charts make is what a real API server takes, field by field, in every profile; CRDs are installed when nobody else has them.
Usage: apiserver_test.py CHARTS CULVERT"""
import json
import pathlib
import re
import subprocess
import sys

from apiserver import ApiServer, Refused
from charts import FULL, PROFILES, helm, profile
from cluster import eventually

FOREIGN = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gateways.gateway.networking.k8s.io, annotations: {api-approved.kubernetes.io: "unapproved, a test's"}}
spec:
  group: gateway.networking.k8s.io
  scope: Namespaced
  names: {plural: gateways, kind: Gateway}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
"""
# The kinds of Prometheus's operator, with what an old one knows of those fields that we set.
MONITOR = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: @PLURAL@.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {plural: @PLURAL@, kind: @KIND@}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {
        selector: {type: object, x-kubernetes-preserve-unknown-fields: true}, groups: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}},
        endpoints: @ENDPOINTS@, podMetricsEndpoints: @ENDPOINTS@}}}}}
"""
ENDPOINTS = """{type: array, items: {type: object, properties: {port: {type: string}, path: {type: string}, interval: {type: string},
          relabelings: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}"""
MONITORS = "---".join(MONITOR.replace("@PLURAL@", f"{kind.lower()}s").replace("@KIND@", kind).replace("@ENDPOINTS@", ENDPOINTS)
                      for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"))


def crds(api):
    return {each["metadata"]["name"] for each in api.get("crds")}


def taken(charts, api, name, *values):
    words = ("install", "culvert", charts / "culvert", "-n", "istio-system", *values)
    code, out, err = helm(*words, "--dry-run=server", KUBECONFIG=str(api.kubeconfig))
    assert code == 0, f"{name}: {err}"
    code, text, err = helm("template", *words[1:], KUBECONFIG=str(api.kubeconfig))
    objects = [each for each in re.split(r"^---$", text, flags=re.M) if "CustomResourceDefinition" not in each]
    said = api.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input="---\n".join(objects))
    print(f"{name}: {len(said.splitlines())} objects are taken", flush=True)
    return {line.split("/")[0].split(" ")[0] for line in said.splitlines()}


def asked_for(api, culvert, kinds):
    """`culvert precheck` asks whether one may do what helm does to each of these: who may nothing hears of all of them."""
    view = json.loads(api.kubectl("config", "view", "--raw", "-o", "json"))
    view["users"][0]["user"] = {"token": api.token("default")}
    config = api.folder / "nobody.kubeconfig"
    config.write_text(json.dumps(view))
    done = subprocess.run([culvert, "precheck", "--kubeconfig", config, "-o", "json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    denied = " ".join(each["message"] for each in json.loads(done.stdout)["findings"] if each["code"] == "CVT0102")
    served = {}  # "networkpolicy.networking.k8s.io" -> "networkpolicies.networking.k8s.io"
    for line in api.kubectl("api-resources", "--no-headers").splitlines():
        plural, *_, version, _, kind = line.split()
        group = "." + version.partition("/")[0] if "/" in version else ""
        served[kind.lower() + group] = plural + group
    for name in map(served.get, kinds):
        for verb in ("get", "create", "patch", "delete"):
            assert f"{verb} {name}" in denied, f"{verb} {name} is not asked for: {denied}"
    print(f"{len(kinds)} kinds are asked for")


def every_profile(charts, api, culvert):
    """--dry-run=server renders with what the cluster has; applying that as a dry run checks each field, strictly."""
    kinds = set()
    for name in PROFILES:
        kinds |= taken(charts, api, name, *profile(charts, name))
    values = api.folder / "full.yaml"
    values.write_text(FULL)
    api.apply(MONITORS)
    api.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=20s")
    kinds |= taken(charts, api, "everything that is off by default", "-f", values)
    asked_for(api, culvert, kinds)
    api.kubectl("delete", "-f", "-", input=MONITORS)
    wrong = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: default}\nspec: {ports: [{port: 1, prot: TCP}]}\n"
    try:
        api.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=wrong)
    except Refused as refused:
        assert 'unknown field "spec.ports[0].prot"' in str(refused), refused
    else:
        raise AssertionError("a dry run checks nothing")


def one_taint(charts, api):
    """An agent may take the startup taint off its own node, and change nothing else of any."""
    code, text, err = helm("template", "culvert", charts / "culvert", "-n", "istio-system", "-s", "charts/cni/templates/taint.yaml",
                           "--set", "cni.startupTaint.enabled=true", KUBECONFIG=str(api.kubeconfig))
    assert code == 0, err
    api.apply(text)
    for node in ("n1", "n2"):
        api.apply(f"apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n")
        api.kubectl("taint", "node", node, "culvert.dev/agent-not-ready=:NoSchedule", "other=:NoSchedule")
    api.kubectl("wait", "validatingadmissionpolicy/culvert-node-taint-istio-system", "--for=jsonpath={.status.observedGeneration}=1", "--timeout=20s")
    checked = api.get("validatingadmissionpolicy", "culvert-node-taint-istio-system")["status"]
    assert not checked["typeChecking"], checked

    def refusal(*words):
        try:
            api.kubectl(*words)
        except Refused as refused:
            return str(refused)
        return ""

    agent = ("--as", "system:serviceaccount:istio-system:culvert-node")
    of_n1 = (*agent, "--as-user-extra", "authentication.kubernetes.io/node-name=n1")
    away = ("culvert.dev/agent-not-ready-",)
    eventually("the policy is in force", lambda: refusal("label", "node", "n1", "a=b", "--dry-run=server", *agent), 20)
    for words, who, why in ((("taint", "node", "n1", *away), agent, "its own node alone"), (("taint", "node", "n2", *away), of_n1, "its own node alone"),
                            (("taint", "node", "n1", "other-"), of_n1, "may take no taint away but"),
                            (("taint", "node", "n1", "more=:NoSchedule"), of_n1, "may add no taint"),
                            (("label", "node", "n1", "a=b"), of_n1, "nothing of its node but a taint")):
        said = refusal(*words, *who)
        assert why in said, (words, said)
    api.kubectl("taint", "node", "n1", *away, *of_n1)
    keys = {node: {taint["key"] for taint in api.get("node", node)["spec"]["taints"]} for node in ("n1", "n2")}
    assert "other" in keys["n1"] and away[0][:-1] not in keys["n1"] and away[0][:-1] in keys["n2"], keys
    print("an agent may change one taint of its own node")


def base(charts, api, command, *more):
    code, _, err = helm(command, "base", charts / "base", "-n", "istio-system", *more, KUBECONFIG=str(api.kubeconfig))
    assert code == 0, err


def only_when_absent(charts, api):
    ours = {path.read_text().split("\n  name: \"")[1].split('"')[0] for path in (charts / "base/files/crds").iterdir()}
    api.apply(FOREIGN)
    base(charts, api, "install")
    gateway = {name for name in ours if name.endswith("gateway.networking.k8s.io")}
    assert crds(api) == (ours - gateway) | {"gateways.gateway.networking.k8s.io"}, "the group is somebody else's"
    api.kubectl("delete", "crd", "gateways.gateway.networking.k8s.io")
    base(charts, api, "upgrade")
    assert crds(api) == ours, "now it is nobody's"
    base(charts, api, "upgrade")
    assert crds(api) == ours, "what is ours stays ours"
    code, _, err = helm("uninstall", "base", "-n", "istio-system", KUBECONFIG=str(api.kubeconfig))
    assert code == 0, err
    assert crds(api) == ours, "objects would be lost with them"
    base(charts, api, "install")
    assert crds(api) == ours, "installed again over those of before"
    print(f"{len(ours)} CRDs, of which {len(gateway)} are the Gateway API's")


def parts_that_go(charts, api):
    """A part that is taken out of a running release would leave pods captured: that is refused, with what to do first."""
    def upgrade(*sets, fails=""):
        words = ("upgrade", "--install", "culvert", charts / "culvert", "-n", "istio-system", "--set", ",".join(sets or ["global.tag=v2"]))
        code, out, err = helm(*words, KUBECONFIG=str(api.kubeconfig))
        assert (code != 0) == bool(fails) and fails in err, (sets, err)
        return out

    warning = "there were no agents on the nodes"
    assert warning not in upgrade(), "nothing is there to be rolled back to"
    for sets, words in ((("cni.enabled=false",), "cni.enabled=false would take the agents away"),
                        (("cni.enabled=false", "ztunnel.enabled=false"), "delete daemonset culvert-node --cascade=foreground"),
                        (("ztunnel.enabled=false",), "ztunnel.enabled=false would leave the pods of the mesh without connections"),
                        (("controlplane.enabled=false",), "Promote the other one first")):
        upgrade(*sets, fails=words)
    assert warning not in upgrade()
    api.kubectl("delete", "daemonset", "-n", "istio-system", "culvert-node", "--cascade=foreground", "--timeout=30s")
    upgrade("cni.enabled=false", "ztunnel.enabled=false")
    assert not api.get("daemonsets", "-n", "istio-system")
    assert warning in upgrade(), "of a rollback to a revision without them nobody is asked"
    assert warning not in upgrade()
    code, _, err = helm("uninstall", "culvert", "-n", "istio-system", "--no-hooks", KUBECONFIG=str(api.kubeconfig))
    assert code == 0, err
    api.kubectl("delete", "services", "-n", "istio-system", "culvertd", "istiod")
    print("no part goes that another one needs")


def main():
    charts, culvert = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    with ApiServer() as api:
        api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n")
        every_profile(charts, api, culvert)
        one_taint(charts, api)
        only_when_absent(charts, api)
        code, _, err = helm("uninstall", "base", "-n", "istio-system", KUBECONFIG=str(api.kubeconfig))
        assert code == 0, err
        parts_that_go(charts, api)


if __name__ == "__main__":
    main()
