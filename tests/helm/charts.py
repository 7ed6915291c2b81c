"""What the tests of charts share: the real helm, and the profiles."""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROFILES = ("default", "ambient", "demo", "minimal", "production", "remote", "external", "openshift")
PARTS = ("base", "controlplane", "cni", "ztunnel")
# What a profile cannot know.
NEEDED = {"remote": ("--set", "global.remotePilotAddress=192.0.2.7"), "external": ("--set", "global.remotePilotAddress=culvertd.example.com")}

BEFORE = "0.0.9"  # the version of the charts, and the tag of the images, that a cluster is upgraded from


def previous(charts):
    """The charts of the version before."""
    return charts.parent / "previous"


def images_of(charts):
    """What says which images: those that a test has brought onto the nodes."""
    tag = BEFORE if charts.name == "previous" else "test"
    return ("--set", f"global.hub=culvert.test,global.tag={tag},global.imagePullPolicy=Never")


def home():
    """Where tests/kubernetes/build has put helm. Who cannot have it skips."""
    folder = subprocess.check_output([HERE.parent / "kubernetes/build", "--where"], text=True).strip()
    if not (pathlib.Path(folder) / "bin/helm").exists():
        print("skipped: helm is not built (tests/kubernetes/build)")
        sys.exit(77)
    return pathlib.Path(folder)


def helm(*words, **more):
    """Its exit code, output, and what it complained about. Knows no cluster unless `more` says one."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/tmp/helm-test", "KUBECONFIG": "/dev/null"} | more
    run = subprocess.run([home() / "bin/helm", *map(str, words)], capture_output=True, text=True, env=environment, timeout=100)
    return run.returncode, run.stdout, run.stderr


def profile(charts, name):
    return ("-f", charts / f"culvert/profiles/{name}.yaml", *NEEDED.get(name, ()))
