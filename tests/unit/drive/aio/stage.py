"""Where the same scene is played several times: on the kernel's TCP with asyncio's own loop, on ours, and between them.

Both ends live in one loop. Each notes what happens to it, in order; what a scene notes itself is a third list. Pieces
of data in a row count as one: where a stream is cut is nobody's promise.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from lastack.drive.aio import EventLoop, on_tun
from lastack.drive.blocking import real_stack

NOBODY_LISTENS = 1
PATIENCE = 10.0


class Stage(NamedTuple):
    """The loop, where servers listen, and whether it is by the kernel's TCP that clients connect to them."""

    name: str
    loop: Callable[[], asyncio.AbstractEventLoop]
    host: str
    kernel_connects: bool = False


KERNEL = Stage("kernel", asyncio.SelectorEventLoop, "127.0.0.1")
OURS = Stage("ours", lambda: EventLoop(real_stack(["127.0.0.1"])), "127.0.0.1")
# With root, in a network namespace: our TCP is 10.9.0.2 on a TUN device, the kernel's is 10.9.0.1.
_ON_TUN = on_tun(["10.9.0.1/24"], ["10.9.0.2"])
OUR_CLIENT = Stage("our client, the kernel's server", _ON_TUN, "10.9.0.1")
OUR_SERVER = Stage("our server, the kernel's client", _ON_TUN, "10.9.0.2", kernel_connects=True)


def told(error: BaseException | None) -> str:
    """An error as scenes compare it: its class and its errno."""
    if error is None:
        return "None"
    number = getattr(error, "errno", None)
    return type(error).__name__ + (f" {os.strerror(number)}" if number else "")


class Notes:
    """What happened, in order; whoever waits for something is woken."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._waiter: asyncio.Future[None] | None = None

    def note(self, what: str) -> None:
        if what != "data" or self.notes[-1:] != ["data"]:
            self.notes.append(what)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    async def saw(self, start: str) -> None:
        """Wait until something noted starts so."""
        await self.until(lambda: any(note.startswith(start) for note in self.notes))


class Side(Notes, asyncio.Protocol):
    """One end that notes everything. `on` are things to do when something happens; `keep_open` answers eof_received."""

    transport: asyncio.Transport

    def __init__(self, *, keep_open: bool = False, **on: Callable[[Side], None]) -> None:
        super().__init__()
        self.data = bytearray()
        self.keep_open = keep_open
        self.on = on
        self.error: BaseException | None = None

    def _happened(self, what: str, note: str) -> None:
        self.note(note)
        if what in self.on:
            self.on[what](self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._happened("made", "made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._happened("data", "data")

    def eof_received(self) -> bool:
        self._happened("eof", "eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self._happened("pause", "pause")

    def resume_writing(self) -> None:
        self._happened("resume", "resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._happened("lost", f"lost {told(exc)}")

    async def has(self, octets: int) -> None:
        await self.until(lambda: len(self.data) >= octets)


class BufferedSide(Side, asyncio.BufferedProtocol):
    """The same with a buffer of its own, of seven octets."""

    def __init__(self, **on: Any) -> None:
        super().__init__(**on)
        self.buffer = bytearray(7)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))


class World(Notes):
    """What a scene is given."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.host = stage.host
        self._kernel_connects = stage.kernel_connects
        self.sides: list[Side] = []
        self.reported: list[str] = []
        self._tasks = asyncio.all_tasks()
        self.loop.set_exception_handler(self._report)

    def _report(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # After these words asyncio names the callback: a detail of whose transport it is.
        message = context["message"].split(" callback ")[0]
        self.reported.append(f"{message}: {told(context.get('exception'))}")

    async def pair(self, client: Side, server: Side, **options: Any) -> tuple[Side, Side]:
        """Two ends that are connected. The listener is gone."""
        self.sides += [client, server]
        listener = await self.loop.create_server(lambda: server, self.host, 0)
        await self.connect(lambda: client, listener.sockets[0].getsockname()[1], **options)
        await server.saw("made")
        listener.close()
        return client, server

    async def connect(self, factory: Callable[[], asyncio.Protocol], port: int, **options: Any) -> asyncio.Transport:
        """Connect to a server of the scene's."""
        transport: asyncio.Transport
        if self._kernel_connects:
            # The loop's own methods would go by our TCP: they are passed by.
            kernel: Any = asyncio.SelectorEventLoop
            sock = socket.socket(proto=socket.IPPROTO_TCP)
            sock.setblocking(False)
            try:
                await kernel.sock_connect(self.loop, sock, (self.host, port))
            except OSError:
                sock.close()
                raise
            options.pop("happy_eyeballs_delay", None)
            transport, _ = await kernel.create_connection(self.loop, factory, sock=sock, **options)
        else:
            transport, _ = await self.loop.create_connection(factory, self.host, port, **options)
        return transport

    async def open(self, port: int, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same as streams."""
        reader = asyncio.StreamReader(loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        transport = await self.connect(lambda: protocol, port, **options)
        return reader, asyncio.StreamWriter(transport, protocol, reader, self.loop)

    async def settled(self) -> None:
        """Wait until every task that was started meanwhile is over."""
        while others := asyncio.all_tasks() - self._tasks:
            await asyncio.wait(others)

    async def over(self) -> None:
        """Wait until both ends have lost the connection."""
        for side in self.sides:
            await side.saw("lost")


_ADDRESS = re.compile(r"127\.0\.0\.1|10\.9\.0\.[12]")
Scene = Callable[[World], Awaitable[None]]


def play(scene: Scene, stage: Stage) -> dict[str, list[str]]:
    """What everybody noted, addresses apart."""

    async def whole() -> dict[str, list[str]]:
        world = World(stage)
        async with asyncio.timeout(PATIENCE):
            await scene(world)
            await world.settled()
        names = ("client", "server")
        said = {name: side.notes for name, side in zip(names, world.sides, strict=False)}
        everything = {**said, "scene": world.notes, "reported": world.reported}
        return {who: [_ADDRESS.sub("HOST", note) for note in notes] for who, notes in everything.items()}

    with asyncio.Runner(loop_factory=stage.loop) as runner:
        result = runner.run(whole())
    gc.collect()
    return result


def linger_zero(transport: asyncio.Transport) -> None:
    """From now on close() is a RST."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
