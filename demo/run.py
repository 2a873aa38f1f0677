"""The demo: real processes with real bugs on real sockets, and what lastack says of them. Under a minute.

As root it happens in a network namespace of its own, with a small port range so that it fills in seconds; otherwise
on the loopback of this host. Every process that it starts is ended by it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
REPORT = HERE.parent / "demo-report.html"
ADDRESS, PORT = "127.0.0.1", 18_080
MIN_AGE = 3  # seconds; the default of lastack check is 60, which a demo should not wait for


@contextmanager
def stage() -> Iterator[str]:
    """Where it happens: a private namespace for root, this host's loopback for everybody else."""
    if os.geteuid() != 0 or sys.platform != "linux":
        yield "on this host's loopback (as root it would have a network namespace of its own)"
        return
    from lastack.linux import namespaces, sysctl

    with namespaces.private():
        sysctl.write("net.ipv4.ip_local_port_range", "32768 34767")
        sysctl.write("net.ipv4.tcp_tw_reuse", "0")  # as between two hosts: the default reuses on loopback only
        yield "in a network namespace of its own, with 2,000 ports for outgoing connections"


@contextmanager
def running(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A script of the demo as a process, from its `ready` on; ended afterwards."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit(f"demo: {script} did not start")
        yield process
    finally:
        process.kill()
        process.communicate()


def visit(port: int, count: int, says: bytes = b"", reads: bytes = b"") -> None:
    """Clients that connect, perhaps say or read something, and leave."""
    for _ in range(count):
        with socket.create_connection((ADDRESS, port)) as connection:
            connection.sendall(says)
            if reads and connection.recv(len(reads), socket.MSG_WAITALL) != reads:
                raise SystemExit("demo: the server did not answer")


def lastack(*arguments: str) -> int:
    """The command itself, as a user would run it; its exit status."""
    return subprocess.run([sys.executable, "-m", "lastack", *arguments], check=False).returncode


def main() -> int:
    """Break things, then diagnose them."""
    with ExitStack() as stack:
        print(f"demo: a server with three bugs and a hasty client, {stack.enter_context(stage())}")
        stack.enter_context(running("honest_server.py", ADDRESS, PORT))
        stack.enter_context(running("leaky_server.py", ADDRESS, PORT + 1))
        stack.enter_context(running("hasty_client.py", ADDRESS, PORT, 150))
        visit(PORT + 1, 24, reads=b"welcome\n")
        visit(PORT + 2, 36)
        visit(PORT + 3, 5, says=b"is anybody there?\n")
        print("demo: letting it go wrong for some seconds ...", flush=True)
        time.sleep(8)
        print(f"demo: $ lastack check --min-age {MIN_AGE}s\n", flush=True)
        status = lastack("check", "--min-age", f"{MIN_AGE}s")
        lastack("check", "--min-age", f"{MIN_AGE}s", "--format", "html", "-o", str(REPORT), "--quiet")
    print(f"\ndemo: exit status {status} (1: errors were found). The same as a page: {REPORT.name}")
    return 0 if status == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
