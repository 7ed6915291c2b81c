"""The pods of apps.yaml: a service on both nodes, who asks it all the time from both, and a connection that is held open. What became of the requests."""
import contextlib
import datetime
import subprocess

from cluster import eventually, get, kubectl, on_nodes, pods, redirection

APPS = ("web", "client", "keeper")  # of each a pod on each node
IN, OUT = ["enabled"] * 6, [None] * 6
# What is left then of the time of a ztunnel that was told to go; and what connections have from an agent that takes its pods out of the mesh.
ZTUNNEL_CUTS, AGENT_CUTS = datetime.timedelta(seconds=5), datetime.timedelta(seconds=1)
excused = []  # (from, to): requests that may fail
heard = {}  # client pod -> the lines of its log, each with its time
# Sends a byte now and then, which is sent back. Says how the connection ends; one that is not answered any more does not end.
HOLD = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], 9000), 10)
s.settimeout(10)
said = ''
try:
    while not said:
        s.sendall(b'x')
        if s.recv(1) == b'': said = 'ended'
        elif not said: print('held', flush=True)
        time.sleep(0.2)
except OSError as error:
    said = type(error).__name__
print(said, time.time(), flush=True)
"""


def start(folder):
    kubectl("apply", "-f", folder / "apps.yaml")
    for app in APPS:
        kubectl("rollout", "status", "-n", "shop", f"daemonset/{app}", "--timeout=60s")
    eventually("requests from each", lambda: asked() and len(heard) == 2 and all(heard.values()))


def client():
    return on_nodes("shop", "client")["node1"]


def enrolled():
    return [redirection(pod) for app in APPS for pod in pods("shop", app)]


def moment():
    return datetime.datetime.now(datetime.timezone.utc)


def answers():
    """(time, who, what) of every request since the clients began, in their order. What was heard already is not asked for again."""
    for pod in pods("shop", "client"):
        name = pod["metadata"]["name"]
        lines = heard.setdefault(name, [])
        since = (f"--since-time={lines[-1][0].strftime('%Y-%m-%dT%H:%M:%SZ')}",) if lines else ()
        known = set(lines[-200:])
        for line in kubectl("logs", "-n", "shop", name, "--timestamps", *since).splitlines():
            time, who, what = line.split(" ", 2)
            one = (datetime.datetime.fromisoformat(time[:26] + "+00:00" if "." in time else time), f"{name} {who}", what)
            if what != "begins" and one not in known:
                lines.append(one)
    return sorted(line for lines in heard.values() for line in lines)


def failures(lines):
    return [line for line in lines if not line[2].startswith("ok")]


def asked():
    """How many requests were answered, of which none may have failed but where that was foreseen."""
    lines = answers()
    failed = [line for line in failures(lines) if not any(begin <= line[0] <= end for begin, end in excused)]
    assert not failed, f"{len(failed)} of {len(lines)} requests failed: {[f'{time} {who}: {what}' for time, who, what in failed[:5]]}"
    return len(lines)


def longest_gap(since):
    """The longest that one of those who ask was without an answer, in seconds. An answer that is late is a gap as well."""
    most, last = 0.0, {}
    for time, who, what in answers():
        if what.startswith("ok"):
            if time > since and who in last:
                most = max(most, (time - last[who]).total_seconds())
            last[who] = time
    return most


def goes_on():
    """Each of those who ask is answered, now as before."""
    begin = moment()
    asked()
    eventually("answers to each", lambda: asked() and _answered(begin))


def _answered(since):
    count = {}
    for time, who, what in answers():
        count[who] = count.get(who, 0) + (time > since and what.startswith("ok"))
    return count and min(count.values()) >= 5


@contextlib.contextmanager
def may_fail(*words, must=False):
    """What is asked meanwhile may fail, with one of these words. `must`: and has to, to show that a failure is noticed."""
    asked()
    begin = moment()
    yield
    over = moment()
    eventually("answers to each, also to who still waits", lambda: _answered(over))
    end = moment()
    excused.append((begin, end))
    failed = [line for line in failures(answers()) if begin <= line[0] <= end]
    assert all(any(word in what for word in words) for _, _, what in failed), failed
    assert failed or not must, "nobody has noticed"
    print(f"  {len(failed)} requests failed meanwhile, each as foreseen", flush=True)


@contextlib.contextmanager
def _departures():
    """Has, once it is over, when each of the mesh's pods was told to go, and by when it has to be gone: (name, told, due)."""
    out = []
    words = ("kubectl", "get", "pods", "-n", "istio-system", "--watch", "--output-watch-events=false", "-o",
             "jsonpath={.metadata.name} {.metadata.deletionTimestamp} {.metadata.deletionGracePeriodSeconds}{'\\n'}")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watch:
        yield out
        watch.terminate()
        for line in watch.stdout:
            name, *times = line.split()
            if len(times) == 2 and times[1] != "0":  # zero: it is gone
                due = datetime.datetime.fromisoformat(times[0].replace("Z", "+00:00"))
                out.append((name, due - datetime.timedelta(seconds=int(times[1])), due))


@contextlib.contextmanager
def held(uninstalled=False):
    """A connection between the nodes through all of it. It may end when the time of a ztunnel is over, and then both ends hear of it; or go on. When the
    agents leave the nodes for good, it has a second from then on."""
    keepers = on_nodes("shop", "keeper")
    words = ("kubectl", "exec", "-q", "-n", "shop", keepers["node1"]["metadata"]["name"], "--", "python3", "-c", HOLD, keepers["node2"]["status"]["podIP"])
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program, _departures() as departures:
        assert program.stdout.readline() == "held\n"
        began = moment()
        yield
        over = moment()
        kubectl("exec", "-q", "-n", "shop", keepers["node2"]["metadata"]["name"], "--", "python3", "-c", "import socket; socket.create_connection(('localhost', 9001)).recv(1)")
        said = program.stdout.read().split()
    *said, how, ended = said
    ended = datetime.datetime.fromtimestamp(float(ended), datetime.timezone.utc)
    ways = {"ended": "was ended", "ConnectionResetError": "was reset", "BrokenPipeError": "was reset"}
    assert how in ways, f"a connection that was held open: {how}"
    may = [due - ZTUNNEL_CUTS for name, _, due in departures if name.startswith("ztunnel-")]
    may += [told + AGENT_CUTS for name, told, _ in departures if uninstalled and name.startswith("culvert-node-")]
    assert ended >= min(may, default=over), f"a connection {ways[how]} at {ended}, and who was told to go, and is due, is {departures}"
    print(f"  a connection {ways[how]} after {(ended - began).total_seconds():.0f} s and {len(said)} bytes", flush=True)
