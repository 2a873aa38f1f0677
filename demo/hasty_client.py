"""A client that opens a connection for every request and closes it first: each close leaves a TIME_WAIT, and a port.

Usage: hasty_client.py ADDRESS PORT RATE. Makes RATE connections a second until it is ended, and says so on a line.
One more stays open, as that of a health check would.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import time


def request(address: str, port: int) -> None:
    """One short connection, closed by this side."""
    with socket.create_connection((address, port)) as connection:
        connection.sendall(b"hello\n")
        connection.recv(64)


def main() -> None:
    """Go on for ever; where no port is left, wait for one."""
    address, port, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with socket.create_connection((address, port)):
        print("ready", flush=True)
        begin = time.monotonic()
        for count in itertools.count(1):
            with contextlib.suppress(OSError):
                request(address, port)
            time.sleep(max(0.0, begin + count / rate - time.monotonic()))


if __name__ == "__main__":
    main()
