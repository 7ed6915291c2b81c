#!/usr/bin/env python3
"""ServiceEntries on a real API server: their hosts are given addresses, which stand in their status and stay whatever comes, goes or restarts; what a
MeshConfig says counts, and what cannot be used is said.
Usage: entries_test.py CULVERTD CRDS"""
import ipaddress
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from apiserver import ApiServer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "ztunnel"))
from culvertd_test import RULES  # noqa: E402

V4, V6 = ipaddress.ip_network("240.240.0.0/16"), ipaddress.ip_network("2001:2::/48")
PORT, METRICS, DEBUG = 15912, 15914, 15980

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: @NAME@, namespace: shop, labels: {@LABELS@}}
spec: {hosts: [@HOSTS@], ports: [{number: 443, name: tls, protocol: TLS}], resolution: @RESOLUTION@}
"""


def entry(name, *hosts, resolution="DNS", labels=""):
    values = {"NAME": name, "HOSTS": ", ".join(hosts), "RESOLUTION": resolution, "LABELS": labels}
    text = ENTRY
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def eventually(what, check, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if got := check():
            return got
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def page(port, path):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3).read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()
    except OSError as error:
        return str(error)


class Plane:
    def __init__(self, program, kubeconfig, folder):
        self.program, self.kubeconfig, self.folder = program, kubeconfig, pathlib.Path(folder)

    def start(self):
        self.log = (self.folder / "log").open("a")
        self.process = subprocess.Popen(
            [self.program, f"--kubeconfig={self.kubeconfig}", f"--data-dir={self.folder / 'data'}", f"--address=127.0.0.1:{PORT}",
             f"--monitoring-port={METRICS}", f"--debug-port={DEBUG}", "--webhook-port=0"], stdout=self.log, stderr=self.log)
        eventually("ready", lambda: page(DEBUG, "/ready") == "ready\n", 40)
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def warnings(self, name):
        return [one["text"] for one in json.loads(page(DEBUG, "/debug/configz"))["warnings"] if one["object"] == name]


def addresses(api, name):
    status = api.get("serviceentry", name, "-n", "shop").get("status", {})
    return [(one["host"], ipaddress.ip_address(one["value"])) for one in status.get("addresses", [])]


def of_each_family(found, host):
    mine = [address for its_host, address in found if its_host == host]
    return len(mine) == 2 and mine[0] in V4 and mine[1] in V6


def given(api, name, *hosts):
    """Its addresses, once each host has one of each family."""
    def look():
        found = addresses(api, name)
        return found if len(found) == 2 * len(hosts) and all(of_each_family(found, host) for host in hosts) else None
    return eventually(f"{name} has addresses", look)


def gives_and_keeps(api, plane):
    api.apply(entry("a", "a.example.com", "b.example.com"))
    first = given(api, "a", "a.example.com", "b.example.com")
    assert len({address for _, address in first}) == 4, first
    api.apply(entry("c", "c.example.com"))
    given(api, "c", "c.example.com")
    api.apply(entry("a", "b.example.com", "z.example.com"))
    second = given(api, "a", "b.example.com", "z.example.com")
    assert [one for one in first if one[0] == "b.example.com"] == [one for one in second if one[0] == "b.example.com"], (first, second)


def other_parts_of_the_status_are_left_alone(api, plane):
    patch = {"status": {"conditions": [{"type": "Mine", "status": "True"}]}}
    api.kubectl("patch", "serviceentry", "c", "-n", "shop", "--subresource=status", "--type=merge", "-p", json.dumps(patch))
    api.apply(entry("c", "c.example.com", "d.example.com"))
    given(api, "c", "c.example.com", "d.example.com")
    assert api.get("serviceentry", "c", "-n", "shop")["status"]["conditions"][0]["type"] == "Mine"


def conflicts_end(api, plane):
    """Somebody gives a younger entry an older one's address: the younger one gets its own."""
    api.apply(entry("young", "young.example.com"))
    given(api, "young", "young.example.com")
    old = addresses(api, "c")
    stolen = [{"host": "young.example.com", "value": str(address)} for host, address in old if host == "c.example.com"]
    api.kubectl("patch", "serviceentry", "young", "-n", "shop", "--subresource=status", "--type=merge",
                "-p", json.dumps({"status": {"addresses": stolen}}))
    eventually("young has its own", lambda: not {address for _, address in addresses(api, "young")} & {address for _, address in old})
    given(api, "young", "young.example.com")
    assert addresses(api, "c") == old


def a_restart_changes_nothing(api, plane):
    before = {name: addresses(api, name) for name in ("a", "c", "young")}
    version = {name: api.get("serviceentry", name, "-n", "shop")["metadata"]["resourceVersion"] for name in before}
    plane.stop()
    plane.start()
    api.apply(entry("after", "after.example.com"))
    eventually("the new leader gives one", lambda: of_each_family(addresses(api, "after"), "after.example.com"), 40)
    assert {name: addresses(api, name) for name in before} == before
    assert {name: api.get("serviceentry", name, "-n", "shop")["metadata"]["resourceVersion"] for name in before} == version, "written again"


def who_does_not_want_them_loses_them(api, plane):
    api.apply(entry("young", "young.example.com", labels='networking.istio.io/enable-autoallocate-ip: "false"'))
    eventually("cleared", lambda: addresses(api, "young") == [])
    api.apply(entry("after", "after.example.com", resolution="NONE"))
    eventually("cleared", lambda: addresses(api, "after") == [])


def mesh_config_counts(api, plane):
    api.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n"
              "data: {mesh: 'serviceEntryVisibility: {defaultVisibility: NONE}'}\n")
    eventually("left out", lambda: any("is NONE" in text for text in plane.warnings("ServiceEntry shop/a")))
    api.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomian: x'}\n")
    eventually("said", lambda: any("did you mean trustDomain?" in text for text in plane.warnings("ConfigMap istio-system/istio")))
    assert any("is NONE" in text for text in plane.warnings("ServiceEntry shop/a")), "the last good version stays in force"
    api.delete("configmap", "istio", "-n", "istio-system")
    eventually("there again", lambda: not any("is NONE" in text for text in plane.warnings("ServiceEntry shop/a")))


def a_waypoint_is_named_refused_and_found(api, plane):
    api.apply("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: wp}}\nspec: {ports: [{port: 80}]}\n")
    eventually("missing", lambda: any("there is no Gateway shop/wp" in text for text in plane.warnings("Service shop/web")))
    api.apply("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: wp, namespace: shop}\n"
              "spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n")
    eventually("not ready", lambda: any("has no address yet" in text for text in plane.warnings("Service shop/web")))
    patch = {"status": {"addresses": [{"type": "Hostname", "value": "wp.shop.svc.cluster.local"}]}}
    api.kubectl("patch", "gateways.gateway.networking.k8s.io", "wp", "-n", "shop", "--subresource=status", "--type=merge", "-p", json.dumps(patch))
    eventually("ready", lambda: all("cannot be used" not in text for text in plane.warnings("Service shop/web")))


def main():
    program, crds = sys.argv[1:]
    with ApiServer() as api, tempfile.TemporaryDirectory() as folder:
        files = sorted(pathlib.Path(crds).glob("*.yaml"))
        assert files, f"{crds}: no CRDs (the target crds makes them)"
        for crd in files:
            api.apply(crd.read_text())
        for name in ("istio-system", "shop"):
            api.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
        plane = Plane(program, f"{api.account('culvertd', RULES, 'istio-system')}/kubeconfig", folder).start()
        try:
            for step in (gives_and_keeps, other_parts_of_the_status_are_left_alone, conflicts_end, a_restart_changes_nothing,
                         who_does_not_want_them_loses_them, mesh_config_counts, a_waypoint_is_named_refused_and_found):
                began = time.monotonic()
                step(api, plane)
                print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)
        except BaseException:
            print((pathlib.Path(folder) / "log").read_text()[-6000:], file=sys.stderr)
            raise
        finally:
            plane.stop()


if __name__ == "__main__":
    main()
