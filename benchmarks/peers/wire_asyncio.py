"""The server of benchmarks/wire.py in Python on the kernel's TCP: asyncio, with a Protocol for every connection.

wire_asyncio.py serve ADDRESS

Ports and what happens on them are those of wire_load.c. Says "ready", serves until standard input ends, and prints one
JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable

PORTS, CLIENT_CLOSES, SERVER_CLOSES, DISCARD, CHARGEN = 16, 1000, 1100, 9, 19
REQUEST, RESPONSE = 100, bytes(500)
CHUNK = bytes(1 << 20)


class Server(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport


class Answer(Server):
    """Answers; the peer closes."""

    def data_received(self, data: bytes) -> None:
        """Answer; the request comes in one segment."""
        if len(data) == REQUEST:
            self.transport.write(RESPONSE)


class AnswerAndClose(Server):
    """Answers, and closes at once."""

    def data_received(self, data: bytes) -> None:
        """Answer; the request comes in one segment."""
        if len(data) == REQUEST:
            self.transport.write(RESPONSE)
            self.transport.close()


class Discard(asyncio.BufferedProtocol):
    """Reads everything into one buffer."""

    buffer = bytearray(1 << 20)

    def get_buffer(self, sizehint: int) -> bytearray:
        """The same one."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Nothing is done with it."""


class Chargen(Server):
    """Sends what it is told to and closes."""

    left = 0

    def data_received(self, data: bytes) -> None:
        """Take the order, which comes in one segment."""
        self.left = int(data)
        self.flowing = True
        self.resume_writing()

    def pause_writing(self) -> None:
        """Enough."""
        self.flowing = False

    def resume_writing(self) -> None:
        """Send what there is room for."""
        self.flowing = True
        while self.left and self.flowing:
            some = min(self.left, len(CHUNK))
            self.left -= some
            self.transport.write(CHUNK if some == len(CHUNK) else CHUNK[:some])
        if not self.left:
            self.transport.close()


async def serve(address: str) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    served: dict[int, Callable[[], asyncio.BaseProtocol]] = {DISCARD: Discard, CHARGEN: Chargen}
    served |= {CLIENT_CLOSES + number: Answer for number in range(PORTS)}
    served |= {SERVER_CLOSES + number: AnswerAndClose for number in range(PORTS)}
    for port, protocol in served.items():
        await loop.create_server(protocol, address, port, backlog=4096)
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    print("ready", flush=True)
    used = time.process_time()
    await over.wait()
    print(json.dumps({"cpu_s": time.process_time() - used}), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[2]))
