#!/usr/bin/env python3
"""What the uninstalling Jobs do, on a real API server without kubelets, with the rights that the charts give them: a control plane that goes on keeps
what it needs, and a node that is dead holds nobody up.
Usage: uninstall_test.py CULVERTD CULVERT CHARTS"""
import json
import os
import pathlib
import re
import subprocess
import sys

from apiserver import ApiServer
from charts import helm, home
from cluster import eventually

NS = "istio-system"
ALONE = "autoscaleEnabled=false,monitoring.dashboards.enabled=false,monitoring.rules.enabled=false"
WRITTEN = [
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "istio-ca-secret", "namespace": NS}, "stringData": {"ca-cert.pem": "the root"}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "culvert-ca-roots", "namespace": NS}, "stringData": {"roots": "of before"}},
    {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "culvertd", "namespace": NS},
     "spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"}},
    {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "culvert-validator"}, "webhooks": [
        {"name": "validation.culvert.dev", "clientConfig": {"service": {"name": "culvertd", "namespace": NS, "path": "/validate"}}, "sideEffects": "None",
         "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
         "rules": [{"apiGroups": ["security.istio.io"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["authorizationpolicies"]}]}]},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": NS}, "data": {"root-cert.pem": "the root"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": "default"}, "data": {"root-cert.pem": "the root"}},
]


class Cluster:
    def __init__(self, api, culvertd, culvert, charts):
        self.api, self.culvertd, self.culvert, self.charts = api, culvertd, culvert, charts

    def helm(self, command, release, chart=None, *words, fails=False):
        place = [self.charts / chart] if chart else []
        code, out, err = helm(command, release, *place, "-n", NS, *words, KUBECONFIG=str(self.api.kubeconfig))
        assert (code != 0) == fails, out + err
        return out + err

    def write(self):
        """As culvertd would."""
        for each in WRITTEN:
            self.api.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=culvertd", "-f", "-", input=json.dumps(each))

    def left(self):
        """Of that, and of the Services."""
        have = {f"{each['kind']} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}" for kind in
                ("secrets", "leases", "validatingwebhookconfigurations", "configmaps", "services") for each in self.api.get(kind, "-A")}
        wanted = {f"{each['kind']} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}" for each in WRITTEN}
        return have & (wanted | {f"Service {NS}/culvertd", f"Service {NS}/istiod"})

    def job(self, chart, file, account, what):
        """What its Job would run: culvertd as that account, with the rights that the chart's hooks give it."""
        code, out, err = helm("template", "x", self.charts / chart, "-n", NS, "-s", f"templates/{file}", KUBECONFIG=str(self.api.kubeconfig))
        assert code == 0, err
        self.api.apply("---\n".join(each for each in re.split(r"^---$", out, flags=re.M) if "\nkind: Job\n" not in each))
        view = json.loads(self.api.kubectl("config", "view", "--raw", "-o", "json"))
        view["users"][0]["user"] = {"token": self.api.token(account, NS)}
        config = self.api.folder / f"{account}.kubeconfig"
        config.write_text(json.dumps(view))
        return subprocess.Popen([self.culvertd, f"--uninstall={what}", f"--kubeconfig={config}", f"--namespace={NS}"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def purge(self):
        """`culvert uninstall --purge`: its exit code, and what it says."""
        done = subprocess.run([self.culvert, "uninstall", "--purge", "-y"], capture_output=True, text=True, timeout=100,
                              env=os.environ | {"KUBECONFIG": str(self.api.kubeconfig), "PATH": f"{home()}/bin:{os.environ['PATH']}"})
        return done.returncode, done.stdout + done.stderr

    def traces(self):
        with self.job("controlplane", "cleanup.yaml", "culvertd-cleanup", "traces") as program:
            said, _ = program.communicate(timeout=100)
        assert program.returncode == 0, said
        return said

    def services(self):
        return {each["metadata"]["name"]: (each["spec"]["selector"]["istio.io/rev"], each["metadata"]["annotations"]["meta.helm.sh/release-name"])
                for each in self.api.get("services", "-n", NS) if each["metadata"]["name"] in ("culvertd", "istiod")}


def retired(cluster):
    """The first control plane goes after another one has taken over: what both share stays, and the Services lead to the one that stays. With the last one
    all of it goes."""
    cluster.helm("install", "one", "controlplane", "--set", ALONE)
    cluster.write()
    everything = cluster.left()
    assert len(everything) == len(WRITTEN) + 2, everything
    cluster.helm("install", "canary", "controlplane", "--set", f"{ALONE},revision=canary")
    promote = ("upgrade", "canary", "controlplane", "--set", f"{ALONE},revision=canary,revisionTags={{default}}")
    assert "invalid ownership metadata" in cluster.helm(*promote, fails=True)
    cluster.helm(*promote, "--take-ownership")
    assert set(cluster.services().values()) == {("canary", "canary")}, cluster.services()
    cluster.helm("uninstall", "one", None, "--no-hooks")
    said = cluster.traces()
    assert f"left alone, since it is needed (Deployment {NS}/culvertd-canary)" in said, said
    assert cluster.left() == everything, said
    assert set(cluster.services().values()) == {("canary", "canary")}, cluster.services()
    code, said = cluster.purge()
    assert code == 1 and f"a control plane goes on ({NS}/culvertd-canary)" in said and cluster.left() == everything, said
    cluster.helm("uninstall", "canary", None, "--no-hooks")
    cluster.traces()
    assert not cluster.left(), cluster.left()
    print("a control plane that has taken over keeps the CA", flush=True)


def not_promoted(cluster):
    """The one that stays has the CA; nobody would review policies, so nobody is asked to."""
    cluster.helm("install", "one", "controlplane", "--set", ALONE)
    cluster.helm("install", "canary", "controlplane", "--set", f"{ALONE},revision=canary")
    cluster.write()
    everything = cluster.left()
    cluster.helm("uninstall", "one", None, "--no-hooks")
    said = cluster.traces()
    gone = everything - cluster.left()
    assert gone == {f"Service {NS}/culvertd", f"Service {NS}/istiod", "ValidatingWebhookConfiguration /culvert-validator"}, said
    cluster.helm("uninstall", "canary", None, "--no-hooks")
    cluster.traces()
    assert not cluster.left(), cluster.left()
    cluster.helm("install", "one", "controlplane", "--set", ALONE)
    cluster.write()
    cluster.helm("uninstall", "one", None, "--no-hooks")
    code, said = cluster.purge()
    assert code == 0 and not cluster.left(), said
    print("without Services nobody is asked about policies", flush=True)


def far_away(cluster):
    """With profile remote culvertd is in another cluster, and has written into this one. It is seen by its lease."""
    cluster.helm("install", "far", "controlplane", "--set", "istiodRemote.enabled=true,global.remotePilotAddress=192.0.2.7")
    cluster.write()
    cluster.helm("uninstall", "far", None, "--no-hooks")
    cluster.traces()
    assert not cluster.left(), cluster.left()
    print("a remote cluster keeps nothing", flush=True)


def node(name, ready):
    return (f"apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n",
            f"apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nstatus: {{conditions: [{{type: Ready, status: '{ready}'}}]}}\n")


def dead_node(cluster):
    """The agents of nodes that work are waited for; that of a dead one is named, and left."""
    api = cluster.api
    for name, ready in (("good", "True"), ("dead", "Unknown")):
        described, status = node(name, ready)
        api.apply(described)
        api.apply_status(status)
    cluster.helm("install", "cni", "cni", "--set", "global.arch=")
    api.kubectl("label", "nodes", "--all", "kubernetes.io/os=linux")

    def agents():
        return {each["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]:
                each["metadata"]["name"] for each in api.get("pods", "-n", NS, "-l", "k8s-app=culvert-node")}
    eventually("an agent for each node", lambda: len(agents()) == 2, 20)
    for where, name in agents().items():  # as the scheduler would
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": where}}
        api.kubectl("create", "--raw", f"/api/v1/namespaces/{NS}/pods/{name}/binding", "-f", "-", input=json.dumps(binding))
    with cluster.job("cni", "uninstall.yaml", "culvert-node-uninstall", "agents") as program:
        eventually("they are told to end", lambda: all("deletionTimestamp" in each["metadata"] for each in
                                                       api.get("pods", "-n", NS, "-l", "k8s-app=culvert-node")), 20)
        line = program.stdout.readline()
        while "waits for 1 agents" not in line:
            assert line, "it did not wait for the agent that can end"
            line = program.stdout.readline()
        api.delete("pod", "-n", NS, agents()["good"])
        said, _ = program.communicate(timeout=60)
    assert program.returncode == 0 and "dead: the node is not ready, and its agent was left there" in said, said
    assert "culvert-node" not in api.kubectl("get", "daemonsets", "-n", NS, "-o", "name"), "helm would wait for it"
    print("a dead node is named and left", flush=True)


def main():
    culvertd, culvert, charts = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
    with ApiServer() as api:
        api.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NS}}}\n")
        cluster = Cluster(api, culvertd, culvert, charts)
        cluster.helm("install", "base", "base")
        for check in (retired, not_promoted, far_away, dead_node):
            check(cluster)


if __name__ == "__main__":
    main()
