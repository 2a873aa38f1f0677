"""Connections a second in the simulator: open, 100 octets, 500 octets, four-way close, TIME_WAIT. Also bulk goodput.

python benchmarks/engine.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from pathlib import Path

import lastack.tcp.connection
from lastack.drive import Application, Simulator
from lastack.model.time import MICROSECOND, MILLISECOND, SECOND, Nanos
from lastack.stack import Socket

REQUEST = b"q" * 100
RESPONSE = b"r" * 500
GAP = 40 * MICROSECOND
PORTS = 28_000
COMPILED = not lastack.tcp.connection.__file__.endswith(".py")


class Client(Application):
    """Asks, reads the answer, closes."""

    done = 0

    def on_opened(self, socket: Socket, now: Nanos) -> None:
        """Ask."""
        socket.send(REQUEST, now)

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Take what came."""
        if len(socket.receive(4096, now) or b"") == len(RESPONSE):
            Client.done += 1
        socket.close(now)


class Server(Application):
    """Answers, and closes after the peer has."""

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Take what came."""
        socket.receive(4096, now)
        socket.send(RESPONSE, now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Close as well."""
        socket.close(now)


class Bulk(Application):
    """Sends a fixed number of octets and closes."""

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

    def on_readable(self, socket: Socket, now: Nanos) -> None:
        """Take what came."""
        socket.receive(1 << 30, now)

    def on_end_of_file(self, socket: Socket, now: Nanos) -> None:
        """Close as well."""
        socket.close(now)


def connections(count: int) -> dict[str, float]:
    """So many connections, one every 40 us of virtual time, each with 60 s of TIME_WAIT."""
    sim = Simulator(1, quiet=True)
    addresses = [f"10.1.{i >> 8}.{i & 255}" for i in range(max(1, (count + PORTS - 1) // PORTS))]
    client = sim.host("client", *addresses)
    server = sim.host("server", "10.0.0.2")
    sim.link(client, server, delay=10 * MILLISECOND)
    server.serve(80, Server, backlog=4096)
    application = Client()
    Client.done = 0
    opened = 0

    def open_next() -> None:
        nonlocal opened
        local = (addresses[opened // PORTS], 32_768 + opened % PORTS)
        client.connect("10.0.0.2", 80, application, local=local)
        opened += 1
        if opened < count:
            sim.after(GAP, open_next)

    gc.collect()
    gc.freeze()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    sim.after(0, open_next)
    sim.run(until=count * GAP + 5 * SECOND)
    waiting = client.stack.host.four.count
    octets = client.stack.host.four.octets() / max(waiting, 1)
    sim.run()
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    if Client.done != count or client.stack.waiting():
        raise SystemExit(f"{Client.done} of {count} connections done")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "connections_per_second": count / used,
        "wall_s": wall,
        "cpu_s": used,
        "octets_per_time_wait": octets,
        "peak_rss_mb": peak / 1024,
        "grown_mb": (peak - before) / 1024,
    }


def bulk(octets: int) -> dict[str, float]:
    """One transfer over a link of 10 Gbit/s and 1 ms."""
    sim = Simulator(1, quiet=True)
    client, server = sim.host("client", "10.0.0.1"), sim.host("server", "10.0.0.2")
    sim.link(client, server, delay=MILLISECOND, rate=10_000_000_000, queue=1 << 22)
    server.serve(80, Sink)
    cpu = time.process_time()
    client.connect("10.0.0.2", 80, Bulk(octets))
    sim.run()
    used = time.process_time() - cpu
    return {"send_mb_per_s": octets / 1e6 / used, "cpu_s": used}


def main() -> None:
    """Run the cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the headline case only, small")
    parser.add_argument("--json", type=Path, help="write rows here")
    parser.add_argument("--count", type=int, action="append", help="connections, instead of the usual numbers")
    asked = parser.parse_args()
    subject = "lastack-compiled" if COMPILED else "lastack-interpreted"
    counts = asked.count or ([3000] if asked.quick else [1000, 10_000, 100_000])
    gc.disable()
    rows = []
    for count in counts:
        for metric, value in connections(count).items():
            rows.append({"case": f"close-{count}", "subject": subject, "metric": metric, "value": value})
    for metric, value in bulk(5_000_000 if asked.quick else 30_000_000).items():
        rows.append({"case": "bulk", "subject": subject, "metric": metric, "value": value})
    for row in rows:
        print(f"{row['case']:<14} {row['subject']:<20} {row['metric']:<24} {row['value']:>14,.1f}")
    if asked.json:
        asked.json.write_text(json.dumps(rows))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
