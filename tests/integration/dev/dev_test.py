#!/usr/bin/env python3
"""`./dev` itself: a machine that will not do is refused with one line that says what to do, what was made once is not made again, who is not root
becomes it by sudo, and `./dev run` hands signals in and exit codes out.
Run inside the environment, whose cache is at /cache: from there a second one is entered, as from outside. Usage: dev_test.py SOURCES"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

HIDE = 'mount -t tmpfs none "$0" && exec "$@"'  # in a mount namespace of its own


def outside(**more):
    """What a caller outside has in his environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CULVERT_")}
    return kept | more


class Machine:
    """A machine as ./dev sees it: programs that answer as told, folders that are not there, a cache that is empty."""

    def __init__(self, dev, folder):
        self.dev, self.folder = dev, folder
        (folder / "bin").mkdir()
        (folder / "cache").mkdir()
        self.answers("mmdebstrap", "exit 1")

    def answers(self, program, script):
        path = self.folder / "bin" / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def refuses(self, *said, hidden=None):
        words = [self.dev, "run", "true"]
        if hidden:
            words = ["unshare", "--mount", "sh", "-c", HIDE, hidden, *words]
        done = subprocess.run(words, env=outside(PATH=f"{self.folder}/bin:{os.environ['PATH']}", CULVERT_CACHE=str(self.folder / "cache")),
                              capture_output=True, text=True, timeout=60)
        lines = done.stderr.splitlines()
        assert done.returncode == 1 and len(lines) == 1 and lines[0].startswith("dev: ") and not done.stdout, done
        assert all(each in lines[0] for each in said), done


def what_is_missing(dev):
    df = "printf 'Avail\\n%s\\n' "
    with tempfile.TemporaryDirectory() as name:
        machine = Machine(dev, pathlib.Path(name))
        for old in ("5.16.9-generic", "4.19.0-27-amd64"):
            machine.answers("uname", f"echo {old}")
            machine.refuses(f"Linux {old} is too old", "5.17 or newer", "boot a newer kernel")
        machine.answers("uname", "echo 5.17.0")
        machine.refuses("no BTF at /sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF=y", hidden="/sys/kernel/btf")
        machine.answers("df", df + "2048000")
        machine.refuses("has 2000 MiB free, the environment needs 6 GiB", "CULVERT_CACHE")
        machine.answers("df", df + "9000000")
        machine.refuses("no Debian archive key", "install debian-archive-keyring", hidden="/usr/share/keyrings")


def what_is_made_once(dev):
    """An environment that is there is entered with nothing asked of anybody; where there is none, it is made."""
    with tempfile.TemporaryDirectory() as name:
        machine = Machine(dev, pathlib.Path(name))
        called = machine.folder / "called"
        for program in ("mmdebstrap", "apt-get", "apt-config", "dnf"):
            machine.answers(program, f"echo {program} >>{called}; exit 1")

        def run(cache):
            return subprocess.run([dev, "run", "echo", "here"], capture_output=True, text=True, timeout=60,
                                  env=outside(PATH=f"{machine.folder}/bin:{os.environ['PATH']}", CULVERT_CACHE=str(cache)))

        again = run("/cache")
        assert (again.returncode, again.stdout, again.stderr) == (0, "here\n", ""), again
        assert not called.exists(), called.read_text()
        machine.answers("df", "printf 'Avail\n9000000\n'")
        first = run(machine.folder / "cache")
        assert first.returncode == 1 and not first.stdout and "making the environment failed" in first.stderr, first
        assert "mmdebstrap" in called.read_text().split()


def who_is_not_root(dev):
    """./dev and its list of packages, where everybody may read them, run by nobody. The environment has no sudo."""
    with tempfile.TemporaryDirectory() as name:
        here = pathlib.Path(name)
        here.chmod(0o755)
        (here / "bin").mkdir()
        for file in ("dev", "dev.packages"):
            shutil.copy(pathlib.Path(dev).parent / file, here / file)

        def run(*words):
            return subprocess.run([here / "dev", *words], env=outside(PATH=f"{here}/bin:{os.environ['PATH']}"), cwd="/", capture_output=True,
                                  text=True, timeout=60, user=65534, group=65534, extra_groups=[])

        refused = run("run", "true")
        assert refused.returncode == 1 and not refused.stdout, refused
        assert refused.stderr == "dev: root is needed and sudo is not here (run it as root)\n", refused
        sudo = here / "bin" / "sudo"
        sudo.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 5\n")
        sudo.chmod(0o755)
        words = ["run", "sh", "-c", "echo 'two  words'", ""]
        asked = run(*words)
        kept, *again = asked.stdout.split("\n")[:-1]
        assert asked.returncode == 5 and not asked.stderr and again == [str(here / "dev"), *words], asked
        assert kept.startswith("--preserve-env=") and {"CULVERT_CACHE", "CULVERT_PRESET"} <= set(kept.partition("=")[2].split(",")), kept


def what_passes_through(dev):
    environment = outside(CULVERT_CACHE="/cache")
    assert subprocess.run([dev, "run", "sh", "-c", "exit 7"], env=environment, timeout=60).returncode == 7
    assert subprocess.run([dev, "run"], env=environment, capture_output=True, timeout=60).returncode == 1
    assert subprocess.run([dev, "nonsense"], env=environment, capture_output=True, timeout=60).returncode == 1
    script = 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'
    with subprocess.Popen([dev, "run", "sh", "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 9


def main():
    dev = str(pathlib.Path(sys.argv[1]) / "dev")
    what_is_missing(dev)
    what_is_made_once(dev)
    who_is_not_root(dev)
    what_passes_through(dev)


if __name__ == "__main__":
    main()
