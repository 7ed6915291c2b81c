"""Two ztunnels on two nodes with a pod each, a on n1 and b on n2, and a culvertd over a folder that configures them and signs for them. Each connection
has a tunnel of its own, which ends soon after."""
import apps
from world import eventually


def build(world, plane=None, **nodes):
    """`plane`: culvertd's settings; `nodes`: those of both ztunnels."""
    (world.cgroup / "control").mkdir()
    world.data, tokens = world.folder / "data", world.folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("".join(f"token-of-the-node-{name} {name}\n" for name in ("n1", "n2")))
    for number, name in enumerate(("n1", "n2"), 1):
        node = world.node(name)
        world.pod("ab"[number - 1], 1 + number, node)
        roots = str(world.data / "root-cert.pem")
        node.extra = {"LOCAL_XDS_PATH": "", "XDS_ADDRESS": "https://localhost:15012", "XDS_ROOT_CA": roots, "CA_ROOT_CA": roots,
                      "AUTH_TOKEN": f"token-of-the-node-{name}", "POOL_MAX_STREAMS_PER_CONNECTION": "1", "POOL_UNUSED_RELEASE_TIMEOUT": "1s"} | nodes
    world.enrol()
    start_culvertd(world, tokens, plane)
    for node in world.nodes.values():
        node.start_agent()
        node.start_ztunnel()
    for pod in ("a", "b"):
        eventually(f"{pod} enrolled", lambda: world.enrolled(pod), 15)
        world.spawn(pod, apps.serve, 8080)
    for one, other in (("a", "b"), ("b", "a")):
        eventually("a first connection", lambda: world.run(one, apps.who, world.address(other), 8080)[1] == "end", 10)


def start_culvertd(world, tokens, environment):
    world.plane = world.start("control/culvertd", [
        world.programs["culvertd"], f"--config-dir={world.config}", f"--data-dir={world.data}", f"--tokens={tokens}", "--monitoring-port=15112",
        "--debug-port=15212", "--bundle-port=15799"], world.cgroup, environment)
    eventually("culvertd", lambda: "\tserving\t" in world.plane.log.read_text(), 10)
