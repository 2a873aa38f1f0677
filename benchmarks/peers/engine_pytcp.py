"""The work of benchmarks/engine.py on PyTCP (pmd-pytcp), as far as it can be driven.

engine_pytcp.py lives COUNT | held COUNT | waits COUNT | bulk OCTETS

PyTCP keeps one stack in module globals and waits with asyncio, so the two hosts are two processes joined by a pair of
local sockets, and packets are octets. While packets move, time is real; the 60 s of TIME_WAIT are skipped by moving
the event loop's clock on whenever nothing is left to do before its next timer. CPU is that of both processes.
Prints one JSON object of metrics; memory is Python's own, by tracemalloc, both ends together.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import selectors
import socket
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

from pmd_net_addr import Ip4IfAddr
from pmd_pytcp import socket as tcp
from pmd_pytcp import stack
from pmd_pytcp.lib.interface_layer import InterfaceLayer
from pmd_pytcp.stack import lifecycle

if TYPE_CHECKING:
    from pmd_pytcp.socket.tcp__socket import TcpSocket

CLIENT, SERVER, PORT = "10.0.0.1", "10.0.0.2", 80
REQUEST, RESPONSE = b"q" * 100, b"r" * 500
AT_ONCE = 8
FIRST_PORT = 10_000


class Skipping(selectors.DefaultSelector):
    """A selector that, when asked to, counts the time instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.skips = False
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as usual, or not at all."""
        if not self.skips or not timeout:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self.skipped += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves with the time that its selector skips."""

    def __init__(self) -> None:
        self.skipping = Skipping()
        super().__init__(self.skipping)
        really = time.monotonic_ns
        # PyTCP's own timers ask this clock whether they are due.
        time.monotonic_ns = lambda: really() + int(self.skipping.skipped * 1e9)

    def time(self) -> float:
        """The time, and what was skipped of it."""
        return super().time() + self.skipping.skipped


async def up(wire: socket.socket, address: str) -> None:
    """Bring PyTCP up on one end of the wire."""
    lifecycle.init(
        fd=wire.fileno(),
        layer=InterfaceLayer.L3,
        ip4_host=Ip4IfAddr(f"{address}/24"),
        ip4_dhcp=False,
        ip6_support=False,
        sysctls={"tcp.time_wait.delay_ms": 60_000},
    )
    await lifecycle.start()
    while not stack.local_ip4_unicast():
        await asyncio.sleep(0.001)


async def everything(connection: TcpSocket, size: int) -> None:
    """Receive so many octets."""
    while size > 0:
        data = await connection.recv(65_536)
        if not data:
            raise SystemExit("the connection ended early")
        size -= len(data)


async def serve(wire: socket.socket, orders: socket.socket, bulk: int) -> None:
    """The server's process: answer everybody, until the parent's order comes; then say what it cost."""
    await up(wire, SERVER)
    listener = tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM)
    listener.bind((SERVER, PORT))
    listener.listen(backlog=1024)

    async def one(connection: TcpSocket) -> None:
        await everything(connection, bulk or len(REQUEST))
        if not bulk:
            await connection.send(RESPONSE)
        while await connection.recv(65_536):
            pass
        connection.close()

    async def all_of_them(tasks: set[asyncio.Task[None]]) -> None:
        while True:
            connection, _ = await listener.accept()
            task = asyncio.create_task(one(connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    accepting = asyncio.create_task(all_of_them(set()))
    loop = asyncio.get_running_loop()
    orders.setblocking(False)
    orders.send(b"up")
    started: dict[str, float] = {}
    while order := (await loop.sock_recv(orders, 64)).decode():
        now = cost()
        if order == "start":
            started = now
        orders.send(json.dumps({name: now[name] - started.get(name, 0) for name in now}).encode())
    accepting.cancel()


def cost() -> dict[str, float]:
    """What this process has used."""
    gc.collect()
    return {
        "cpu": time.process_time(),
        "octets": float(tracemalloc.get_traced_memory()[0]),
        "peak": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
    }


async def opened(number: int) -> TcpSocket:
    """Open a connection."""
    connection = tcp.socket(tcp.AF_INET, tcp.SOCK_STREAM)
    connection.bind((CLIENT, FIRST_PORT + number))
    await connection.connect((SERVER, PORT))
    return connection


async def exchange(first: int, count: int, hold: bool) -> list[TcpSocket]:
    """So many connections, some at once; those that are held."""
    held: list[TcpSocket] = []
    numbers = iter(range(first, first + count))

    async def some() -> None:
        for number in numbers:
            connection = await opened(number)
            await connection.send(REQUEST)
            await everything(connection, len(RESPONSE))
            if hold:
                held.append(connection)
            else:
                connection.close()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return held


def tell(orders: socket.socket, order: str) -> dict[str, float]:
    """Ask the server's process what it has used."""
    orders.send(order.encode())
    answer: dict[str, float] = json.loads(orders.recv(4096))
    return answer


async def ask(wire: socket.socket, orders: socket.socket, work: str, count: int) -> dict[str, float]:
    """The client's process: do the work, and add up what both have used."""
    await up(wire, CLIENT)
    held: list[TcpSocket] = []
    if work == "bulk":
        there, here, wall = tell(orders, "start"), cost(), time.perf_counter()
        connection = await opened(0)
        for _ in range(count // 50_000):
            await connection.send(bytes(50_000))
        connection.shutdown(tcp.SHUT_WR)
        while await connection.recv(65_536):
            pass
    else:
        # One first, so that what is made once is not counted.
        await exchange(0, AT_ONCE, False)
        await asyncio.sleep(0.3)
        there, here, wall = tell(orders, "start"), cost(), time.perf_counter()
        held = await exchange(AT_ONCE, count, work == "held")
        await asyncio.sleep(0.3)
    memory = cost()["octets"] - here["octets"]
    if work == "lives":
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        loop.skipping.skips = True
        await asyncio.sleep(61)
        loop.skipping.skips = False
        if any(one._tcp_session is not None for one in stack.sockets.values()):
            raise SystemExit("TIME_WAIT did not end")
    wall = time.perf_counter() - wall
    there, now = tell(orders, "stop"), cost()
    cpu = now["cpu"] - here["cpu"] + there["cpu"]
    if work == "bulk":
        return {"send_mb_per_s": count / 1e6 / cpu, "cpu_s": cpu}
    if work == "held":
        return {"octets_per_connection": (memory + there["octets"]) / len(held) / 2}
    if work == "waits":
        return {"octets_per_time_wait": memory / count}
    return {"connections_per_second": count / cpu, "cpu_s": cpu, "wall_s": wall, "peak_rss_mb": now["peak"] / 1024}


def main() -> None:
    """Do what the arguments say, in two processes."""
    work, count = sys.argv[1], int(sys.argv[2])
    if work in ("held", "waits"):
        tracemalloc.start()
    wires = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in wires:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    child = os.fork()
    side = 1 if child == 0 else 0
    wires[1 - side].close()
    orders[1 - side].close()
    with asyncio.Runner(loop_factory=Loop) as runner:
        if child == 0:
            runner.run(serve(wires[1], orders[1], count if work == "bulk" else 0))
            os._exit(0)
        orders[0].recv(16)
        used = runner.run(ask(wires[0], orders[0], work, count))
    orders[0].close()
    os.waitpid(child, 0)
    print(json.dumps(used))


if __name__ == "__main__":
    main()
