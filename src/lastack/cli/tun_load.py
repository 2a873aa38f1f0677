"""The client on the kernel's TCP that `lastack tun bench` runs beside itself, as a module: WHAT HOST PORT SECONDS.

It prints one number: connections a second (`connections`), or 10^6 octets a second (`upload`, `download`).
"""

from __future__ import annotations

import selectors
import socket
import sys
import time

AT_ONCE = 32
PIECE = 1 << 18
ASKED = b"16 octets, echo."


def connections(where: tuple[str, int], seconds: float) -> float:
    """Open, say 16 octets, hear them again, close: so many at once, as often as there is time for."""
    waiting = selectors.DefaultSelector()
    began = time.monotonic()
    done = 0
    for _ in range(AT_ONCE):
        _open(waiting, where)
    while (now := time.monotonic()) < began + seconds:
        for key, events in waiting.select(1):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            if events & selectors.EVENT_WRITE:
                one.send(ASKED)
                waiting.modify(one, selectors.EVENT_READ)
            elif one.recv(64):
                waiting.unregister(one)
                one.close()
                done += 1
                _open(waiting, where)
    return done / (now - began)


def _open(waiting: selectors.BaseSelector, where: tuple[str, int]) -> None:
    one = socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
    one.setblocking(False)
    one.connect_ex(where)
    waiting.register(one, selectors.EVENT_WRITE)


def upload(where: tuple[str, int], seconds: float) -> float:
    """Send as fast as it is taken."""
    piece = bytes(PIECE)
    with socket.create_connection(where) as one:
        began = time.monotonic()
        sent = 0
        while time.monotonic() < began + seconds:
            sent += one.send(piece)
        one.shutdown(socket.SHUT_WR)
        one.recv(1)
        return sent / 1e6 / (time.monotonic() - began)


def download(where: tuple[str, int], seconds: float) -> float:
    """Receive as fast as it comes."""
    room = bytearray(PIECE)
    with socket.create_connection(where) as one:
        began = time.monotonic()
        heard = 0
        while (now := time.monotonic()) < began + seconds:
            heard += one.recv_into(room)
        return heard / 1e6 / (now - began)


WHAT = {"connections": connections, "upload": upload, "download": download}

if __name__ == "__main__":
    print(WHAT[sys.argv[1]]((sys.argv[2], int(sys.argv[3])), float(sys.argv[4])))
