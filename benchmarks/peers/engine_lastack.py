"""What benchmarks/engine.py measures, done by lastack's own engine: a process for each measurement.

engine_lastack.py lives COUNT GAP_NS WARM | held COUNT | waits COUNT | bulk OCTETS | which

Prints one JSON object of metrics. Whether the engine is compiled is for whoever chooses the interpreter.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable

import lastack.tcp.connection
from lastack.drive import Application, Host, Simulator
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.stack import Socket
from lastack.tcp.settings import Settings

REQUEST = b"q" * 100
RESPONSE = b"r" * 500
SERVER = "10.0.0.2"
PORT = 80
FIRST_PORT = 32_768
PORTS = 28_000
"""Of each client address: then the next one is taken, so that no port is needed twice within a wait."""


class Client(Application):
    """Asks, reads the answer, and closes unless it is to be held."""

    def __init__(self, hold: bool) -> None:
        self.hold = hold
        self.done = 0

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """Ask."""
        socket.send(REQUEST, now)

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Take the answer."""
        if len(socket.receive(4096, now) or b"") == len(RESPONSE):
            self.done += 1
        if not self.hold:
            socket.close(now)


class Server(Application):
    """Answers, and closes after the peer has."""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Answer."""
        socket.receive(4096, now)
        socket.send(RESPONSE, now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Close as well."""
        socket.close(now)


class Source(Application):
    """Sends a number of octets and closes."""

    def __init__(self, octets: int) -> None:
        self.left = octets

    def on_writable(self, socket: Socket, now: Nanos) -> None:
        """Send what there is room for."""
        while self.left:
            taken = socket.send(bytes(min(self.left, 65_536)), now)
            if not taken:
                return
            self.left -= taken
        socket.close(now)


class Sink(Application):
    """Reads everything."""

    def __init__(self) -> None:
        self.octets = 0

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Read."""
        self.octets += len(socket.receive(1 << 30, now) or b"")

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Close as well."""
        socket.close(now)


class Load:
    """Two hosts 10 ms apart, and a client that opens `count` connections, one every `gap` ns of virtual time."""

    def __init__(self, count: int, gap: Nanos, *, hold: bool = False) -> None:
        self.sim = Simulator(1, quiet=True)
        self.count, self.gap = count, gap
        self.addresses = [f"10.1.{i >> 8}.{i & 255}" for i in range(count // PORTS + 1)]
        settings = Settings.linux()
        settings.tcp_max_tw_buckets = max(settings.tcp_max_tw_buckets, count)
        self.client: Host = self.sim.host("client", *self.addresses, settings=settings)
        self.server: Host = self.sim.host("server", SERVER)
        self.sim.link(self.client, self.server, delay=10 * MILLISECOND)
        self.application = Client(hold)
        server = Server()
        self.server.serve(PORT, lambda: server, backlog=4096)
        self.opened = 0
        self.sim.after(0, self.open)

    def open(self) -> None:
        """Open the next connection."""
        local = (self.addresses[self.opened // PORTS], FIRST_PORT + self.opened % PORTS)
        self.client.connect(SERVER, PORT, self.application, local=local)
        self.opened += 1
        if self.opened < self.count:
            self.sim.after(self.gap, self.open)

    def check(self, done: int) -> None:
        """Stop where the work was not done, so that nothing is measured that did not happen."""
        if self.application.done < done:
            raise SystemExit(f"{self.application.done} of {done} connections were answered")


def lives(count: int, gap: Nanos, warm: int) -> dict[str, float]:
    """So many whole lives. With `warm`, the middle of a steady stream, so many having been opened before."""
    load = Load(warm + count + SECOND // gap, gap) if warm else Load(count, gap)
    if warm:
        load.sim.run(until=warm * gap)
    wall, cpu = time.perf_counter(), time.process_time()
    if warm:
        load.sim.run(until=(warm + count) * gap)
    else:
        load.sim.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    load.check(warm + count - SECOND // gap if warm else count)
    if not warm and load.client.stack.waiting():
        raise SystemExit("TIME_WAIT did not end")
    segments = load.client.counters()["TcpOutSegs"] + load.server.counters()["TcpOutSegs"]
    return {
        "connections_per_second": count / cpu,
        "cpu_s": cpu,
        "wall_s": wall,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "segments_per_connection": segments / load.opened,
    }


def grown(count: int, hold: bool) -> float:
    """Octets that Python allocated and did not free for each of so many connections, by tracemalloc."""
    load = Load(count + 1, MILLISECOND, hold=hold)
    load.sim.run(until=0)
    load.sim.run(until=MILLISECOND - 1)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    load.sim.run(until=count * MILLISECOND + SECOND)
    load.check(count + 1)
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / count


def held(count: int) -> dict[str, float]:
    """One end of an idle connection that has been answered."""
    return {"octets_per_connection": grown(count, hold=True) / 2}


def waits(count: int) -> dict[str, float]:
    """One connection in TIME_WAIT: the row, its place in the index, and the port it keeps."""
    return {"octets_per_time_wait": grown(count, hold=False)}


def bulk(octets: int) -> dict[str, float]:
    """One transfer over a link of 10 Gbit/s and 1 ms."""
    sim = Simulator(1, quiet=True)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", SERVER)
    sim.link(client, server, delay=MILLISECOND, rate=10_000_000_000, queue=1 << 22)
    sink = Sink()
    server.serve(PORT, lambda: sink)
    cpu = time.process_time()
    client.connect(SERVER, PORT, Source(octets))
    sim.run()
    cpu = time.process_time() - cpu
    if sink.octets != octets:
        raise SystemExit(f"{sink.octets} of {octets} octets arrived")
    return {"send_mb_per_s": octets / 1e6 / cpu, "cpu_s": cpu}


def which() -> dict[str, float]:
    """Whether the engine that this interpreter imports is compiled."""
    return {"compiled": float(not lastack.tcp.connection.__file__.endswith(".py"))}


def main() -> None:
    """Do what the arguments say."""
    work: dict[str, Callable[..., dict[str, float]]] = {
        "lives": lives,
        "held": held,
        "waits": waits,
        "bulk": bulk,
        "which": which,
    }
    gc.collect()
    gc.freeze()
    print(json.dumps(work[sys.argv[1]](*map(int, sys.argv[2:]))))


if __name__ == "__main__":
    main()
