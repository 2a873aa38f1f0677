"""What the host benchmark measures inside a process of its own: one reading of all TCP sockets, imports excluded.

Run as `python subjects.py NAME` by the interpreter that has the subject; prints one line of JSON. Each function
imports what it needs, takes a first step that touches every part of the code and next to no sockets, and returns the
reading itself, so that what is measured is neither start-up nor a second run.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does: idle BLAS threads spin, and would be counted

ALL = 0xF7E
LISTEN = 1 << 10
INFO = 1 << 1
GETSOCK, BY_FAMILY = 18, 20


def receive(kind: int, family: int, states: int, extensions: int) -> int:
    """Receive a whole dump and look at nothing but its end; how many octets it had."""
    if kind == GETSOCK:
        body = struct.pack("=4B48x2I", family, 0, 0, extensions, states, 0)
    else:
        body = struct.pack("=4BI48x", family, socket.IPPROTO_TCP, extensions, 0, states)
    octets, buffer = 0, bytearray(1 << 16)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as source:
        source.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)
        source.bind((0, 0))
        source.send(struct.pack("=IHHII", 16 + len(body), kind, 0x301, 1, 0) + body)
        while True:
            size = source.recv_into(buffer)
            octets += size
            if struct.unpack_from("=IH", buffer, size - 20) == (20, 3):
                return octets


def floor() -> Callable[[], int]:
    """The same request as lastack's, received and dropped."""
    receive(GETSOCK, 0, LISTEN, INFO)
    return lambda: receive(GETSOCK, 0, ALL, INFO)


def floor_by_family() -> Callable[[], int]:
    """The usual two requests, one a family, received and dropped."""
    receive(BY_FAMILY, socket.AF_INET, LISTEN, INFO)
    return lambda: sum(receive(BY_FAMILY, family, ALL, INFO) for family in (socket.AF_INET, socket.AF_INET6))


def lastack() -> Callable[[], int]:
    """All columns of all sockets, as `lastack check` reads them."""
    from lastack.live import sockdiag

    sockdiag.read(time.time_ns(), LISTEN)
    return lambda: len(sockdiag.read(time.time_ns()))


def lastack_owners() -> Callable[[], int]:
    """The same, and which process holds which socket."""
    from lastack.live import processes, sockdiag

    def read(states: int) -> int:
        table = sockdiag.read(time.time_ns(), states)
        inodes = table.values("inode")
        return len(processes.owners(set(inodes[inodes != 0].tolist())).holders)

    read(LISTEN)
    return lambda: read(sockdiag.ALL)


def owners(again: bool = False, by_proc: bool = False) -> Callable[[], int]:
    """Who holds each of the sockets, whose inodes are known."""
    from lastack.errors import KernelError
    from lastack.live import iterators, processes, sockdiag

    def refuse() -> None:
        raise KernelError("not for this benchmark")

    table = sockdiag.read(time.time_ns())
    inodes = table.values("inode")
    wanted = set(inodes[inodes != 0].tolist())
    processes.owners([0])
    if by_proc:
        iterators.tcp_descriptors = refuse  # type: ignore[assignment]
    if again:
        processes.owners(wanted)
    return lambda: len(processes.owners(wanted).holders)


def psutil() -> Callable[[], int]:
    """psutil.net_connections, which always looks for owners."""
    import psutil

    psutil.net_connections(kind="udp")
    return lambda: len(psutil.net_connections(kind="tcp"))


def pyroute2() -> Callable[[], int]:
    """pyroute2's DiagSocket, both families, with tcp_info."""
    from pyroute2 import DiagSocket

    def read(states: int) -> int:
        with DiagSocket() as source:
            source.bind()
            families = (socket.AF_INET, socket.AF_INET6)
            return sum(len(source.get_sock_stats(family=f, states=states, extensions=INFO)) for f in families)

    read(LISTEN)
    return lambda: read(ALL)


SUBJECTS = {
    "floor": floor,
    "floor-by-family": floor_by_family,
    "lastack": lastack,
    "lastack-owners": lastack_owners,
    "owners-bpf": owners,
    "owners-bpf-again": lambda: owners(again=True),
    "owners-proc": lambda: owners(by_proc=True),
    "psutil": psutil,
    "pyroute2": pyroute2,
}


def main() -> None:
    reading = SUBJECTS[sys.argv[1]]()
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    count = reading()
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    print(json.dumps({"cpu_s": user + system, "wall_s": wall, "count": count}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    # A peer's name is that of its module: the directory of this file must not come before it.
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120
    main()
