"""What stands around culvert-node in its test: a ztunnel that only answers, a server, and clients.

  peers.py ztunnel SOCKET UID    speaks ZDS; in each pod its listeners answer "outbound ADDRESS" or "inbound ADDRESS"; refuses pod UID
  peers.py server PORT           answers "plain", TCP and UDP
  peers.py try ADDRESS PORT      one connection: prints the answer, or the errno's name
  peers.py ask ADDRESS PORT      one datagram: prints the answer
  peers.py load ADDRESS PORT     100 connections a second until SIGTERM: prints how often each answer came
"""
import array
import collections
import errno
import json
import os
import signal
import socket
import sys
import threading
import time

IPV6_TRANSPARENT, SO_MARK, MARK_EGRESS, MARK_IN_POD = 75, 36, 0x715, 0x717


def say(*words):
    print(*words, flush=True)


# --- ztunnel ---

def fields(message):
    """The length-delimited fields of a protobuf message: all that ZDS has."""
    found, at = {}, 0
    while at < len(message):
        number, size = message[at] >> 3, message[at + 1]
        assert message[at] & 7 == 2 and size < 128
        found[number] = message[at + 2:at + 2 + size]
        at += 2 + size
    return found


def serve(listener, word):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            host, port = connection.getsockname()[:2]
            connection.sendall(f"{word} {host.removeprefix('::ffff:')} {port}\n".encode())


def listeners(netns):
    """Listening sockets inside a network namespace, made by a thread that ends with it."""
    made = []

    def make():
        os.setns(netns, os.CLONE_NEWNET)
        for port, word in ((15001, "outbound"), (15006, "inbound"), (15053, "dns")):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) if port == 15053 else (socket.SOCK_STREAM,):
                s = socket.socket(socket.AF_INET6, kind)
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                s.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK_EGRESS if port == 15006 or kind == socket.SOCK_DGRAM else MARK_IN_POD)
                s.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
                s.bind(("::", port))
                if kind == socket.SOCK_STREAM:
                    s.listen(512)
                    threading.Thread(target=serve, args=(s, word), daemon=True).start()
                made.append(s)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made


def connect(path):
    while True:
        zds = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            zds.connect(path)
            return zds
        except OSError:
            zds.close()
            time.sleep(0.01)


def drop(sockets):
    for s in sockets:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()


def ztunnel(path, refuse):
    pods, ack = {}, b"\x0a\x00"
    while True:
        zds, named = connect(path), set()
        try:
            zds.send(b"\x08\x01")
        except OSError:
            continue
        while True:
            try:
                packet, rights, _, _ = zds.recvmsg(1024, socket.CMSG_SPACE(4))
            except ConnectionResetError:  # the agent ended with our hello unread
                packet = b""
            if not packet:
                say("disconnected")
                break
            request, answer = fields(packet), ack
            if 1 in request:
                uid = fields(request[1])[1].decode()
                netns = array.array("i", rights[0][2])[0]
                named.add(uid)
                if uid == refuse:
                    answer = b"\x0a\x04\x0a\x02no"
                elif uid not in pods:
                    pods[uid] = listeners(netns)
                os.close(netns)
                say("add", uid, fields(fields(request[1])[2])[1].decode())
            elif 2 in request:
                uid = fields(request[2])[2].decode()
                drop(pods.pop(uid, []))
                say("del", uid)
            elif 3 in request:
                for uid in set(pods) - named:
                    drop(pods.pop(uid))
                say("snapshot")
            elif 5 in request:
                named.add(fields(request[5])[1].decode())
                say("keep", fields(request[5])[1].decode())
            try:
                zds.send(answer)
            except OSError:  # the next recvmsg tells
                pass


# --- applications ---

def server(port):
    s = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
    threading.Thread(target=answer_datagrams, args=(int(port),), daemon=True).start()
    say("listening")
    while True:
        connection, _ = s.accept()
        with connection:
            connection.sendall(b"plain\n")


def answer_datagrams(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", port))
        while True:
            _, peer = s.recvfrom(512)
            s.sendto(b"plain", peer)


def ask(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        try:
            s.sendto(b"?", (address, int(port)))
            return s.recv(512).decode()
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))


def attempt(address, port):
    try:
        with socket.create_connection((address, int(port)), timeout=3) as s:
            return s.makefile().readline().strip()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def load(address, port):
    answers = collections.Counter()

    def finish(*_):
        say(json.dumps(answers))
        os._exit(0)

    signal.signal(signal.SIGTERM, finish)
    say("started")
    due = time.monotonic()
    while True:
        answers[attempt(address, port)] += 1
        due += 0.01
        time.sleep(max(0, due - time.monotonic()))


if __name__ == "__main__":
    command, words = sys.argv[1], sys.argv[2:]
    if command in ("try", "ask"):
        say({"try": attempt, "ask": ask}[command](*words))
    else:
        {"ztunnel": ztunnel, "server": server, "load": load}[command](*words)
