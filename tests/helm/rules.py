"""Policies on the cluster that Helm has installed: a DENY that is enforced, STRICT, and a pod that opts out. A step of cluster_test.py."""
from cluster import addresses, apply, eventually, fetch, get, kubectl, redirection

PODS = """
apiVersion: v1
kind: Namespace
metadata: {name: rules, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: unwanted, namespace: rules}
"""
POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: @NAME@, namespace: rules, labels: {app: @NAME@@MORE@}}
spec:
  nodeName: @NODE@
  serviceAccountName: @ACCOUNT@
  terminationGracePeriodSeconds: 1
  containers:
    - name: all
      image: culvert.test/busybox:1
      imagePullPolicy: Never
      command: [sh, -c, "mkdir /www && echo here > /www/index.html && exec httpd -f -p '[::]:8080' -h /www"]
      readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
"""
DENY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: unwanted, namespace: rules}
spec:
  selector: {matchLabels: {app: server}}
  action: DENY
  rules: [{from: [{source: {principals: [cluster.local/ns/rules/sa/unwanted]}}]}]
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: rules}
spec: {mtls: {mode: STRICT}}
"""


def pod(name):
    return get("pod", "-n", "rules", name)


def rules(_):
    """Who is denied is refused and others are not; under STRICT nobody comes in the clear, and probes do; a pod that opts out, live, is outside of all that."""
    made = [("server", "node2", "default", ""), ("wanted", "node1", "default", ""), ("unwanted", "node1", "unwanted", ""),
            ("outside", "node1", "default", ", istio.io/dataplane-mode: none")]
    apply(PODS + "".join(POD.replace("@NAME@", name).replace("@NODE@", node).replace("@ACCOUNT@", account).replace("@MORE@", more)
                         for name, node, account, more in made))
    kubectl("wait", "-n", "rules", "pods", "--all", "--for=condition=Ready", "--timeout=60s")
    assert {name: redirection(pod(name)) for name, *_ in made} == {"server": "enabled", "wanted": "enabled", "unwanted": "enabled", "outside": None}
    server = addresses(pod("server"))[0]

    def come_in(*names):
        """Exactly these do."""
        return {name for name in ("wanted", "unwanted", "outside") if fetch(pod(name), server)[0] == 0} == set(names)

    eventually("everybody comes in", lambda: come_in("wanted", "unwanted", "outside"))
    apply(DENY)
    eventually("one is denied", lambda: come_in("wanted", "outside"))
    kubectl("delete", "authorizationpolicy", "-n", "rules", "unwanted")
    eventually("none is denied", lambda: come_in("wanted", "unwanted", "outside"))
    apply(STRICT)
    eventually("in the clear nobody comes in", lambda: come_in("wanted", "unwanted"))
    before = pod("server")["metadata"]["uid"]
    kubectl("label", "pod", "-n", "rules", "server", "istio.io/dataplane-mode=none")
    eventually("it is out", lambda: redirection(pod("server")) is None and come_in("wanted", "unwanted", "outside"))
    kubectl("label", "pod", "-n", "rules", "server", "istio.io/dataplane-mode-")
    eventually("it is in again", lambda: redirection(pod("server")) == "enabled" and come_in("wanted", "unwanted"))
    conditions = {each["type"]: each["status"] for each in pod("server")["status"]["conditions"]}
    assert pod("server")["metadata"]["uid"] == before and conditions["Ready"] == "True", conditions
    kubectl("delete", "namespace", "rules", "--wait=false")
