#!/usr/bin/env python3
"""`culvert install`, `upgrade`, `uninstall`, `manifest`: what they have helm do (tests/golden/cli/helm-words.txt), what they make of what helm says and
of how it ends, and what they refuse. helm is a script here, which writes down how it is called; tests/helm has the real one.
Usage: install_test.py CULVERT [--write]      --write accepts the words that come out now"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

GOLDEN = pathlib.Path(__file__).resolve().parent.parent.parent / "golden/cli/helm-words.txt"
HELM = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["FAKE_CALLS"], "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
verb = sys.argv[1]
if verb == "status":
    said = os.environ.get("FAKE_STATUS", "")
    if "is forbidden" in said:
        sys.exit(said)
    if not said:
        sys.exit("Error: release: not found")
    print(said)
elif verb == "get":
    print(open(os.environ["FAKE_FOLDER"] + "/has.yaml").read())
elif "json" in sys.argv:
    print(json.dumps({"manifest": open(os.environ["FAKE_FOLDER"] + "/wanted.yaml").read()}))
else:
    print("helm was here")
    sys.exit(int(os.environ.get("FAKE_CODE", "0")))
"""
OBJECT = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: istio-system}\ndata: {x: \"@X@\"}\n"
DEPLOYED = json.dumps({"version": 3, "info": {"status": "deployed"}})
SANITIZERS = {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS") if name in os.environ}  # where their reports go
# What is typed, and whether a release is there.
WORDS = [
    ("install -y", False),
    ("install -y --profile production -f mine.yaml --set a=b --set c.d={x,y} --set-string e=1 --set-json f=[1] --set-file g=mine.yaml", False),
    ("install -y -n culvert-system --release mesh --kubeconfig k --context c --timeout 90s --no-wait", False),
    ("install -y --dry-run", False),
    ("install -y --set a=b", True),
    ("upgrade -y", True),
    ("upgrade -y --reset-values --skip-confirmation --set a=b", True),
    ("upgrade --diff --set a=b", True),
    ("manifest generate --profile demo --set a=b", False),
    ("manifest generate -o out", False),
    ("manifest diff -f mine.yaml", True),
]


class World:
    """A folder with a helm, charts and a kubeconfig that leads nowhere."""

    def __init__(self, culvert, folder):
        self.culvert, self.folder, self.calls = folder / "alone/here/culvert", folder, folder / "calls"
        self.culvert.parent.mkdir(parents=True)
        shutil.copy(culvert, self.culvert)  # beside the one of the build tree there are charts
        (folder / "bin").mkdir()
        (folder / "bin/helm").write_text(HELM)
        (folder / "bin/helm").chmod(0o755)
        (folder / "charts/culvert/profiles").mkdir(parents=True)
        version = subprocess.run([culvert, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        (folder / "charts/culvert/Chart.yaml").write_text(f"name: culvert\nversion: {version}\n")
        for name in ("production", "demo"):
            (folder / f"charts/culvert/profiles/{name}.yaml").write_text("")
        (folder / "mine.yaml").write_text("")

    def run(self, words, input="", helm=True, **environment):
        """Exit code, output, errors, and how helm was called."""
        self.calls.write_text("")
        path = f"{self.folder}/bin:/usr/bin:/bin" if helm else str(self.folder / "nothing")
        done = subprocess.run([self.culvert, *words.split()], input=input, capture_output=True, text=True, timeout=30, cwd=self.folder,
                              env={"PATH": path, "HOME": str(self.folder), "FAKE_CALLS": str(self.calls), "FAKE_FOLDER": str(self.folder)} | SANITIZERS | environment)
        calls = [json.loads(line) for line in self.calls.read_text().splitlines()]
        return done.returncode, done.stdout, done.stderr, calls


def golden(world, write):
    text = ""
    (world.folder / "has.yaml").write_text(OBJECT)
    (world.folder / "wanted.yaml").write_text(OBJECT)
    for words, there in WORDS:
        code, _, err, calls = world.run(f"{words} --charts charts", FAKE_STATUS=DEPLOYED if there else "")
        assert code == 0, (words, code, err)
        text += f"$ culvert {words}\n" + "".join(f"  helm {' '.join(call)}\n" for call in calls)
    if write:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert GOLDEN.read_text() == text, f"{text}\n(accept: --write)"


def helms_end(world):
    """Its exit code is ours, its output is passed on."""
    code, out, _, calls = world.run("install -y --charts charts", FAKE_CODE="7")
    assert code == 7 and "helm was here" in out and calls[-1][0] == "upgrade", (code, out, calls)
    code, _, err, calls = world.run("install -y --charts charts", helm=False)
    assert code == 1 and "starting helm: No such file or directory (put Helm 4, or 3.14 and newer, into a folder of PATH)" in err and not calls, err
    assert world.run("manifest generate --charts charts", FAKE_CODE="3")[0] == 3


def asked_first(world):
    """Without a yes nothing is done; a release that is there is said to be."""
    for input in ("", "n\n", "what\n"):
        code, out, err, calls = world.run("install --charts charts", input=input)
        assert code == 1 and "Proceed? (y/N)" in out and "nothing was changed" in err and [call[0] for call in calls] == ["status"], (code, out, calls)
    code, out, _, calls = world.run("install --charts charts", input="y\n", FAKE_STATUS=DEPLOYED)
    assert code == 0 and "revision 3, deployed" in out and [call[0] for call in calls] == ["status", "upgrade"], (out, calls)


def refused(world):
    for words, said in (("install -y --charts nowhere", "--charts nowhere: there is no chart `culvert`"), ("install -y", "(say where: --charts DIR)"),
                        ("install -y --charts charts --profile prod", "there is no such profile in charts/culvert (there are demo, production)"),
                        ("upgrade -y --charts charts", "has no release of that name"), ("uninstall -y", ".kube/config: No such file or directory (name a kubeconfig")):
        code, _, err, calls = world.run(words)
        assert code == 1 and said in err and all(call[0] == "status" for call in calls), (words, code, err, calls)


def forbidden(world):
    code, _, err, calls = world.run("upgrade -y --charts charts", FAKE_STATUS="Error: query: secrets is forbidden: User x")
    assert code == 1 and "secrets is forbidden: User x (helm keeps a release in Secrets; `culvert precheck` says" in err and len(calls) == 1, (code, err)


def misunderstood(world):
    """What Istio calls by another name is named, and so is a time that is none; helm is not even asked."""
    for words, said in (("install -y --set values.pilot.autoscaleMin=2", "--set values.pilot.autoscaleMin: the chart calls it controlplane.autoscaleMin"),
                        ("upgrade --set-string meshConfig.trustDomain=a", "--set-string meshConfig.trustDomain: the chart calls it controlplane.meshConfig.trustDomain"),
                        ("manifest generate --set profile=demo", "--set profile: there is no such value (write --profile NAME)"),
                        ("install --timeout soon", "--timeout: ")):
        code, _, err, calls = world.run(words)
        assert code == 64 and said in err and not calls, (words, code, err)


def differences(world):
    """0, 1 and 2, as diff has it."""
    (world.folder / "has.yaml").write_text(OBJECT.replace("@X@", "1"))
    (world.folder / "wanted.yaml").write_text(OBJECT.replace("@X@", "2"))
    for words in ("manifest diff", "upgrade --diff"):
        code, out, err, _ = world.run(f"{words} --charts charts", FAKE_STATUS=DEPLOYED)
        assert (code, out) == (1, "changed: ConfigMap istio-system/a\n  - data.x: 1\n  + data.x: 2\n"), (code, out, err)
    code, out, _, _ = world.run("manifest diff --charts charts")
    assert (code, out) == (1, "new: ConfigMap istio-system/a\n"), (code, out)
    (world.folder / "wanted.yaml").write_text("a: [")
    assert world.run("manifest diff --charts charts", FAKE_STATUS=DEPLOYED)[0] == 2
    assert world.run("manifest diff --charts charts", helm=False)[0] == 2


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(os.path.abspath(sys.argv[1]), pathlib.Path(folder))
        golden(world, "--write" in sys.argv)
        for check in (helms_end, asked_first, refused, forbidden, misunderstood, differences):
            check(world)


if __name__ == "__main__":
    main()
