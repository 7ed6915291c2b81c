"""What a program holds in its memory: for tests that look for what must not be there. What is found is said by what stands around it, and never shown."""
import base64
import pathlib
import re

AROUND = 400  # bytes on either side


def writable(pid):
    """What is written to, piece by piece: where it is, what it is called, and its bytes."""
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, flags, _, _, _, name = [*line.split(maxsplit=5), "no file"][:6]
            if not flags.startswith("rw"):
                continue
            low, high = (int(end, 16) for end in span.split("-"))
            try:
                memory.seek(low)
                yield low, name, memory.read(high - low)
            except (OSError, ValueError):
                continue  # given back meanwhile, or not to be read


def pieces_of_key(name, pem):
    """What of a P-256 key in PEM is to be looked for: of the number itself, what stands before it is in every key of that curve."""
    first, second = (line.encode() for line in pem.splitlines()[1:3])
    return {f"{name} as a Secret has it": base64.b64encode(pem.encode())[104:140], f"{name} as PEM": first[48:64], f"{name} as PEM, its end": second[:24]}


def hidden(text):
    """Without what may be a secret: long words in base64 or hexadecimal are said by their length. Control characters are dots."""
    words = re.sub(rb"[A-Za-z0-9+/=]{20,}", lambda word: b"<%d characters of base64>" % len(word[0]), text)
    return "".join(chr(each) if 32 <= each < 127 else "." for each in words)


def found(pid, pieces):
    """Of each piece (by name, bytes) where it is, and what stands around it."""
    said = []
    for low, mapping, held in writable(pid):
        for name, piece in pieces.items():
            at = held.find(piece)
            while at >= 0:
                before, after = held[max(0, at - AROUND):at], held[at + len(piece):at + len(piece) + AROUND]
                said.append(f"{name} at {low + at:#x} of {mapping}: {hidden(before)} [IT] {hidden(after)}")
                at = held.find(piece, at + 1)
    return said
