"""A load of real sockets in a network namespace of its own: TIME_WAIT by the hundred thousand, and live connections.

Everything is on loopback. The live ones are held by processes of their own, as on a real host; each holds as many as
its limit of descriptors allows.
"""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lastack.linux import namespaces, sysctl

SETTINGS = {
    "net.ipv4.tcp_max_tw_buckets": "4000000",
    "net.ipv4.tcp_tw_reuse": "0",
    "net.ipv4.ip_local_port_range": "10000 65535",
}
PER_DESTINATION = 20_000
"""Connections to one address: far fewer than there are ports, or connect() gets slow."""
PER_HOLDER = 5_000
"""Connections of one process, both ends: below 20,000 descriptors, which many hosts allow."""


@contextmanager
def standing(time_wait: int, live: int) -> Iterator[float]:
    """The calling thread in a new namespace with that many TIME_WAIT and live sockets; since when (monotonic).

    A tenth of the live connections is IPv6, another tenth is half closed. Raises KernelError without root.
    """
    with ExitStack() as kept:
        kept.enter_context(namespaces.private())
        for name, value in SETTINGS.items():
            sysctl.write(name, value)
        holders = [
            kept.enter_context(_holder(number, min(PER_HOLDER, live // 2 - first)))
            for number, first in enumerate(range(0, live // 2, PER_HOLDER))
        ]
        for holder in holders:
            _await(holder)
        since = time.monotonic()
        pile_up(time_wait)
        yield since


def pile_up(time_wait: int) -> None:
    """Leave that many TIME_WAIT: who has connected closes first."""
    with socket.create_server(("0.0.0.0", 9_000), backlog=1_024) as listener:
        for number in range(time_wait):
            with socket.socket() as client:
                client.connect((f"127.0.1.{1 + number // PER_DESTINATION}", 9_000))
                server, _ = listener.accept()
            server.close()


def hold(number: int, connections: int) -> None:
    """Hold both ends of that many connections until standard input ends; says so when they stand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = []
    with (
        socket.create_server(("0.0.0.0", 9_100 + number)) as four,
        socket.create_server(("::", 9_300 + number), family=socket.AF_INET6) as six,
    ):
        for each in range(connections):
            listener, addr = (six, "::1") if each % 10 == 0 else (four, f"127.0.2.{1 + each // PER_DESTINATION}")
            client = socket.socket(listener.family)
            client.connect((addr, listener.getsockname()[1]))
            kept += [client, listener.accept()[0]]
            if each % 10 == 1:
                client.shutdown(socket.SHUT_WR)
        print("standing", flush=True)
        sys.stdin.read()


@contextmanager
def _holder(number: int, connections: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, __file__, str(number), str(connections)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _await(holder: subprocess.Popen[bytes]) -> None:
    if holder.stdout is None or not holder.stdout.readline():
        raise RuntimeError("a process that was to hold live connections has ended: is its descriptor limit too low?")


if __name__ == "__main__":
    hold(int(sys.argv[1]), int(sys.argv[2]))
