#!/usr/bin/env python3
"""Machines whose clocks differ: two ztunnels and a culvertd, each with a time of day of its own. A little, and nobody notices; much, and what is new
is refused with its reason, in no case sent as plaintext; and once the clock is set right, all goes on by itself."""
import struct
import sys
import time

import apps
import control
from world import eventually, main

LITTLE, HOUR = 110, 3600  # seconds; certificates are dated back by 120


class WallClock:
    """The time of day of a process, so many seconds ahead of the machine's; it can be set while that runs (wall_clock.c)."""

    def __init__(self, path, library):
        self.environment = {"LD_PRELOAD": str(library), "CULVERT_WALL_CLOCK": str(path)}
        self.file = open(path, "wb", buffering=0)
        self.set(0)

    def set(self, ahead):
        self.file.seek(0)
        self.file.write(struct.pack("=q", ahead * 1_000_000_000))


def connects(world, source, to):
    """Whether a new connection passes; one that does not is refused or reset."""
    how = world.run(source, apps.who, world.address(to), 8080)[1]
    assert how in ("end", "ECONNRESET", "ECONNREFUSED"), how
    return how == "end"


def both_ways(world):
    return connects(world, "a", "b") and connects(world, "b", "a")


def neither_way(world):
    """Of what needs a handshake: tunnels that are open are good for what they carry."""
    if not all("\nculvert_tunnels 0\n" in node.metrics() for node in world.nodes.values()):
        return False
    return not connects(world, "a", "b") and not connects(world, "b", "a")


def restart(world, name):
    """A ztunnel that asks for its certificates anew."""
    node = world.nodes[name]
    node.kill_ztunnel()
    node.start_ztunnel()
    return node


def build(world):
    world.clocks = {name: WallClock(world.folder / f"clock-{name}", world.programs["wall_clock"]) for name in ("n1", "n2", "plane")}
    control.build(world, world.clocks["plane"].environment)
    for name in ("n1", "n2"):
        world.nodes[name].extra |= world.clocks[name].environment
        restart(world, name)
    eventually("both ways", lambda: both_ways(world), 15)


def a_little(world):
    """Whoever is behind takes certificates that were signed a moment ago, and whoever is ahead asks for none too early."""
    for name, ahead in (("n1", LITTLE), ("n2", -LITTLE)):
        world.clocks[name].set(ahead)
        restart(world, name)
    eventually("both ways", lambda: both_ways(world), 15)


def one_is_behind(world):
    """Set back by an hour while it runs: what others have has not begun for it."""
    world.clocks["n1"].set(0)
    world.clocks["n2"].set(-HOUR)
    eventually("refused", lambda: neither_way(world), 30)
    eventually("the reason", lambda: "not yet valid" in world.nodes["n2"].log(), 10)
    world.clocks["n2"].set(0)
    eventually("both ways", lambda: both_ways(world), 15)


def one_is_ahead(world):
    """Set forward past the end of every certificate, culvertd's too: whoever starts then finds out which clock to look at."""
    n2 = world.nodes["n2"]
    world.clocks["n2"].set(25 * HOUR)
    eventually("refused", lambda: neither_way(world), 30)
    eventually("the reason", lambda: "the certificate that was issued has expired already" in n2.log(), 15)
    world.clocks["n2"].set(0)  # what it was to do in 25 hours it does now
    eventually("both ways", lambda: both_ways(world), 15)

    world.clocks["n2"].set(25 * HOUR)
    restart(world, "n2")
    eventually("the hint", lambda: "the clocks right?" in n2.log(), 15)
    eventually("still refused", lambda: neither_way(world), 15)
    world.clocks["n2"].set(0)
    eventually("both ways", lambda: both_ways(world), 60)


def who_signs_is_ahead(world):
    """What it signs has not begun for anybody. It is replaced once its clock is right, not at half of its life."""
    world.clocks["plane"].set(HOUR)
    n2 = restart(world, "n2")
    eventually("the reason, at home", lambda: "has not begun yet" in n2.log(), 15)
    eventually("refused", lambda: neither_way(world), 30)
    world.clocks["plane"].set(0)
    eventually("both ways", lambda: both_ways(world), 60)


def story(world):
    build(world)
    for step in (a_little, one_is_behind, one_is_ahead, who_signs_is_ahead):
        began = time.monotonic()
        step(world)
        print(f"{step.__name__}: ok, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(story, __file__, ["culvertd", "ztunnel", "culvert-node", "wall_clock"]))
