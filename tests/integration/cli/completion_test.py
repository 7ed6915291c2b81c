#!/usr/bin/env python3
"""`culvert completion` in a real bash: what Tab offers. Usage: completion_test.py CULVERT"""
import contextlib
import os
import pathlib
import pty
import select
import subprocess
import sys
import time


def offered(culvert, *words):
    """What bash's own machinery is given for these words, the last of them half written."""
    script = """source <("$0" completion bash); [[ $(complete -p culvert) == *"-F _culvert_complete culvert" ]] || exit 3
    COMP_WORDS=("$0" "$@"); COMP_CWORD=$#; _culvert_complete; printf '%s\\n' "${COMPREPLY[@]}\""""
    done = subprocess.run(["bash", "--norc", "-c", script, culvert, *words], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout.split()


@contextlib.contextmanager
def typed(culvert, keys):
    """What an interactive bash makes of keys that somebody presses: a function that reads until a text comes."""
    pid, terminal = pty.fork()
    if pid == 0:
        path = f"{pathlib.Path(culvert).parent}:{os.environ['PATH']}"
        os.execvpe("bash", ["bash", "--norc", "-i"], {**os.environ, "PATH": path, "PS1": "READY>", "TERM": "dumb", "INPUTRC": "/dev/null"})
    seen, end = "", time.monotonic() + 20

    def until(text):
        nonlocal seen
        while text not in seen:
            assert select.select([terminal], [], [], max(0, end - time.monotonic()))[0], f"{text!r} does not come: {seen!r}"
            seen += os.read(terminal, 4096).decode()
        seen = seen.partition(text)[2]

    try:
        until("READY>")
        os.write(terminal, b"source <(culvert completion bash); echo SOUR''CED\n")
        until("SOURCED")
        until("READY>")
        os.write(terminal, keys.encode())
        yield until
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def main():
    culvert = sys.argv[1]
    assert "ztunnel-config" in offered(culvert, "") and "serve-dns" not in offered(culvert, "local", "")
    assert offered(culvert, "ztunnel-config", "wo") == ["workload"]
    assert offered(culvert, "zc", "w", "-o", "") == ["table", "short", "json", "yaml"]
    assert offered(culvert, "zc", "w", "--output", "=", "j") == ["json"]
    assert offered(culvert, "explain", "--fr") == ["--from"]
    assert set(offered(culvert, "completion", "")) == {"bash", "zsh", "fish"}
    assert offered(culvert, "zc", "w", "--file", "") == [], "files are bash's own affair"

    with typed(culvert, "culvert zt\t") as until:
        until("unnel-config ")

    for shell, word in (("zsh", "compdef"), ("fish", "complete -c culvert")):
        text = subprocess.run([culvert, "completion", shell], capture_output=True, text=True, check=True).stdout
        assert word in text, text
    assert subprocess.run([culvert, "completion", "tcsh"], capture_output=True).returncode == 64


if __name__ == "__main__":
    main()
