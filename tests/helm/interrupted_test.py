#!/usr/bin/env python3
"""What `culvert install` and its kin do about a release that was left half done: the real helm and API server, and no nodes, so that nothing ever becomes
ready.
Usage: interrupted_test.py CULVERT CHARTS"""
import os
import pathlib
import signal
import subprocess
import sys

from apiserver import ApiServer
from charts import home
from cluster import eventually

NS = "istio-system"


class Operator:
    """Says commands of `culvert` to one API server."""

    def __init__(self, culvert, charts, api):
        self.culvert, self.charts, self.api = culvert, charts, api

    def start(self, words, **more):
        charts = [] if words.startswith("uninstall") else ["--charts", self.charts]
        return subprocess.Popen([self.culvert, *words.split(), *charts], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True, env=os.environ | {"KUBECONFIG": str(self.api.kubeconfig), "PATH": f"{home()}/bin:{os.environ['PATH']}"})

    def says(self, words, code=0, input=""):
        """What it says, both ways."""
        with self.start(words) as program:
            out, err = program.communicate(input, timeout=100)
        assert program.returncode == code, f"culvert {words}: exit code {program.returncode}\n{out}{err}"
        return out + err

    def records(self):
        """The status of every revision, as helm keeps it."""
        return [each["metadata"]["labels"]["status"] for each in self.api.get("secrets", "-n", NS, "-l", "owner=helm")]

    def half_way(self, words, status):
        """The command, once helm has begun."""
        program = self.start(words)
        eventually(f"culvert {words} is half way", lambda: self.has(status))
        return program

    def has(self, status):
        return "owner=helm" in self.api.kubectl("get", "secrets", "-A", "--show-labels") and self.records()[-1] == status

    def killed(self, words, status):
        with self.half_way(words, status) as program:
            os.killpg(program.pid, signal.SIGKILL)
            program.communicate()


def killed(operator):
    """It is said, and nothing is done without a yes; with one it is finished. Without questions it is, too, once that helm's time is over."""
    operator.killed("install -y --profile minimal", "pending-install")
    said = operator.says("install --profile minimal --no-wait", code=1, input="n\n")
    assert "Release culvert is pending-install (revision 1) since " in said and "release culvert stays pending-install" in said, said
    assert operator.records() == ["pending-install"]
    said = operator.says("install --profile minimal --no-wait", input="y\ny\n")
    assert "takes over what was begun" in said, said
    assert operator.records() == ["deployed"], operator.records()

    operator.killed("upgrade -y --set controlplane.replicaCount=2", "pending-upgrade")
    said = operator.says("upgrade -y --no-wait --timeout 3s --set controlplane.replicaCount=3")
    assert "is pending-upgrade (revision 2)" in said and "takes over what was begun" in said, said
    assert operator.records() == ["superseded", "deployed"], operator.records()
    assert operator.api.get("deployment", "-n", NS, "culvertd")["spec"]["replicas"] == 3


def at_work(operator):
    """Whoever comes second waits for the first, and takes nothing from him. So when `culvert` alone was killed, and its helm goes on."""
    with operator.half_way("upgrade -y --timeout 5s", "pending-upgrade") as first:
        os.kill(first.pid, signal.SIGKILL)
        said = operator.says("upgrade -y --no-wait")
        assert "waits for it" in said and "takes over" not in said, said
        first.communicate()
    assert operator.records() == ["superseded", "superseded", "failed", "deployed"], operator.records()


def ctrl_c(operator):
    """helm hears it, ends in order and says so; the next one begins anew."""
    with operator.half_way("upgrade -y", "pending-upgrade") as program:
        os.killpg(program.pid, signal.SIGINT)
        _, said = program.communicate(timeout=30)
    assert program.returncode == 1 and "context canceled" in said, said
    assert operator.has("failed")
    operator.says("upgrade -y --no-wait")
    assert operator.has("deployed")


def half_uninstalled(operator):
    """There is nothing to install over."""
    operator.killed("uninstall -y", "uninstalling")
    for words in ("install -y --no-wait", "upgrade -y --no-wait"):
        said = operator.says(words, code=1)
        assert "release culvert is being uninstalled (revision 6)" in said and "`culvert uninstall` finishes that" in said, said


def main():
    culvert, charts = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
    with ApiServer() as api:
        operator = Operator(culvert, charts, api)
        for check in (killed, at_work, ctrl_c, half_uninstalled):
            check(operator)
            print(f"{check.__name__}: ok", flush=True)


if __name__ == "__main__":
    main()
