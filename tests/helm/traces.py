"""All that there is on a cluster and its nodes, to say afterwards what somebody has left."""
import json

from cluster import NODES, kubectl, run, tried

# What comes and goes by itself on any cluster.
FLEETING = {"events", "events.events.k8s.io", "pods", "endpoints", "endpointslices.discovery.k8s.io", "replicasets.apps", "controllerrevisions.apps",
            "ipaddresses.networking.k8s.io"}
# Folders of a node's disk and memory whose content is its container runtime's and kubelet's.
BUSY = ("/proc", "/sys/kernel", "/sys/devices", "/dev", "/tmp", "/run/containerd", "/run/kube", "/run/netns", "/var/lib/kubelet", "/var/lib/containerd", "/var/lib/cni",
        "/run/cni", "/var/log", "/cache", "/work")


def objects():
    """Each by kind and name, with what is annotated and labelled: nodes and namespaces are marked by this."""
    kinds = set(kubectl("api-resources", "--verbs=list", "-o", "name").split()) - FLEETING
    items = json.loads(kubectl("get", ",".join(sorted(kinds)), "-A", "--ignore-not-found", "-o", "json"))["items"]
    found = set()
    for item in items:
        about = item["metadata"]
        where = f"{item['apiVersion']} {item['kind']} {about.get('namespace', '')}/{about['name']}"
        marks = [f"{where}: {key}" for marks in ("annotations", "labels") for key in about.get(marks, {})]
        found |= {where, *marks, *(f"{where}: taint {taint['key']}" for taint in item.get("spec", {}).get("taints", []) if item["kind"] == "Node")}
    return found


def on_node(name):
    """Files, addresses, routes, rules, and programs that cgroups have."""
    away = [word for folder in BUSY for word in ("-path", folder, "-prune", "-o")]
    found = set(run("on", name, "find", "/etc", "/opt", "/run", "/var", "/usr/local", "/sys/fs/bpf", *away, "-print").splitlines())
    for words in (("ip", "-o", "rule"), ("ip", "-6", "-o", "rule"), ("ip", "route", "show", "table", "all", "proto", "static"), ("nft", "list", "tables"),
                  ("iptables-save", "-t", "mangle")):
        found |= {f"{' '.join(words)}: {line.strip()}" for line in tried("on", name, *words)[1].splitlines() if not line.startswith("#")}
    programs = json.loads(tried("on", name, "bpftool", "-j", "cgroup", "tree", "/sys/fs/cgroup/unified")[1] or "[]")
    return found | {f"{group['cgroup']}: {program['name']}" for group in programs for program in group["programs"]}


class Traces:
    """What there is now, to compare with later. What belongs to a namespace that `foreign` names is not ours to answer for."""

    def __init__(self):
        self.objects, self.nodes = objects(), {name: on_node(name) for name in NODES}

    def left(self, *foreign):
        """What has come since."""
        now = Traces()
        mine = {each for each in now.objects - self.objects if not any(f" {name}/" in each or f" Namespace /{name}" in each for name in foreign)}
        return sorted(mine | {f"{name}: {each}" for name in NODES for each in now.nodes[name] - self.nodes[name]})
