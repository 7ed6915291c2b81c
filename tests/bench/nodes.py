"""Data planes by the thousand, as far as a control plane sees them: tests/bench/nodes.cc says what they do."""
import json
import subprocess
import threading


class Nodes:
    """The data planes. One thread reads what they print."""

    def __init__(self, program, server, roots, tokens):
        self.process = subprocess.Popen([program, server, roots, tokens], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.changed = threading.Condition()
        self.changes, self.answers, self.returns = {}, [], []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            with self.changed:
                if "change" in said:
                    self.changes[said["change"]] = said
                elif said.get("did") == "back":
                    self.returns.append(said)
                else:
                    self.answers.append(said)
                self.changed.notify_all()

    def wait(self, what, condition, seconds):
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                raise RuntimeError(f"{what}: not within {seconds} s")

    def do(self, *words, seconds=300):
        self.answers.clear()
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.wait(words, lambda: self.answers, seconds)
        if "error" in self.answers[0]:
            raise RuntimeError(f"{words}: {self.answers[0]}")
        return self.answers.pop(0)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)

    def back(self):
        """What came with streams that were lost and are there again, so far."""
        with self.changed:
            return {name: sum(each[name] for each in self.returns) for name in ("resources", "removed", "lost")}
