"""A real Kubernetes API server, without nodes, for tests in Python. See the script `apiserver` beside this for what it is made of.

    from apiserver import ApiServer

    with ApiServer("--min-request-timeout=5") as api:      # flags of kube-apiserver
        api.apply("...YAML...")
        api.restart()

A test that needs it and cannot have it skips. Everything ends with the object, or with the process that made it.
"""
import base64
import concurrent.futures
import http.client
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


class ApiServer:
    """One API server at `url`; `kubeconfig` is an admin's, `ca` its authority. One thread."""

    def __init__(self, *flags, data=None, address="127.0.0.1", port=None, controllers=True):
        """`data`: a folder that keeps objects and keys for a later run. `address`: one of this network namespace."""
        options = ["--address", address] + ([] if controllers else ["--bare"])
        options += ["--data", data] if data else []
        options += ["--port", str(port)] if port else []
        self._program = subprocess.Popen([HERE / "apiserver", *options, "--", *flags], text=True, bufsize=1,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        word, _, rest = self._program.stdout.readline().strip().partition(" ")
        if word != "ready":
            self.close()
            if word != "skipped:":
                raise RuntimeError(f"apiserver: {rest}")
            print(word, rest)
            sys.exit(77)
        self.folder = pathlib.Path(rest)
        self.kubeconfig, self.ca = self.folder / "kubeconfig", self.folder / "ca.crt"
        self.url = self.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error and not isinstance(error, SystemExit) and self.folder.exists():
            print(self.logs(), file=sys.stderr)
        self.close()

    def close(self):
        self._program.stdin.close()
        self._program.terminate()  # the end of its input may be held open by children of the test
        self._program.wait(30)
        self._program.stdout.close()

    def logs(self, count=30):
        """The last lines of each program's log, without what is only for information."""
        text = ""
        for log in sorted(self.folder.glob("log/*")):
            lines = [line for line in log.read_text().splitlines(True) if not line.startswith("I")]
            text += f"--- {log.name}\n{''.join(lines[-count:])}"
        return text

    @property
    def pid(self):
        """The first process of all: killing it ends everything at once."""
        return int((self.folder / "pid").read_text())

    # The API server alone comes and goes.

    def _say(self, command, expected):
        self._program.stdin.write(command + "\n")
        answer = self._program.stdout.readline().strip()
        assert answer == expected, f"{command}: {answer or 'no answer'}"

    def stop(self, signal="KILL"):
        """KILL: a crash. TERM: in order, watches are ended first."""
        self._say(f"stop {signal}", "stopped")

    def start(self):
        self._say("start", "ready")

    def restart(self, signal="KILL"):
        self.stop(signal)
        self.start()

    # Asking it.

    def kubectl(self, *words, input=None, kubeconfig=None):
        """What it prints. Fails with what it said."""
        chosen = ["--kubeconfig", kubeconfig] if kubeconfig else []
        run = subprocess.run([self.folder / "kubectl", *chosen, *words], input=input, capture_output=True, text=True, timeout=60)
        if run.returncode:
            raise Refused(f"kubectl {' '.join(map(str, words))}: {run.stderr.strip()}")
        return run.stdout

    def store(self, pairs):
        """Past the API server and all that it checks: (key, text) pairs into its database, thousands a second. No text: the key goes."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(f"/proc/{self.pid}/root{self.folder}/state/etcd.sock")
        coded = lambda text: base64.b64encode(text.encode()).decode()
        pairs = list(pairs)
        for start in range(0, len(pairs), 100):  # of a transaction, 128 at most
            steps = [{"requestPut": {"key": coded(key), "value": coded(text)}} if text is not None else {"requestDeleteRange": {"key": coded(key)}}
                     for key, text in pairs[start:start + 100]]
            connection.request("POST", "/v3/kv/txn", json.dumps({"success": steps}))
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body[:500]
        connection.close()

    def get(self, *words):
        """One object, or a list's items, as kubectl get names them."""
        value = json.loads(self.kubectl("get", *words, "-o", "json"))
        return value["items"] if value["kind"].endswith("List") and "items" in value else value

    def apply(self, text):
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)

    def apply_status(self, text):
        """The status of objects that are there, as a kubelet or a controller would write it."""
        return self.kubectl("apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-", input=text)

    def delete(self, *words):
        """At once: there is no kubelet to end a pod."""
        return self.kubectl("delete", *words, "--grace-period=0", "--force", "--wait=false")

    def token(self, account, namespace="default", audience=None, pod=None, seconds=3600):
        """A token of a service account; bound to a pod, it ends with the pod."""
        words = ["create", "token", account, "-n", namespace, f"--duration={seconds}s"]
        words += ["--audience", audience] if audience else []
        if pod:
            uid = self.kubectl("get", "pod", pod, "-n", namespace, "-o", "jsonpath={.metadata.uid}")
            words += ["--bound-object-kind=Pod", "--bound-object-name", pod, "--bound-object-uid", uid]
        return self.kubectl(*words).strip()

    def review(self, token, *audiences):
        """The status of a TokenReview."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": list(audiences)}}
        return json.loads(self.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review)))["status"]

    def account(self, name, rules, namespace="default"):
        """A service account that may do what `rules` (of a ClusterRole) say. The folder holds what a pod finds at
        /var/run/secrets/kubernetes.io/serviceaccount (token, ca.crt, namespace), and a kubeconfig that leads there."""
        full = f"{namespace}-{name}"
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": full}
        self.apply("\n---\n".join(map(json.dumps, (
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": full}, "rules": rules},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": full}, "roleRef": role,
             "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]}))))
        folder = self.folder / "accounts" / full
        folder.mkdir(parents=True, exist_ok=True)
        files = {"ca.crt": self.ca.read_text(), "namespace": namespace, "token": self.token(name, namespace), "kubeconfig": json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "culvert",
            "clusters": [{"name": "culvert", "cluster": {"server": self.url, "certificate-authority": "ca.crt"}}],
            "users": [{"name": name, "user": {"tokenFile": "token"}}],
            "contexts": [{"name": "culvert", "context": {"cluster": "culvert", "user": name, "namespace": namespace}}]})}
        for file, text in files.items():
            path = folder / file
            path.touch(mode=0o600)
            path.write_text(text)
        return folder


class Admin:
    """The API over kept connections: kubectl takes a tenth of a second for each object."""

    def __init__(self, api):
        view = json.loads(api.kubectl("config", "view", "--raw", "-o", "json"))
        user = view["users"][0]["user"]
        folder = pathlib.Path(tempfile.mkdtemp())
        pair = []
        for name in ("client-certificate-data", "client-key-data"):
            path = folder / name
            path.touch(mode=0o600)
            path.write_bytes(base64.b64decode(user[name]) if name in user else pathlib.Path(user[name.removesuffix("-data")]).read_bytes())
            pair.append(path)
        self.context = ssl.create_default_context(cafile=str(api.ca))
        self.context.load_cert_chain(*pair)
        for path in pair:
            path.unlink()
        folder.rmdir()
        self.port = int(api.url.rpartition(":")[2])

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context)

    @staticmethod
    def ask(connection, method, path, value, type="application/json"):
        """What it answers, read as JSON."""
        connection.request(method, path, json.dumps(value), {"Content-Type": type})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status < 300, (answer.status, body[:500])
        return json.loads(body)

    def each(self, method, calls, threads=6):
        """calls: (path, object) pairs. The answers, in no order."""
        def work(part):
            connection = self.connect()
            return [self.ask(connection, method, path, value) for path, value in part]
        calls = list(calls)
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(work, (calls[start::threads] for start in range(threads))), [])


class Refused(Exception):
    """kubectl failed; the text says how."""
