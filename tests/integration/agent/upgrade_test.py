#!/usr/bin/env python3
"""An agent whose kernel programs are of another version takes over while one pod does not get ready, one leaves and one joins: the others
and the kubelet's probes notice nothing, and nothing goes in the clear. A ztunnel comes while an agent waits to take over; an old one comes back to a new agent later than its successor."""
import signal
import sys
import time

from world import eventually, kill, main, stop_load


def story(world):
    for name, number in (("a", 2), ("b", 3), ("c", 4), ("d", 5), ("e", 6)):
        world.pod(name, number)
        world.serve(name)
    world.write_namespace("ambient")
    world.start_agent()
    world.start_ztunnel()
    for name, number in (("a", 2), ("b", 3), ("d", 5)):
        world.write_pod(name, number)
        eventually("enrolled", lambda: world.redirection(name) == "enabled")

    # ztunnel does not take b any more. An agent of the same version waits for nobody.
    kill(world.agent)
    kill(world.ztunnel)
    world.start_ztunnel(refuse="uid-b")
    world.start_agent()
    world.in_force()
    eventually("a", lambda: world.try_from("a", "10.9.0.4", 80) == "outbound 10.9.0.4 80")

    # One of another version does, for a while. d leaves meanwhile, e comes.
    kill(world.agent)
    probes = world.start("kubelet", world.peers + ["load", "10.9.0.2", "80"])
    loads = [world.load("a", "10.9.0.4", 80), world.load("c", "10.9.0.2", 80), world.load("d", "10.9.0.4", 80)]
    world.start_agent(world.programs[1], CULVERT_UPGRADE_PATIENCE="8s")
    eventually("whole", lambda: world.pods()["shop/a"]["step"] == "await_active", 7)
    world.write_pod("d", 5, labels="istio.io/dataplane-mode: none")
    world.write_pod("e", 6)
    time.sleep(1)
    assert world.pods()["shop/d"]["step"] == "await_active" and "in force" not in world.agent.log.read_text()
    world.in_force(15)
    eventually("e", lambda: world.redirection("e") == "enabled")
    eventually("d", lambda: world.pods()["shop/d"]["state"] in ("gone", "outside"))
    answers = [stop_load(load) for load in (probes, *loads)]
    assert set(answers[0]) == {"plain"} and set(answers[1]) == {"outbound 10.9.0.4 80"}, answers
    assert set(answers[2]) == {"inbound 10.9.0.2 80"} and set(answers[3]) == {"outbound 10.9.0.4 80", "plain"}, answers
    assert world.try_from("b", "10.9.0.4", 80) != "plain" and world.try_from("c", "10.9.0.3", 80) == "ECONNREFUSED"
    assert world.try_from("d", "10.9.0.4", 80) == "plain"
    assert world.try_from("e", "10.9.0.4", 80) == "outbound 10.9.0.4 80"

    # Once ztunnel takes it, b is whole again.
    kill(world.ztunnel)
    world.start_ztunnel()
    eventually("b", lambda: world.try_from("b", "10.9.0.4", 80) == "outbound 10.9.0.4 80", 20)
    assert world.try_from("c", "10.9.0.3", 80) == "inbound 10.9.0.3 80"

    # Both are replaced, and again the agent waits for b: the programs that it finds in force give the new ztunnel its connections, and let its own pass.
    kill(world.agent)
    kill(world.ztunnel)
    world.start_ztunnel("ztunnel2", refuse="uid-b")
    world.start_agent(CULVERT_UPGRADE_PATIENCE="8s")
    eventually("whole", lambda: world.pods()["shop/a"]["step"] == "await_active")
    assert world.try_from("a", "10.9.0.4", 80) == "outbound 10.9.0.4 80" and world.try_from("c", "10.9.0.2", 80) == "inbound 10.9.0.2 80"
    assert world.try_from("a", "10.9.0.4", 80, "ztunnel2") == "plain"
    assert "in force" not in world.agent.log.read_text()
    world.in_force(15)

    # The younger of two has the pods' connections, whichever comes to a new agent last.
    older = world.ztunnel
    world.start_ztunnel()
    has_all = lambda ztunnel: f"ztunnel has all pods\tpid={ztunnel.pid}\n" in world.agent.log.read_text()
    eventually("the younger", lambda: has_all(world.ztunnel))
    slot = world.slot("a")
    older.send_signal(signal.SIGSTOP)
    world.restart_agent()
    eventually("the younger", lambda: has_all(world.ztunnel))
    older.send_signal(signal.SIGCONT)
    eventually("the older", lambda: has_all(older))
    assert world.slot("a") == slot


if __name__ == "__main__":
    sys.exit(main(story))
