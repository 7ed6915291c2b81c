"""Applications of the test's pods: small servers and clients. Each function runs in a pod, in a process of its own."""
import errno
import hashlib
import os
import select
import signal
import socket
import struct
import threading
import time


def name_of(error):
    return errno.errorcode.get(error.errno, str(error)) if isinstance(error, OSError) and error.errno else repr(error)


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def read_all(s):
    """Everything up to the end, and how it ended: "end" or the name of the error."""
    got = bytearray()
    try:
        while data := s.recv(1 << 18):
            got += data
        return bytes(got), "end"
    except OSError as error:
        return bytes(got), name_of(error)


# --- servers ---

def answer(s, peer):
    """One connection: the first byte says what is wanted."""
    with s:
        try:
            wanted = s.recv(1)
            if wanted == b"w":  # who am I to you?
                s.sendall(peer[0].removeprefix("::ffff:").encode())
            elif wanted == b"e":  # echo, until the client has ended its side
                while data := s.recv(65536):
                    s.sendall(data)
            elif wanted == b"h":  # sum up after the client's end: needs half-close
                data, _ = read_all(s)
                s.sendall(hashlib.sha256(data).hexdigest().encode())
            elif wanted == b"H":  # end our side first, then listen
                s.shutdown(socket.SHUT_WR)
                data, how = read_all(s)
                open("/tmp/culvert-half-close", "w").write(f"{len(data)} {how}")
            elif wanted == b"r":  # reset after some bytes
                s.sendall(b"before the reset")
                time.sleep(0.1)
                reset(s)
            elif wanted == b"d":  # download: 8 bytes of size, then as much
                size = struct.unpack("!Q", s.recv(8, socket.MSG_WAITALL))[0]
                block, sum_up = os.urandom(1 << 20), hashlib.sha256()
                for at in range(0, size, len(block)):
                    part = block[:min(len(block), size - at)]
                    sum_up.update(part)
                    s.sendall(part)
                s.sendall(sum_up.digest())
            elif wanted == b"n":  # notes how it ends
                _, how = read_all(s)
                open("/tmp/culvert-ending", "w").write(how)
        except OSError:
            pass


def serve(port):
    resource_limit()
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
    while True:
        s, peer = listener.accept()
        threading.Thread(target=answer, args=(s, peer), daemon=True).start()


def serve_first(port):
    """A server that speaks first."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    while True:
        s, _ = listener.accept()
        s.sendall(b"hello\n")
        threading.Thread(target=lambda c: (read_all(c), c.close()), args=(s,), daemon=True).start()


def serve_dns(port):
    """Answers every A query with 192.0.2.1, over UDP and TCP; for a name that begins with "big", a hundred times."""
    def reply(query):
        end, count = query.index(b"\0", 12) + 5, 100 if query[12:16] == b"\3big" else 1
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\x04\xc0\0\2\1"
        return query[:2] + b"\x81\x80\0\1" + struct.pack("!H", count) + b"\0\0\0\0" + query[12:end] + record * count

    def tcp():
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        while True:
            s, _ = listener.accept()
            with s:
                size = s.recv(2, socket.MSG_WAITALL)
                if len(size) == 2:
                    out = reply(s.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL))
                    s.sendall(struct.pack("!H", len(out)) + out)

    threading.Thread(target=tcp, daemon=True).start()
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    while True:
        query, client = s.recvfrom(2048)
        s.sendto(reply(query), client)


def resource_limit():
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- clients ---

def connect(address, port, timeout=5):
    return socket.create_connection((address, port), timeout=timeout)


def ask(address, port, wanted, more=b"", finish=True):
    """Sends, ends our side, and reads the answer and how it ended."""
    try:
        with connect(address, port) as s:
            s.sendall(wanted + more)
            if finish:
                s.shutdown(socket.SHUT_WR)
            got, how = read_all(s)
            return [got.decode(errors="replace"), how]
    except OSError as error:
        return ["", name_of(error)]


def who(address, port):
    return ask(address, port, b"w", finish=False)


def echo(address, port, text):
    return ask(address, port, b"e", text.encode())


def first(address, port):
    with connect(address, port) as s:
        return s.recv(64).decode()


def upload(address, port, size):
    """Is what arrives what was sent?"""
    block, sum_up, left = os.urandom(1 << 20), hashlib.sha256(), size
    with connect(address, port, 60) as s:
        s.sendall(b"h")
        while left:
            part = block[:min(left, len(block))]
            sum_up.update(part)
            s.sendall(part)
            left -= len(part)
        s.shutdown(socket.SHUT_WR)
        return read_all(s)[0].decode() == sum_up.hexdigest()


def download(address, port, size):
    with connect(address, port, 60) as s:
        s.sendall(b"d" + struct.pack("!Q", size))
        got, how = read_all(s)
    return len(got) == size + 32 and hashlib.sha256(got[:-32]).digest() == got[-32:] and how == "end"


def reset_after(address, port):
    """Sends something, then resets."""
    s = connect(address, port)
    s.sendall(b"nsomething")
    time.sleep(0.2)
    reset(s)
    return True


def hold(address, port, seconds):
    """Keeps an echo connection and says how it ended, and when (seconds of the monotonic clock)."""
    s = connect(address, port, seconds)
    s.sendall(b"e")
    beat = time.monotonic()
    try:
        while time.monotonic() < beat + seconds:
            s.sendall(b"x")
            if not s.recv(16):
                return ["end", time.monotonic()]
            time.sleep(0.005)
        return ["alive", time.monotonic()]
    except OSError as error:
        return [name_of(error), time.monotonic()]


def dns_query(name, kind, server, tcp=False):
    """The addresses in the answer, in the order they came; "truncated" instead of them when the answer says so."""
    query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.settimeout(6)
        s.connect((server, 53))
        if tcp:
            s.sendall(struct.pack("!H", len(query)) + query)
            reply = s.recv(struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)
        else:
            s.send(query)
            reply = s.recv(4096)
    assert reply[:2] == b"\x12\x34", reply
    if reply[2] & 2:
        return [reply[3] & 15, "truncated"]
    answers, at, out = struct.unpack("!H", reply[6:8])[0], len(query), []
    for _ in range(answers):
        at = at + 2 if reply[at] >= 0xc0 else reply.index(b"\0", at) + 1
        record, _, _, size = struct.unpack("!HHIH", reply[at:at + 10])
        data = reply[at + 10:at + 10 + size]
        if record in (1, 28):
            out.append(socket.inet_ntop(socket.AF_INET if record == 1 else socket.AF_INET6, data))
        at += 10 + size
    return [reply[3] & 15, out]


def dns_burst(server, count, ready):
    """Queries at once, each from a socket of its own; says by a file that they are sent. How many are answered."""
    query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\3web\4shop\3svc\7cluster\5local\0\0\1\0\1"
    sockets = []
    for _ in range(count):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(6)
        s.connect((server, 53))
        s.send(query)
        sockets.append(s)
    open(ready, "w").write("ready")
    answered = 0
    for s in sockets:
        try:
            answered += s.recv(512)[:2] == b"\x12\x34"
        except TimeoutError:
            pass
    return answered


def churn(address, port, count, parallel):
    """Many short connections: how each of them ended."""
    ends, lock = {}, threading.Lock()

    def work(n):
        for _ in range(n):
            got = who(address, port)
            with lock:
                ends[got[1]] = ends.get(got[1], 0) + 1

    workers = [threading.Thread(target=work, args=(count // parallel,)) for _ in range(parallel)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return ends


def burst(address, port, count, ready):
    """Many connections that ask at once, as far as the kernel lets them in without anybody who accepts; says by a file that they have. How they ended."""
    resource_limit()
    sockets = []
    for _ in range(count):
        s = connect(address, port, 20)
        s.sendall(b"w")
        sockets.append(s)
    open(ready, "w").write("ready")
    ends = {}
    for s in sockets:
        got, how = read_all(s)
        how = how if got or how != "end" else "nothing"
        ends[how] = ends.get(how, 0) + 1
    return ends


def idle(address, port, count, ready, seconds):
    """Opens many connections, says so by a file, and after a while checks that each of them still echoes."""
    resource_limit()
    sockets = []
    for _ in range(count):
        s = connect(address, port, 20)
        s.sendall(b"e")
        sockets.append(s)
    open(ready, "w").write("ready")
    time.sleep(seconds)
    alive = 0
    for s in sockets:
        s.sendall(b"!")
        alive += s.recv(1) == b"!"
    return alive


def load(address, port, flag, parallel=24, pause=1.3):
    """Short connections, one after the other in each thread, until the file `flag` is gone: how they ended, and how many there were. With a pause that is
    longer than tunnels stay unused, each has a tunnel of its own."""
    ends, lock = {}, threading.Lock()

    def work():
        while os.path.exists(flag):
            got = who(address, port)
            with lock:
                ends[got[1]] = ends.get(got[1], 0) + 1
            time.sleep(pause)

    workers = [threading.Thread(target=work) for _ in range(parallel)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return ends
