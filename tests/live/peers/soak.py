"""Hundreds of thousands of real connections in a few minutes, every octet compared: `make soak`. Needs root.

Kernel clients open, talk and close in every way, to servers on our TCP and, through a relay on it, to a kernel's;
memory is watched meanwhile and must be flat once as many connections wait in TIME_WAIT as end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lastack.drive.services import Discard, Echo, Files, FileServer, Relay
from lastack.linux import namespaces, sysctl
from lastack.stack.stack import Stack
from lastack.tcp.settings import SocketOptions

from .liar import resident
from .line import KERNEL, OURS, Line

ECHO, DISCARD, HTTP, RELAY, THERE = 7, 9, 80, 81, 8080
PAGE = bytes(range(256)) * 16
CLIENTS = {False: 6, True: 48}
"""How many clients at a time: on a bad wire most of them wait for a time-out."""
SAMPLE = 10.0
MB = 1e6


# -- the kernel's side


def connect(port: int, dice: random.Random) -> socket.socket:
    return socket.create_connection((OURS[dice.choice((4, 4, 4, 6))], port), timeout=60)


def everything(one: socket.socket) -> bytes:
    return b"".join(iter(lambda: one.recv(1 << 16), b""))


def we_close_first(dice: random.Random) -> bool:
    """An echo, and the client closes."""
    with connect(ECHO, dice) as one:
        said = dice.randbytes(dice.randrange(1, 200))
        one.sendall(said)
        return one.recv(len(said), socket.MSG_WAITALL) == said


def the_server_closes_first(dice: random.Random) -> bool:
    """A page, and the server closes; sometimes from behind a relay."""
    with connect(dice.choice((HTTP, HTTP, RELAY)), dice) as one:
        one.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return everything(one).endswith(PAGE)


def half_close(dice: random.Random) -> bool:
    """Much said, then the end of it, then all of it heard again."""
    with connect(ECHO, dice) as one:
        said = dice.randbytes(100_000)

        def say() -> None:
            one.sendall(said)
            one.shutdown(socket.SHUT_WR)

        speaker = threading.Thread(target=say)
        speaker.start()
        heard = everything(one)
        speaker.join()
        return heard == said


def reset(dice: random.Random) -> bool:
    """Cut off in the middle."""
    with connect(dice.choice((ECHO, HTTP, DISCARD, RELAY)), dice) as one:
        one.sendall(dice.randbytes(dice.randrange(1, 5000)))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


WAYS: tuple[Callable[[random.Random], bool], ...] = (
    *(we_close_first,) * 9,
    *(the_server_closes_first,) * 9,
    half_close,
    reset,
)


def client(seconds: float, report: Path, clients: int) -> None:
    """What the clients' process does: all the ways, by so many at a time, for so long."""
    end = time.monotonic() + seconds
    counts = {"done": 0, "wrong": 0, "failed": 0}
    said: list[str] = []

    def run(seed: int) -> None:
        dice = random.Random(seed)
        while time.monotonic() < end:
            try:
                counts["done" if dice.choice(WAYS)(dice) else "wrong"] += 1
            except OSError as error:
                counts["failed"] += 1
                said.append(repr(error))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report.write_text(json.dumps({**counts, "said": said[:5]}))


def kernel_pages() -> None:
    """A kernel's server behind the relay: pages, and it closes first."""
    with socket.create_server((KERNEL[4], THERE), backlog=1024) as server:
        while True:
            one, _ = server.accept()
            with one, suppress(OSError):
                one.recv(1000)
                one.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + PAGE)
                one.shutdown(socket.SHUT_WR)
                one.recv(1000)


@contextmanager
def child(work: Callable[[], object]) -> Iterator[int]:
    """A process that does that and nothing else, and not for longer than the block."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def ended(pid: int) -> bool:
    """Whether a child has come to its end, which stays for others to see."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


# -- our side


def sample(stack: Stack, began: float) -> tuple[float, int]:
    """Print a line; the time and the memory."""
    at, memory = time.monotonic() - began, resident()
    counters = stack.counters
    print(
        f"{at:6.0f} s {counters.TcpPassiveOpens + counters.TcpActiveOpens:10,} opened"
        f" {len(stack.host.sockets):6,} open {stack.waiting():8,} waiting {memory / MB:8.1f} MB",
        flush=True,
    )
    return at, memory


def soak(seconds: float, bad: bool) -> list[str]:
    """Run it; what was wrong."""
    sysctl.write("net.ipv4.ip_local_port_range", "1024\t65535")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "page").write_bytes(PAGE)
        line = Line(bad=bad)
        stack, files = line.stack, Files(place)
        for port, make in (
            (ECHO, Echo),
            (DISCARD, Discard),
            (HTTP, lambda: FileServer(files)),
            (RELAY, lambda: Relay(stack, (KERNEL[4], THERE))),
        ):
            # A RST that is lost is news that comes but once: only who asks learns that the peer has gone.
            options = SocketOptions(so_keepalive=True, tcp_keepidle=20, tcp_keepintvl=5, tcp_keepcnt=4)
            line.driver.serve(port, make, options=options)
        samples, began = [], time.monotonic()
        with child(kernel_pages), child(lambda: client(seconds, place / "report", CLIENTS[bad])) as talking:
            while not ended(talking):
                due = time.monotonic() + SAMPLE
                while time.monotonic() < due and not ended(talking):
                    for _ in range(200):
                        line.driver.step(0.01)
                samples.append(sample(stack, began))
        line.driver.run(70 if bad else 3)
        sample(stack, began)
        report = json.loads((place / "report").read_text())
        line.close()
    print(json.dumps(report))
    settled = [memory for at, memory in samples if at > 75]
    growth = settled[-1] - settled[0] if len(settled) > 1 else 0
    print(f"memory since every wait has its successor: {growth / MB:+.1f} MB")
    problems = [f"{report[word]} {word}: {report['said']}" for word in ("wrong", "failed") if report[word]]
    if stack.host.sockets:
        problems.append(f"{len(stack.host.sockets)} connections have not ended")
    if growth > 5 * MB:
        problems.append("memory is not flat")
    return problems


def main() -> int:
    """0 where nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--bad", action="store_true", help="over a wire that loses, reorders, doubles and damages")
    asked = parser.parse_args()
    with namespaces.private():
        problems = soak(asked.seconds, asked.bad)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
