"""The bill of materials of an image, as SPDX 2.3: which Debian packages its libraries come from, and whose headers and static libraries its programs
were compiled with, as dpkg and the build tree know it."""
import collections
import hashlib
import json
import re
import subprocess
import sys

FIELDS = ("${Package}", "${Version}", "${Architecture}", "${source:Package}", "${source:Version}", "${Maintainer}", "${Homepage}")


def owners(paths):
    """The packages that these files belong to."""
    if not paths:
        return set()
    said = subprocess.run(["dpkg-query", "--search", *sorted(paths)], capture_output=True, text=True, check=False).stdout
    names = set()
    for line in said.splitlines():
        packages, _, path = line.rpartition(": ")
        if path in paths:
            names |= set(packages.split(", "))
    return names


def described(names):
    if not names:
        return []
    said = subprocess.run(["dpkg-query", "--show", "--showformat=" + "\t".join(FIELDS) + "\n", *sorted(names)], capture_output=True, text=True, check=True)
    return [dict(zip(("name", "version", "arch", "source", "source_version", "maintainer", "homepage"), line.split("\t")))
            for line in sorted(set(said.stdout.splitlines()))]


def compiled_with(program, build):
    """System headers and static libraries that went into it, by the build tree's own records."""
    target = program.relative_to(build)

    def ninja(*words):
        asked = subprocess.run(["ninja", "-C", str(build), "-t", *words], capture_output=True, text=True, check=False)
        if asked.returncode:
            sys.exit(f"images: asking the build tree about {target}: {asked.stderr.strip()} (is it a leftover? remove it)")
        return asked.stdout

    inputs = [line for line in ninja("inputs", str(target)).splitlines() if line.endswith((".o", ".a"))]
    used = {path for path in re.findall(r"/usr/\S+\.a\b", ninja("commands", "-s", str(target)))}
    objects = [path for path in inputs if path.endswith(".o")]
    for line in ninja("deps", *objects).splitlines():
        if line.startswith("    /usr/"):
            used.add(line.strip())
    return used


def entry(package):
    purl = f"pkg:deb/debian/{package['name']}@{package['version'].replace('+', '%2B')}?arch={package['arch']}&distro=debian-13"
    return {"SPDXID": "SPDXRef-deb-" + re.sub(r"[^A-Za-z0-9.-]", "-", package["name"]), "name": package["name"], "versionInfo": package["version"],
            "supplier": "Organization: Debian", "originator": f"Person: {package['maintainer']}", "downloadLocation": "NOASSERTION",
            "homepage": package["homepage"] or "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
            "sourceInfo": f"built from {package['source']} {package['source_version']}",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]}


def document(name, version, commit, created, programs, libraries, build):
    """The whole document, as bytes that are the same for the same tree."""
    contained = described(owners(libraries) | {"ca-certificates"})
    headers = owners(set().union(*(compiled_with(program, build) for program in programs)))
    tools = described(headers - {package["name"] for package in contained})
    own = {"SPDXID": "SPDXRef-image", "name": name, "versionInfo": f"{version} ({commit})", "supplier": "Organization: Culvert",
           "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
           "copyrightText": "NOASSERTION", "primaryPackagePurpose": "CONTAINER"}
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")]
    relations += [("SPDXRef-image", "CONTAINS", entry(package)["SPDXID"]) for package in contained]
    relations += [(entry(package)["SPDXID"], "BUILD_DEPENDENCY_OF", "SPDXRef-image") for package in tools]
    body = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"{name}-{version}",
            "creationInfo": {"created": created, "creators": ["Tool: culvert-images"]},
            "packages": [own, *map(entry, contained), *map(entry, tools)],
            "relationships": [dict(zip(("spdxElementId", "relationshipType", "relatedSpdxElement"), each)) for each in relations]}
    doubled = [each for each, count in collections.Counter(package["SPDXID"] for package in body["packages"]).items() if count > 1]
    assert not doubled, f"two packages of one name: {doubled}"
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    body["documentNamespace"] = f"https://culvert.dev/spdx/{name}-{version}-{digest}"
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()
