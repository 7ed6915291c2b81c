#!/usr/bin/env python3
"""The charts as helm renders them, without a cluster: lint, golden files (tests/golden/helm), and what is refused, with which words.
Usage: render_test.py CHARTS [--write]      CHARTS: build/release/charts; --write accepts what comes out now"""
import difflib
import json
import pathlib
import re
import sys

from charts import FULL, HERE, PARTS, PROFILES, helm, profile

GOLDEN = HERE.parent / "golden/helm"
# Their sources are files of their own, and long.
QUIET = ("--set", "base.base.enableCRDTemplates=false,controlplane.monitoring.dashboards.enabled=false,controlplane.monitoring.rules.enabled=false")
# Chart, what is set, and what helm has to say.
REFUSED = [
    ("culvert", "global.hubb=x", "hubb"), ("culvert", "globl.hub=x", "globl"), ("culvert", "ztunel.env.A=b", "ztunel"),
    ("culvert", "controlplane.replicas=3", "replicas"), ("culvert", "controlplane.pdb.minAvailabel=1", "minAvailabel"),
    ("culvert", "controlplane.resources.request.cpu=1", "request"), ("culvert", "controlplane.resources.requests.cpus=1", "cpus"),
    ("culvert", "controlplane.meshConfig.accessLogFile=/dev/stdout", "accessLogFile"), ("culvert", "controlplane.autoscaleEnabled=maybe", "boolean"),
    ("culvert", "cni.ambient.dnscapture=true", "dnscapture"), ("culvert", "ztunnel.updateStrategy.rollingUpdate.maxSurgge=1", "maxSurgge"),
    ("culvert", "global.platform=opneshift", "platform"), ("culvert", "profile=prod", "profile"), ("culvert", "base.crds.istio=sometimes", "crds"),
    ("base", "base.excludedCRD[0]=a", "excludedCRD"), ("cni", "chaned=true", "chaned"), ("ztunnel", "logLvel=debug", "logLvel"),
    ("controlplane", "hubb=x", "hubb"), ("cni", "cniBinDir=opt/cni/bin", "cniBinDir"), ("cni", "pinDir=/tmp", "pinDir"),
    ("culvert", "profile=production", "add `-f profiles/production.yaml`"),
    ("culvert", "controlplane.istiodRemote.enabled=true", "needs global.remotePilotAddress"),
    ("culvert", "controlplane.signer.name=example.com/mesh", "signer.rootsConfigMap go together"), ("culvert", "cni.seccompProfile.type=Default", "type"),
    ("culvert", "controlplane.trustedZtunnelNamespace=kube-system", "trustedZtunnelNamespace"), ("culvert", "global.arch=x86", "arch"),
    ("culvert", "cni.uninstall.deadlineSeconds=100", "uninstall.deadlineSeconds (100) is no more than"), ("culvert", "controlplane.cleanup.image=x", "image"),
    ("culvert", "cni.startupTaint.kye=a", "kye"), ("culvert", "controlplane.autoscaleMin=7", "autoscaleMax (5) is less than autoscaleMin (7)"),
]


def template(charts, chart, *words):
    code, out, err = helm("template", "culvert", charts / chart, "--namespace", "istio-system", "--kube-version", "1.34.0", *words)
    assert code == 0, err
    return out


def lint(charts):
    cases = [(part,) for part in PARTS] + [("culvert", *profile(charts, name)) for name in PROFILES]
    for chart, *words in cases:
        code, out, err = helm("lint", "--strict", "--quiet", "--namespace", "istio-system", charts / chart, *words)
        assert code == 0, f"helm lint {chart} {words}:\n{out}{err}"
    print(f"lint: {len(cases)} charts and profiles")


def versions(charts):
    """One version in all charts and their archives: that of the programs."""
    source = (HERE.parent.parent / "common/base/version.h").read_text()
    version = re.search(r'kVersion = "(.*)"', source)[1]
    for name in (*PARTS, "culvert"):
        about = (charts / name / "Chart.yaml").read_text()
        assert set(re.findall(r"(?<=ersion: )[0-9][^,\s]*", about)) == {version}, about
        assert (charts / f"{name}-{version}.tgz").stat().st_size < 900_000, "a release is kept in a Secret, of at most 1 MiB"


def objects(text):
    """Rendered objects by kind and name."""
    found = {}
    for each in re.split(r"^---$", text, flags=re.M):
        kind, name = re.search(r"^kind: (\S+)$", each, re.M), re.search(r"^  name: (\S+)$", each, re.M)
        if kind:
            found[f"{kind[1]} {name[1]}"] = each.strip("\n") + "\n"
    return found


def difference(default, other):
    """What a profile makes of the default: objects that are new, gone or changed. Short enough to be read in a review."""
    lines = [f"gone: {name}\n" for name in default if name not in other]
    for name, text in other.items():
        if name not in default:
            lines += [f"new: {name}\n", text]
        elif text != default[name]:
            lines += difflib.unified_diff(default[name].splitlines(True), text.splitlines(True), f"default: {name}", "this profile", n=2)
    return "".join(lines)


def golden(charts, write):
    default = template(charts, "culvert", *profile(charts, "default"), *QUIET)
    full = pathlib.Path("/tmp/full-values.yaml")
    full.write_text(FULL)
    now = {"default.yaml": default, "full.yaml": template(charts, "culvert", "-f", full, *QUIET)}
    for name in PROFILES[1:]:
        now[f"{name}.diff"] = difference(objects(default), objects(template(charts, "culvert", *profile(charts, name), *QUIET)))
    assert now.pop("ambient.diff") == "", "ambient is another name for the default"
    differ = 0
    for name, text in now.items():
        path = GOLDEN / name
        if write:
            path.write_text(text)
        if not path.exists() or path.read_text() != text:
            differ += 1
            before = path.read_text() if path.exists() else ""
            print("".join(difflib.unified_diff(before.splitlines(True), text.splitlines(True), str(path), "what comes out now")))
    assert not differ, f"{differ} of {len(now)} differ (accept: {sys.argv[0]} {charts} --write)"
    print(f"golden: {len(now)} renderings are as they were")


def whole(charts):
    """With all that the golden files leave out."""
    out = template(charts, "culvert", "--set", "controlplane.monitoring.prometheusRule.enabled=true")
    assert out.count("\nkind: CustomResourceDefinition\n") + out.count('\nkind: "CustomResourceDefinition"\n') == len(list((charts / "base/files/crds").iterdir()))
    for path in (charts / "controlplane/files/dashboards").iterdir():
        assert f"name: culvert-dashboard-{path.stem}" in out
        json.loads(path.read_text())
    assert out.count("alert: CulvertNodeWithoutZtunnel") == 2, "in the ConfigMap and in the PrometheusRule"
    some = template(charts, "base", "--set", "base.excludedCRDs={envoyfilters.networking.istio.io},crds.gatewayAPI=never")
    assert "envoyfilters" not in some and "sidecars.networking.istio.io" in some and 'group: "gateway' not in some


def by_helm_alone(charts):
    """What holds of every profile: pods of ours come to no machine that they are not for, and a Job gives up before helm does (five minutes)."""
    for name in PROFILES:
        for about, text in objects(template(charts, "culvert", *profile(charts, name), *QUIET)).items():
            if about.split()[0] in ("Deployment", "DaemonSet", "Job"):
                assert "kubernetes.io/os: linux" in text and "kubernetes.io/arch: amd64" in text, (name, about)
                numbers = "runAsUser: 65532" in text or "fsGroup" in text
                assert not (numbers and name == "openshift"), f"{about}: the platform has a range of its own"
            if about.startswith("Job"):
                assert int(re.search(r"activeDeadlineSeconds: (\d+)", text)[1]) < 300, (name, about)
                assert "{operator: Exists}" not in text, f"{about} would wait on a node that is dead"
    code, _, err = helm("template", "culvert", charts / "ztunnel", "-n", "kube-system")
    assert code and "ztunnel cannot run in kube-system" in err, err


def refused(charts):
    for chart, setting, words in REFUSED:
        code, out, err = helm("template", "culvert", charts / chart, "--set", setting)
        assert code != 0, f"{chart}: {setting} is accepted"
        assert words in err, f"{chart}: {setting}: {err}"
    assert helm("template", "culvert", charts / "culvert", "--set", "profile=ambient")[0] == 0
    assert helm("template", "culvert", charts / "culvert", *profile(charts, "demo"), "--set", "profile=demo")[0] == 0
    print(f"refused: {len(REFUSED)} mistakes, each by its name")


def main():
    charts = pathlib.Path(sys.argv[1]).resolve()
    for check in (lint, versions, whole, by_helm_alone, refused):
        check(charts)
    golden(charts, "--write" in sys.argv)


if __name__ == "__main__":
    main()
