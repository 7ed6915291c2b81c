#!/usr/bin/env python3
"""The CNI plugin and the agent, both real: who is let start, who is not, and what the runtime hears."""
import json
import os
import socket
import subprocess
import sys

from world import eventually, kill, main, sh

# As containerd and the bridge plugin write it, with white space that has to stay.
RESULT = """{ "cniVersion":"%s", "interfaces":[{"name":"eth0","sandbox":"/run/netns/%s"}],
  "ips":[{"interface":0, "address":"%s/24","gateway":"10.9.0.1"}], "dns":{}}"""


class Runtime:
    """Calls the plugin as containerd does."""

    def __init__(self, plugin, agent_socket):
        self.plugin, self.socket = plugin, agent_socket

    def start(self, verb, namespace, pod, netns="", address="10.9.0.2", version="1.0.0", uid="", result=True):
        previous = RESULT % (version, netns, address)
        settings = json.dumps({"cniVersion": version, "name": "pods", "type": "culvert-cni", "agent_socket": self.socket,
                               "exclude_namespaces": ["kube-system"], "own_namespace": "istio-system", "own_pods": ["ztunnel-"]})
        self.previous = previous
        environment = {"CNI_COMMAND": verb, "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_PATH": "/opt/cni/bin",
                       "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod};K8S_POD_UID={uid or 'uid-' + pod}"}
        if netns:
            environment["CNI_NETNS"] = f"/run/netns/{netns}"
        call = subprocess.Popen([self.plugin], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        call.stdin.write((settings[:-1] + (f', "prevResult": {previous}' if result else "") + "}").encode())
        call.stdin.close()
        return call

    def call(self, *arguments, **more):
        """(exit code, output)"""
        call = self.start(*arguments, **more)
        output = call.stdout.read().decode()
        return call.wait(60), output

    def passes(self, *arguments, **more):
        code, output = self.call(*arguments, **more)
        assert (code, output) == (0, self.previous), (code, output)

    def refuses(self, text, *arguments, code=11, **more):
        status, output = self.call(*arguments, **more)
        told = json.loads(output)
        assert status == 1 and told["code"] == code and text in told["msg"], (status, output)
        assert told["cniVersion"] == more.get("version", "1.0.0"), output


def raw(path, *packets):
    """What the agent answers to these bytes; nothing when it closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(20)
        peer.connect(path)
        for packet in packets:
            peer.send(packet)
        return peer.recv(65536).decode()


def write_pod(world, name, namespace="shop", mode="", annotations=""):
    world.write(f"{name}.yaml", f"""apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, uid: uid-{name}, labels: {{{mode}}}, annotations: {{{annotations}}}}}
spec: {{nodeName: n1, serviceAccount: web, containers: [{{name: c, image: x}}]}}
status: {{phase: Pending}}
""")


def story(world):
    plugin = world.programs[2]
    assert os.path.getsize(plugin) < 5 * 1024 * 1024 or "asan" in plugin
    agent_socket = f"{world.folder}/agent/agent.sock"
    runtime = Runtime(plugin, agent_socket)
    for name, number in (("a", 2), ("b", 3), ("c", 4)):
        world.pod(name, number)
    world.serve("c")

    # Nobody to ask: only who cannot belong, and what the mesh is made of, starts; who ends, ends.
    runtime.refuses("pod shop/a does not start before culvert-node can say whether it belongs to the mesh", "ADD", "shop", "a", "a")
    runtime.passes("ADD", "kube-system", "coredns-1", "a")
    runtime.passes("ADD", "istio-system", "ztunnel-x7k2p", "a")
    assert runtime.call("DEL", "shop", "a") == (0, "")
    assert runtime.call("CHECK", "shop", "a", "a") == (0, "")
    assert runtime.call("STATUS", "", "", version="1.1.0") == (0, "")
    assert runtime.call("GC", "", "", version="1.1.0") == (0, "")
    assert json.loads(runtime.call("VERSION", "", "")[1])["supportedVersions"] == ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]

    # An agent that comes while it is asked answers. Without a ztunnel nobody gets into the mesh, so nobody of it starts.
    world.write_namespace("ambient")
    world.write("office.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: office}\n")
    write_pod(world, "a")
    write_pod(world, "c", namespace="office")
    waiting = runtime.start("ADD", "shop", "a", "a")
    settings = {"CULVERT_AGENT_SOCKET": agent_socket, "CULVERT_ADD_PATIENCE": "1s"}
    world.start_agent(**settings)
    assert "no ztunnel is connected to the node agent" in waiting.stdout.read().decode() and waiting.wait() == 1
    runtime.passes("ADD", "office", "c", "c", address="10.9.0.4")
    assert runtime.call("STATUS", "", "", version="1.1.0") == (0, "")

    # With one, whoever belongs is captured before his first packet.
    world.start_ztunnel()
    for version in ("0.3.1", "0.4.0", "1.0.0", "1.1.0"):
        runtime.passes("ADD", "shop", "a", "a", version=version)
        assert world.try_from("a", "10.9.0.4", 80) == "outbound 10.9.0.4 80"
        assert runtime.call("DEL", "shop", "a", "a", version=version) == (0, "")
        eventually("leaving", lambda: world.pods()["shop/a"]["state"] == "leaving")
    runtime.passes("ADD", "shop", "a", "a")
    assert runtime.call("CHECK", "shop", "a", "a") == (0, "")
    runtime.refuses("is not captured", "CHECK", "shop", "a", "b")
    assert world.redirection("a") == "enabled"

    # One that is not known, one of another uid, one with another's addresses.
    runtime.refuses("whether it belongs to the mesh cannot be known: no file of the configuration folder has pod shop/b", "ADD", "shop", "b", "b")
    runtime.refuses("cannot be known", "ADD", "shop", "a", "a", uid="uid-of-another")
    write_pod(world, "b")
    eventually("known", lambda: world.pods()["shop/b"]["verdict"] == "enrolled")
    runtime.refuses("has not its address 10.9.0.2", "ADD", "shop", "b", "b")
    runtime.refuses("is that of pod shop/a already", "ADD", "shop", "b", "a", address="10.9.0.2")
    runtime.passes("ADD", "shop", "b", "b", address="10.9.0.3")
    write_pod(world, "opted", mode="istio.io/dataplane-mode: none")
    eventually("known", lambda: world.pods()["shop/opted"]["verdict"] == "opted_out")
    runtime.passes("ADD", "shop", "opted", "c", address="10.9.0.4")

    # A pod that has IPv6 alone.
    world.pod("six", 5)
    sh("ip -n six addr del 10.9.0.5/24 dev eth0")
    write_pod(world, "six")
    eventually("known", lambda: world.pods()["shop/six"]["verdict"] == "enrolled")
    runtime.passes("ADD", "shop", "six", "six", address="fd09::5")
    assert world.try_from("six", "fd09::4", 80) == "outbound fd09::4 80"
    assert world.try_from("c", "fd09::5", 80) == "inbound fd09::5 80"

    # The agent is replaced; what it captured stays, and it goes on.
    kill(world.agent)
    assert world.try_from("a", "10.9.0.4", 80) == "outbound 10.9.0.4 80"
    waiting = runtime.start("ADD", "shop", "b", "b", address="10.9.0.3")
    world.start_agent(**settings)
    assert waiting.stdout.read().decode() == runtime.previous and waiting.wait() == 0

    # What is none of the protocol hurts nobody.
    for packet in (b"x", b"{}", b"\xff" * 100, b'{"version":1,"verb":"add","namespace":"..","pod":"x"}', b'{"version":7,"verb":"add"}'):
        assert json.loads(raw(agent_socket, packet))["verdict"] == "refused", packet
    assert raw(agent_socket, b"x" * 60000) == ""
    assert raw(agent_socket) == ""  # who says nothing is sent away
    runtime.passes("ADD", "shop", "b", "b", address="10.9.0.3")
    assert 'culvert_node_cni_answers_total{verb="add",verdict="enrolled"}' in world.fetch("http://127.0.0.1:15014/metrics")


if __name__ == "__main__":
    sys.exit(main(story))
