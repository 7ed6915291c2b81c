"""The running cluster of two nodes, for tests that tests/run-e2e calls: kubectl, helm and on are on the PATH."""
import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KUBERNETES = ROOT / "tests/kubernetes"
PATIENCE = int(os.environ.get("KUBE_PATIENCE", "1"))


class Failed(Exception):
    """A command failed; the text says how."""


def run(*words, input=None, timeout=150):
    try:
        done = subprocess.run([str(word) for word in words], input=input, capture_output=True, text=True, timeout=timeout * PATIENCE)
    except subprocess.TimeoutExpired as slow:
        raise Failed(f"{' '.join(map(str, words))}: not within {timeout} s") from slow
    if done.returncode:
        raise Failed(f"{' '.join(map(str, words))}: {done.stdout.strip()}\n{done.stderr.strip()}")
    return done.stdout


def kubectl(*words, input=None):
    return run("kubectl", *words, input=input)


def get(*words):
    """One object, or the items of a list."""
    value = json.loads(kubectl("get", *words, "-o", "json"))
    return value["items"] if "items" in value else value


def missing(*words):
    """Whether there is no such object."""
    return not kubectl("get", *words, "--ignore-not-found", "-o", "name").strip()


def refusal(text):
    """What the API server says of YAML that it is to refuse; empty when it takes it."""
    try:
        kubectl("apply", "-f", "-", input=text)
    except Failed as failed:
        return str(failed)
    return ""


def eventually(what, condition, seconds=30):
    """Asks every 100 ms. A command that fails has not happened yet."""
    end, said = time.monotonic() + seconds * PATIENCE, ""
    while True:
        try:
            value = condition()
            if value:
                return value
        except Failed as failed:
            said = f": {failed}"
        assert time.monotonic() < end, f"{what}: not within {seconds} s{said}"
        time.sleep(0.1)


def make_images(out, *names, tag="test"):
    """Images of the build tree's programs, as ./dev images makes them. The digest of each."""
    run(ROOT / "images/make", "--hub", "culvert.test", "--tag", tag, "--out", out, *names)
    return dict(line.split()[:2] for line in (out / "digests").read_text().splitlines())


def load(*archives):
    run(KUBERNETES / "load", *archives)
