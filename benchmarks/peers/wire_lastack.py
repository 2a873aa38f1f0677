"""The server of benchmarks/wire.py on our TCP: a stack on a TUN device in the network namespace of this process.

wire_lastack.py serve ADDRESS KERNEL | which

Ports and what happens on them are those of wire_load.c. Says "ready", serves until standard input ends, and prints one
JSON object.
"""

from __future__ import annotations

import gc
import json
import sys
import time

import lastack.tcp.connection
from lastack.drive.application import Application
from lastack.drive.blocking import Driver, real_stack
from lastack.drive.tun import TunDevice
from lastack.linux.tun import Tun
from lastack.model.time import Nanos
from lastack.stack.sock import Socket

PORTS, CLIENT_CLOSES, SERVER_CLOSES, DISCARD, CHARGEN = 16, 1000, 1100, 9, 19
REQUEST, RESPONSE, ORDER = 100, bytes(500), 16
CHUNK = bytes(1 << 20)


class Answer(Application):
    """Answers, and closes after the peer has."""

    closes = False

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Answer; the request comes in one segment."""
        if len(socket.receive(4096, now) or b"") == REQUEST:
            socket.send(RESPONSE, now)
            if self.closes:
                socket.close(now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Close as well."""
        socket.close(now)


class AnswerAndClose(Answer):
    """Answers, and closes at once."""

    closes = True


class Discard(Application):
    """Reads everything."""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Read."""
        while socket.receive(1 << 20, now):
            pass

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Close as well."""
        socket.close(now)


class Chargen(Application):
    """Sends what it is told to and closes."""

    left = -1

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Take the order, which comes in one segment."""
        self.left = int(socket.receive(ORDER, now) or b"0")
        self.on_writable(socket, now)

    def on_writable(self, socket: Socket, now: Nanos) -> None:
        """Send what there is room for."""
        while self.left > 0:
            taken = socket.send(CHUNK if self.left >= len(CHUNK) else CHUNK[: self.left], now)
            if not taken:
                return
            self.left -= taken
        if self.left == 0:
            socket.close(now)


def serve(address: str, kernel: str) -> None:
    """Serve until standard input ends."""
    with TunDevice(Tun([kernel], offload=True)) as device:
        stack = real_stack([address])
        stack.settings.tcp_max_tw_buckets = 2_000_000
        driver = Driver(stack, device)
        answer, closing = Answer(), AnswerAndClose()
        for number in range(PORTS):
            driver.serve(CLIENT_CLOSES + number, lambda: answer)
            driver.serve(SERVER_CLOSES + number, lambda: closing)
        driver.serve(DISCARD, Discard)
        driver.serve(CHARGEN, Chargen)
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        used = time.process_time()
        ended: list[bool] = []
        driver.watch(sys.stdin.fileno(), lambda: ended.append(True))
        driver.run_until(lambda: ended)
        used = time.process_time() - used
    print(json.dumps({"cpu_s": used}))


def which() -> None:
    """Whether the engine that this interpreter imports is compiled."""
    print(json.dumps({"compiled": not lastack.tcp.connection.__file__.endswith(".py")}))


if __name__ == "__main__":
    if sys.argv[1] == "which":
        which()
    else:
        serve(*sys.argv[2:])
