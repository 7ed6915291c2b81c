#!/usr/bin/env python3
"""An agent that ends while its DaemonSet is being deleted takes the mesh off its node; what has come there meanwhile for another agent it leaves alone."""
import http.server
import json
import queue
import socket
import ssl
import sys
import threading

from world import eventually, main, sh

THERE, GOING = {"metadata": {"name": "culvert-node"}}, {"metadata": {"name": "culvert-node", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
SYNCED = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}}}
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:%d", certificate-authority: api.pem}}]
users: [{name: u, user: {token: t}}]
"""


class Api(http.server.ThreadingHTTPServer):
    """An API server without pods. Each time that somebody asks for the DaemonSet, the test says what the answer is: `asked` has a queue for it."""
    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Answer)
        pem = folder / "api.pem"
        sh(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=api -addext subjectAltName=IP:127.0.0.1 -keyout {pem} -out {pem}.crt 2>/dev/null"
           f" && cat {pem}.crt >>{pem}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        (folder / "kubeconfig").write_text(KUBECONFIG % self.server_port)
        self.asked, self.over = queue.Queue(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if "/daemonsets/" in self.path:
            answer = queue.Queue()
            self.server.asked.put(answer)
            status, body = answer.get()
            return self.tell(status, body)
        if "watch=" not in self.path:
            return self.tell(404, {})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(json.dumps(SYNCED).encode() + b"\n")
        self.server.over.wait()

    def tell(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Departing:
    """An agent that has been told to end, over two folders of its own for its sockets."""

    def __init__(self, world, api):
        self.world, self.api = world, api
        self.sockets = [world.folder / "run-culvert/agent.sock", world.folder / "run-ztunnel/ztunnel.sock"]
        world.agent = world.start("node", [world.programs[0], "--node-name=n1", f"--kubeconfig={world.folder}/kubeconfig",
                                           f"--pin-dir={world.bpffs}/culvert", f"--cgroup-root={world.cgroup}", f"--kubelet-cgroups={world.cgroup}/kubelet",
                                           f"--agent-socket={self.sockets[0]}", f"--ztunnel-socket={self.sockets[1]}"])
        world.in_force()
        world.agent.terminate()

    def hears(self, status, daemonset=None):
        self.api.asked.get(timeout=10).put((status, daemonset or {}))

    def ends(self):
        assert self.world.agent.wait(10) == 0
        assert self.api.asked.empty()

    def pinned(self):
        return (self.world.bpffs / "culvert").exists()

    def left(self):
        """Sockets, and folders of them, that are there."""
        return [path.name for socket_ in self.sockets for path in (socket_, socket_.parent) if path.exists()]


def takes_all_of_it_away(departing):
    departing.hears(200, GOING)
    departing.hears(404)
    departing.hears(404)
    departing.ends()
    assert not departing.pinned() and not departing.left(), departing.left()


def goes_on_when_nobody_tells(departing):
    """An account that is deleted as well is no reason to stop half way."""
    departing.hears(200, GOING)
    departing.hears(401)
    departing.hears(401)
    departing.ends()
    assert not departing.pinned() and not departing.left(), departing.left()


def stays_when_nobody_tells_at_first(departing):
    departing.hears(500)
    departing.ends()
    assert departing.pinned() and len(departing.left()) == 4, departing.left()

def stops_when_it_is_installed_again(departing):
    departing.hears(404)
    departing.hears(200, THERE)
    departing.ends()
    assert departing.pinned()


def leaves_folders_to_one_that_comes_late(departing):
    departing.hears(404)
    departing.hears(404)
    departing.hears(200, THERE)
    departing.ends()
    assert all(path.parent.exists() for path in departing.sockets)


def leaves_sockets_of_another(departing):
    others = []
    departing.hears(404)
    for path in departing.sockets:
        path.unlink()
        others.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        others[-1].bind(str(path))
    departing.hears(404)
    departing.hears(404)
    departing.ends()
    assert all(path.exists() for path in departing.sockets), departing.left()
    for path, other in zip(departing.sockets, others):
        other.close()
        path.unlink()


def story(world):
    api = Api(world.folder)
    for part in (takes_all_of_it_away, goes_on_when_nobody_tells, stays_when_nobody_tells_at_first, stops_when_it_is_installed_again,
                 leaves_folders_to_one_that_comes_late, leaves_sockets_of_another):
        print(part.__name__, flush=True)
        part(Departing(world, api))
    api.over.set()


if __name__ == "__main__":
    sys.exit(main(story))
