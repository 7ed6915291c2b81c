"""The pods of apps.yaml: a service on both nodes, and somebody who asks it all the time. What became of the requests."""
import contextlib

from cluster import eventually, get, kubectl, pods, redirection

excused = []  # (from, to): requests that may fail, and how many did


def start(folder):
    kubectl("apply", "-f", folder / "apps.yaml")
    kubectl("rollout", "status", "-n", "shop", "daemonset/web", "--timeout=60s")
    kubectl("wait", "-n", "shop", "pod/client", "--for=condition=Ready", "--timeout=60s")
    eventually("requests", asked)


def client():
    return get("pod", "-n", "shop", "client")


def enrolled():
    return [redirection(pod) for app in ("web", "client") for pod in pods("shop", app)]


def answers():
    """Line by line, since the client began."""
    return kubectl("logs", "-n", "shop", "client").partition("begin\n")[2].splitlines()


def asked():
    """How many requests were answered, of which none may have failed but where that was foreseen."""
    lines = answers()
    failed = [line for at, line in enumerate(lines) if line.startswith("failed") and not any(begin <= at < end for begin, end in excused)]
    assert not failed, f"{len(failed)} of {len(lines)} requests failed: {failed[:5]}"
    return len(lines)


def goes_on():
    """Requests are answered, now as before."""
    before = asked()
    eventually("answers", lambda: asked() > before + 20)


@contextlib.contextmanager
def may_fail(*words):
    """What is asked meanwhile may fail, with one of these words."""
    begin = asked()
    yield
    eventually("the last of them", lambda: answers()[begin:] and not answers()[-1].startswith("failed"))
    lines = answers()
    excused.append((begin, len(lines)))
    failed = [line for line in lines[begin:] if line.startswith("failed")]
    assert all(any(word in line for word in words) for line in failed), failed
    print(f"  {len(failed)} of {len(lines) - begin} requests failed meanwhile, each as foreseen", flush=True)
