#!/usr/bin/env python3
"""The API server of our tests is a real one: what a scheduler, a kubelet and a user would write is there and comes back, tokens are bound to
pods, roles are kept to, watches are cut and expire, and nothing is left of it."""
import base64
import json
import os
import pathlib
import signal
import stat
import sys
import tempfile
import time

from apiserver import ApiServer, Refused

OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: a}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, serviceAccountName: web, containers: [{name: web, image: culvert.test/none}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ipFamilyPolicy: RequireDualStack, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: by-hand, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: by-hand-1, namespace: shop, labels: {kubernetes.io/service-name: by-hand}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.1.9], conditions: {ready: true}}]
---
apiVersion: certificates.k8s.io/v1beta1
kind: ClusterTrustBundle
metadata: {name: "culvert.test:root:1"}
spec: {signerName: culvert.test/root, trustBundle: @ROOT@}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: policies.culvert.test}
spec:
  group: culvert.test
  scope: Namespaced
  names: {plural: policies, singular: policy, kind: Policy}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {port: {type: integer, maximum: 65535}}}, status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""

STATUS = """
apiVersion: v1
kind: Node
metadata: {name: n1}
status:
  addresses: [{type: InternalIP, address: 172.30.0.11}]
  conditions: [{type: Ready, status: "True", reason: Test, message: "", lastHeartbeatTime: "2026-01-01T00:00:00Z", lastTransitionTime: "2026-01-01T00:00:00Z"}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop}
status:
  phase: Running
  podIP: 10.244.1.5
  podIPs: [{ip: 10.244.1.5}, {ip: "fd00:10:244:1::5"}]
  conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]
"""

POLICY = "{apiVersion: culvert.test/v1, kind: Policy, metadata: {name: p, namespace: shop}, spec: {port: %d}}"


def eventually(what, condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.1)
    return value


def refused(word, call, *words, **named):
    try:
        call(*words, **named)
    except Refused as error:
        assert word in str(error), error
        return
    raise AssertionError(f"not refused: {word}")


def endpoints(api, service):
    slices = api.get("endpointslices", "-n", "shop", "-l", f"kubernetes.io/service-name={service}")
    return sorted(address for each in slices for point in each["endpoints"] or () if point["conditions"]["ready"] for address in point["addresses"])


def objects(api):
    api.apply(OBJECTS.replace("@ROOT@", json.dumps(api.ca.read_text())))
    api.apply_status(STATUS)
    pod = api.get("pod", "web-0", "-n", "shop")
    assert [each["ip"] for each in pod["status"]["podIPs"]] == ["10.244.1.5", "fd00:10:244:1::5"], pod["status"]
    assert pod["spec"]["nodeName"] == "n1" and any(volume.get("projected") for volume in pod["spec"]["volumes"]), pod["spec"]
    node = api.get("node", "n1")
    assert next(each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready") == "True"
    assert len(api.get("service", "web", "-n", "shop")["spec"]["clusterIPs"]) == 2
    assert endpoints(api, "by-hand") == ["10.244.1.9"]
    eventually("a slice by the controllers", lambda: endpoints(api, "web") == ["10.244.1.5", "fd00:10:244:1::5"])
    eventually("the root that pods trust", lambda: "BEGIN CERTIFICATE" in api.kubectl(
        "get", "configmap", "kube-root-ca.crt", "-n", "shop", "--ignore-not-found", "-o", "yaml"))
    assert api.get("clustertrustbundle", "culvert.test:root:1")["spec"]["signerName"] == "culvert.test/root"


def custom_resources(api):
    api.kubectl("wait", "--for=condition=Established", "crd/policies.culvert.test", "--timeout=10s")
    eventually("its kind", lambda: "policies.culvert.test" in api.kubectl("api-resources", "--api-group=culvert.test", "-o", "name"))
    api.apply(POLICY % 80)
    api.apply_status("{apiVersion: culvert.test/v1, kind: Policy, metadata: {name: p, namespace: shop}, status: {accepted: true}}")
    assert api.get("policy", "p", "-n", "shop")["status"] == {"accepted": True}
    refused("65535", api.apply, POLICY % 70000)


def tokens(api):
    token = api.token("web", "shop", audience="istio-ca", pod="web-0")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["kubernetes.io"]
    assert claims["pod"]["name"] == "web-0" and claims["node"]["name"] == "n1", claims
    status = api.review(token, "istio-ca")
    assert status["authenticated"] and status["user"]["username"] == "system:serviceaccount:shop:web", status
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["web-0"] and status["audiences"] == ["istio-ca"], status
    assert not api.review(token, "other").get("authenticated")
    assert not api.review(token[:-8] + "AAAAAAAA", "istio-ca").get("authenticated")
    return token


def roles(api):
    folder = api.account("reader", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}], "shop")
    assert sorted(path.name for path in folder.iterdir()) == ["ca.crt", "kubeconfig", "namespace", "token"]
    reader = folder / "kubeconfig"
    assert "web-0" in api.kubectl("get", "pods", "-n", "shop", kubeconfig=reader)
    refused("cannot list resource \"services\"", api.kubectl, "get", "services", "-n", "shop", kubeconfig=reader)
    for path in (api.folder, api.kubeconfig, *folder.iterdir()):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def restarts(api, token):
    """Without the server nothing is answered; with it all is as before, whether it was killed or stopped."""
    before = {each["metadata"]["name"]: each["metadata"]["uid"] for each in api.get("pods,services,policies", "-n", "shop")}
    assert len(before) == 4, before
    for how in ("KILL", "TERM"):
        began = time.monotonic()
        api.stop(how)
        refused("refused", api.kubectl, "get", "--raw", "/readyz")
        stopped = time.monotonic()
        api.start()
        print(f"  stopped by {how} within {stopped - began:.1f} s, back within {time.monotonic() - stopped:.1f} s", flush=True)
        after = {each["metadata"]["name"]: each["metadata"]["uid"] for each in api.get("pods,services,policies", "-n", "shop")}
        assert after == before, (before, after)
        assert api.review(token, "istio-ca")["authenticated"]
    # The controllers have come back, too.
    api.apply_status(STATUS.replace("10.244.1.5", "10.244.1.6"))
    eventually("a slice by the controllers", lambda: "10.244.1.6" in endpoints(api, "web"), 20)


def pods_go(api, token):
    """The token of a pod ends with it."""
    api.delete("pod", "web-0", "-n", "shop")
    eventually("refused", lambda: not api.review(token, "istio-ca").get("authenticated"), 20)
    assert endpoints(api, "by-hand") == ["10.244.1.9"]


def watches(api):
    """Cut after 1 to 2 seconds, as told; what is older than the last compaction is gone."""
    began = time.monotonic()
    api.kubectl("get", "--raw", "/api/v1/namespaces?watch=true")
    assert 0.9 < time.monotonic() - began < 6, time.monotonic() - began
    version = api.get("policy", "p", "-n", "shop")["metadata"]["resourceVersion"]
    policies = "/apis/culvert.test/v1/namespaces/shop/policies"
    eventually("compaction", lambda: gone(api, f"{policies}?watch=true&timeoutSeconds=1&resourceVersion={version}"), 20)


def gone(api, path):
    api.apply(POLICY % (time.monotonic_ns() % 60000))
    return '"code":410' in api.kubectl("get", "--raw", path)


def step(work, *words):
    began = time.monotonic()
    result = work(*words)
    print(f"{work.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)
    return result


def space_of(pid):
    """The PID namespace of a process, None once it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def within(space):
    """Names of the processes in a PID namespace. Another API server beside this one has its own."""
    names = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if space_of(process.name) == space:
                names.append((process / "comm").read_text().strip())
        except OSError:
            pass  # gone meanwhile
    return sorted(names)


def story():
    with tempfile.TemporaryDirectory() as data:
        began = time.monotonic()
        with ApiServer("--min-request-timeout=1", "--etcd-compaction-interval=2s", "--watch-cache=false", data=data) as api:
            print(f"ready within {time.monotonic() - began:.1f} s", flush=True)
            step(objects, api)
            step(custom_resources, api)
            token = step(tokens, api)
            step(roles, api)
            step(restarts, api, token)
            step(pods_go, api, token)
            step(watches, api)
            url = api.url
            began = time.monotonic()
        print(f"down within {time.monotonic() - began:.1f} s", flush=True)
        assert not api.folder.exists()

        # Another run goes on with what the first has left, and when its first process is killed nothing remains.
        with ApiServer(data=data) as api:
            space = space_of(api.pid)
            names = [name for name in within(space) if name.startswith(("etcd", "kube"))]
            assert api.url == url and names == ["etcd", "kube-apiserver", "kube-controller"], names
            assert endpoints(api, "by-hand") == ["10.244.1.9"]
            token = api.token("web", "shop")
            assert api.review(token)["authenticated"]
            began = time.monotonic()
            os.kill(api.pid, signal.SIGKILL)
            eventually("the end of all", lambda: not api.folder.exists())
            print(f"killed: all gone within {time.monotonic() - began:.1f} s", flush=True)
            eventually("the end of its programs", lambda: not within(space))


if __name__ == "__main__":
    sys.exit(story())
