#!/usr/bin/env python3
"""cmake/check-layers on trees of its own: what it allows, and that it tells everything else with file, line and rule.
Usage: layers_test.py SOURCES"""
import pathlib
import subprocess
import sys
import tempfile

LAYERS = """
common/base:             # nothing but itself
common/net: common/base
common/net/deep: common/base
ztunnel: common ztunnel
bpf: bpf/include
bpf/include:

<boost/asio>: common/net
<zlib.h>: ztunnel/packed
"""


def told(checker, files):
    """The lines of the checker about a tree of these files; they are its failure."""
    with tempfile.TemporaryDirectory() as name:
        tree = pathlib.Path(name)
        for path, text in {"cmake/layers.txt": LAYERS, **files}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        done = subprocess.run([checker], cwd=tree, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert not done.stderr and done.returncode == (1 if lines else 0), done
    return lines


def main():
    checker = pathlib.Path(sys.argv[1]).resolve() / "cmake" / "check-layers"

    def refused(path, include, *said):
        lines = told(checker, {path: f"\n#include {include}\n"})
        assert len(lines) == 1 and lines[0].startswith(f"{path}:2: ") and all(each in lines[0] for each in said), (path, include, lines)

    def allowed(path, include):
        lines = told(checker, {path: f"#include {include}\n"})
        assert not lines, lines

    # Between our folders.
    refused("common/base/a.cc", '"common/net/b.h"', "common/base", "common/net/b.h")
    refused("common/net/a.h", '"ztunnel/b.h"')
    refused("bpf/a.c", '"common/base/b.h"')
    allowed("common/net/a.cc", '"common/base/b.h"')
    allowed("common/net/a.cc", '"common/net/b.h"')
    allowed("ztunnel/a.cc", '"common/anything/b.h"')
    allowed("ztunnel/a.cc", '"generated.h"')
    # The most specific line is a folder's; what its parent may, it may not for that.
    refused("common/net/deep/a.cc", '"common/net/b.h"', "common/net/deep")
    refused("common/net/deeper/a.cc", '"common/http/b.h"', "common/net ")
    # A test may use what tests share, our programs may not.
    allowed("common/net/a_test.cc", '"tests/support/b.h"')
    refused("common/net/a.cc", '"tests/support/b.h"')
    # A library's headers are for its owners, those of others and of the system for everybody.
    refused("common/base/a.cc", "<boost/asio/ip/tcp.hpp>", "boost/asio")
    refused("ztunnel/a.cc", "<zlib.h>")
    allowed("common/net/a.cc", "<boost/asio.hpp>")
    allowed("common/net/deep/a.cc", "<boost/asio/ip/tcp.hpp>")
    allowed("ztunnel/packed/a.cc", "<zlib.h>")
    allowed("common/base/a.cc", "<vector>")
    refused("common/base/a.cc", "   <boost/asio/buffer.hpp>")

    # A folder that nobody has thought of, and everything that is wrong at once.
    assert told(checker, {"common/basement/a.cc": ""}) == ["common/basement/a.cc: no line of cmake/layers.txt names its folder"]
    lines = told(checker, {"common/basement/a.cc": "", "common/base/a.cc": '#include "ztunnel/a.h"\n#  include "cni/b.h"\n', "ztunnel/a.cc": '#include "common/base/b.h"\n'})
    assert len(lines) == 3 and "common/basement/a.cc: no line of cmake/layers.txt names its folder" in lines, lines
    assert any(line.startswith("common/base/a.cc:1:") for line in lines) and any(line.startswith("common/base/a.cc:2:") for line in lines), lines


main()
