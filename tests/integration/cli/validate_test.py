#!/usr/bin/env python3
"""`culvert validate` and `culvert analyze`: what they print, and their exit codes, which scripts rely on.
Usage: validate_test.py CULVERT SOURCES"""
import json
import pathlib
import subprocess
import sys
import tempfile

GOOD = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: good, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [bank]}}]}]}
"""
BAD = GOOD.replace("DENY", "DENI").replace("good", "bad")
LONELY = GOOD.replace("spec: {", "spec: {selector: {matchLabels: {app: nobody}}, ").replace("good", "lonely")


def main():
    culvert, sources = sys.argv[1], pathlib.Path(sys.argv[2])

    def run(*words, input=None):
        done = subprocess.run([culvert, *words], input=input, capture_output=True, text=True, timeout=20)
        return done.returncode, done.stdout, done.stderr

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "below").mkdir()
        (folder / "good.yaml").write_text(GOOD)
        assert run("validate", "-f", folder / "good.yaml") == (0, "1 objects are valid\n", "")
        assert run("validate", "-f", "-", input=GOOD)[0] == 0
        code, out, _ = run("validate", "-f", "-", input=BAD)
        assert code == 1 and out.startswith('Error (AuthorizationPolicy shop/bad stdin:4) spec.action: unknown value "DENI" (write ALLOW, DENY'), out

        # A selector that selects nothing is nobody's business before the others are there.
        (folder / "below" / "lonely.yml").write_text(LONELY)
        assert run("validate", "-f", folder)[:2] == (0, "2 objects are valid\n")
        assert run("analyze", folder / "good.yaml") == (0, "No validation issues found\n", "")
        code, out, _ = run("analyze", folder)
        assert code == 0 and out == f"Warning (AuthorizationPolicy shop/lonely {folder}/below/lonely.yml:1) spec.selector selects no pod\n", out
        assert run("analyze", "--failure-threshold", "Warning", folder)[0] == 79
        (folder / "below" / "bad.json").write_text(json.dumps({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
                                                              "metadata": {"name": "bad", "namespace": "shop"}, "spec": {"rulez": []}}))
        (folder / "notes.txt").write_text("no configuration")
        code, out, _ = run("analyze", folder, "-o", "json")
        found = json.loads(out)
        assert code == 79 and {each["level"] for each in found} == {"Error", "Warning"}, out
        assert any(each["origin"] == "AuthorizationPolicy shop/bad" and each["message"] == "spec.rulez: unknown field (did you mean rules?)"
                   for each in found), out

        for words, said in ((("validate", "-f", folder / "none.yaml"), "No such file or directory"), (("analyze", folder / "none"), "No such file"),
                            (("validate",), "-f")):
            code, _, error = run(*words)
            assert code not in (0, 79) and said in error, (words, code, error)
        (folder / "empty").mkdir()
        assert "there are no files" in run("validate", "-f", folder / "empty")[2]

    # What the reader refuses of the seeds is refused here, and nothing else.
    for seed in sorted((sources / "tests/golden/seeds").glob("*.yaml")):
        refused = "\nrefused" in "\n" + seed.with_suffix(".out").read_text()
        assert (run("validate", "-f", seed)[0] == 1) == refused, seed
    print("as promised")


if __name__ == "__main__":
    sys.exit(main())
