#!/usr/bin/env python3
"""Images of our programs: the same bytes twice, small, with a bill of materials, and taken and run by a real containerd.
Usage, by tests/run-e2e: images_test.py BUILD"""
import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile
import tempfile

from cluster import ROOT, Failed, eventually, kubectl, load, make_images, run

NAMES = ("culvertd", "ztunnel", "culvert-node")
MOST_BYTES = 60_000_000  # of an image, compressed
MOST_PLUGIN_BYTES = 5_000_000  # of the CNI plugin, which is copied to the host and runs there
LOOK = """
apiVersion: v1
kind: Pod
metadata: {name: look-@NAME@, namespace: default}
spec:
  restartPolicy: Never
  containers:
    - name: look
      image: culvert.test/@NAME@:test
      imagePullPolicy: Never
      args: [--version]
      securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}@MORE@}
"""


def blob(archive, digest):
    content = archive.extractfile("blobs/sha256/" + digest.removeprefix("sha256:")).read()
    assert hashlib.sha256(content).hexdigest() == digest.removeprefix("sha256:"), f"{digest} is not what its name says"
    return content


def contents(archive, manifest):
    """The files of all layers."""
    files = {}
    config = json.loads(blob(archive, manifest["config"]["digest"]))
    for layer, diff in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        tar = gzip.decompress(blob(archive, layer["digest"]))
        assert "sha256:" + hashlib.sha256(tar).hexdigest() == diff
        with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
            for each in opened:
                assert each.mtime == 0 and each.uid == 0 and each.gid == 0, each.name
                files[each.name] = opened.extractfile(each).read() if each.isreg() else None
    return config, files


def refers(archive, image, about, bill):
    """The bill of materials is an artifact that names the image, as a registry would list it (OCI 1.1), and has no name that anybody could take for one."""
    assert about["artifactType"] == "application/spdx+json" and "annotations" not in about, about
    manifest = json.loads(blob(archive, about["digest"]))
    assert manifest["subject"] == {key: image[key] for key in ("mediaType", "digest", "size")} and manifest["artifactType"] == about["artifactType"]
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json" and blob(archive, manifest["config"]["digest"]) == b"{}"
    (document,) = manifest["layers"]
    assert document["mediaType"] == "application/spdx+json" and blob(archive, document["digest"]) == bill


def layout(folder, name, digest):
    """One image archive, by the OCI's rules."""
    with tarfile.open(folder / f"{name}.tar") as archive:
        assert json.load(archive.extractfile("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
        entry, about = json.load(archive.extractfile("index.json"))["manifests"]
        assert entry["digest"] == digest
        manifest = json.loads(blob(archive, digest))
        refers(archive, entry, about, (folder / f"{name}.spdx.json").read_bytes())
        config, files = contents(archive, manifest)
    size = sum(layer["size"] for layer in manifest["layers"])
    assert size < MOST_BYTES, f"{name}: {size} bytes"
    commit = run(ROOT / "build/release/bin" / name, "--version").split("(")[1].rstrip(")\n")
    labels = config["config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == commit and labels["org.opencontainers.image.title"] == name
    assert not [path for path in files if path.endswith(("/sh", "/bash", "/dpkg"))], "a shell is nobody's business there"
    assert b"BEGIN CERTIFICATE" in files["etc/ssl/certs/ca-certificates.crt"]
    assert files[f"usr/share/sbom/{name}.spdx.json"] == (folder / f"{name}.spdx.json").read_bytes()
    print(f"{name}: {size / 1e6:.1f} MB, {len(files)} entries", flush=True)
    return files


def bill(folder, name, files):
    """Every library of the image is of a package that the bill names, with the version that is installed."""
    spdx = json.loads((folder / f"{name}.spdx.json").read_text())
    assert spdx["spdxVersion"] == "SPDX-2.3" and spdx["creationInfo"]["created"].endswith("Z")
    packages = {package["name"]: package for package in spdx["packages"]}
    related = {(each["relationshipType"], each["relatedSpdxElement"]) for each in spdx["relationships"]}
    assert ("DESCRIBES", "SPDXRef-image") in related
    for path in files:
        if ".so" in pathlib.Path(path).name:
            owner = run("dpkg-query", "--search", pathlib.Path("/", path).resolve()).split(":")[0]
            version = run("dpkg-query", "--show", "--showformat=${Version}", owner)
            assert packages[owner]["versionInfo"] == version, (path, owner)
    assert "libboost1.88-dev" in packages, "what was compiled in is named as well"
    return len(packages)


def plugin(content):
    """What is copied to the host needs nothing of the host's: no loader, no library."""
    assert len(content) < MOST_PLUGIN_BYTES, len(content)
    with tempfile.NamedTemporaryFile() as program:
        program.write(content)
        program.flush()
        said = run("readelf", "--wide", "--program-headers", program.name)
    assert " LOAD " in said and " INTERP " not in said and " DYNAMIC " not in said, said
    print(f"culvert-cni: {len(content) / 1e6:.1f} MB, static", flush=True)


def runs(name):
    """As the least that it can be: no capability, nothing to write to. What is nobody's is run by nobody."""
    more = ", runAsNonRoot: true" if name == "culvertd" else ""
    kubectl("apply", "-f", "-", input=LOOK.replace("@NAME@", name).replace("@MORE@", more))
    eventually(f"{name} runs", lambda: kubectl("get", "pod", f"look-{name}", "-o", "jsonpath={.status.phase}") == "Succeeded", 60)
    said = kubectl("logs", f"look-{name}")
    assert said == run(ROOT / "build/release/bin" / name, "--version"), said
    print(f"{said.strip()}: runs", flush=True)


def main():
    with tempfile.TemporaryDirectory() as once, tempfile.TemporaryDirectory() as twice:
        once, twice = pathlib.Path(once), pathlib.Path(twice)
        digests = make_images(once)
        assert make_images(twice) == digests, "the same tree, the same bytes"
        for file in (f"{name}.{kind}" for name in NAMES for kind in ("tar", "spdx.json")):
            assert (once / file).read_bytes() == (twice / file).read_bytes(), file
        files = {name: layout(once, name, digests[name]) for name in NAMES}
        for name in NAMES:
            print(f"{name}: a bill of {bill(once, name, files[name])} packages", flush=True)
        plugin(files["culvert-node"]["usr/local/bin/culvert-cni"])
        load(*(once / f"{name}.tar" for name in NAMES))
    for name in NAMES:
        runs(name)
    try:
        make_images(pathlib.Path("/tmp"), "culvert-noed")
    except Failed as failed:
        assert "no such program: culvert-noed" in str(failed)


if __name__ == "__main__":
    sys.exit(main())
