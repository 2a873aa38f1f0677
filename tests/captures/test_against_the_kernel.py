"""Both states of every connection, from a capture of the loopback, are those that the kernel gives for its sockets.

Both ends are at the tap, so that both states are exact; a connection that sock_diag does not know is CLOSED.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lastack.capture.analyse import analyse
from lastack.capture.sources import open_captures
from lastack.live import sockdiag
from lastack.model.record import ConnectionTable
from lastack.wire.pcapng import interface_block, packet_block, section_block

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("private_network")]

ALL_PROTOCOLS, OUTGOING, ETHERNET = 3, 4, 1
ABORT = struct.pack("ii", 1, 0)
Pair = tuple[socket.socket, socket.socket]


def reset(ours: socket.socket) -> None:
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    ours.close()


def four_segments(here: socket.socket, there: socket.socket) -> None:
    here.close()
    assert there.recv(10) == b""
    time.sleep(0.06)  # the delayed ACK leaves alone
    there.close()


def data_after_close(here: socket.socket, there: socket.socket) -> None:
    here.close()
    there.send(b"too late")


def half_closed_and_aborted(here: socket.socket, there: socket.socket) -> None:
    here.shutdown(socket.SHUT_WR)
    reset(there)


def unread(here: socket.socket, there: socket.socket) -> None:
    there.send(b"never read")
    here.close()
    del there


ENDS: dict[str, Any] = {
    "nothing": lambda here, there: None,
    "text both ways": lambda here, there: (here.sendall(b"a" * 100_000), there.recv(1), there.sendall(b"b" * 9)),
    "four segments": four_segments,
    "three segments": lambda here, there: (here.close(), there.close()),
    "the server first": lambda here, there: (there.close(), here.recv(1), here.close()),
    "half closed by the client": lambda here, there: here.shutdown(socket.SHUT_WR),
    "half closed by the server": lambda here, there: there.shutdown(socket.SHUT_WR),
    "client aborts": lambda here, there: reset(here),
    "server aborts": lambda here, there: reset(there),
    "server aborts from CLOSE_WAIT": half_closed_and_aborted,
    "data after close": data_after_close,
    "closed with text unread": unread,
}


@pytest.fixture
def tap() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        tap.bind(("lo", ALL_PROTOCOLS))
        yield tap


def captured(tap: socket.socket, path: Path) -> ConnectionTable:
    """What the tap has, each packet once (the loopback shows it twice)."""
    tap.settimeout(0.3)
    with path.open("wb") as file:
        file.write(section_block("test") + interface_block("lo", ETHERNET))
        while True:
            try:
                data, address = tap.recvfrom(1 << 17)
            except TimeoutError:
                break
            if address[2] != OUTGOING:
                file.write(packet_block(0, time.time_ns(), data))
    return analyse(open_captures([path], fast=False)).connections


def test_both_states_are_what_sock_diag_says(tap: socket.socket, tmp_path: Path) -> None:
    names = {}
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        for name, end in ENDS.items():
            here = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            there = stack.enter_context(listener.accept()[0])
            names[here.getsockname()[1]] = name
            end(here, there)
        # Delayed ACKs and all that is under way.
        time.sleep(0.25)
        kernel = {(row["local_port"], row["remote_port"]): row["local_state"] for row in sockdiag.read(0).rows()}
        table = captured(tap, tmp_path / "lo.pcapng")
    seen, own = {}, {}
    for row in table.rows():
        if row["local_port"] in names:
            ends = (row["local_port"], row["remote_port"])
            seen[names[int(row["local_port"] or 0)]] = (row["local_state"], row["remote_state"])
            own[names[int(row["local_port"] or 0)]] = (kernel.get(ends, "CLOSED"), kernel.get(ends[::-1], "CLOSED"))
    assert seen == own
    assert set(seen) == set(ENDS)


def test_refused_is_refused(tap: socket.socket, tmp_path: Path) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 9))
    (row,) = captured(tap, tmp_path / "lo.pcapng").rows()
    assert (row["close_kind"], row["reset_cause"], row["local_state"]) == ("REFUSED", "refused", "CLOSED")


def test_the_causes_of_a_reset(tap: socket.socket, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("client aborts", "data after close", "closed with text unread"):
            here = socket.create_connection(listener.getsockname())
            there, _ = listener.accept()
            ENDS[name](here, there)
            time.sleep(0.05)
            there.close()
    causes = [row["reset_cause"] for row in captured(tap, tmp_path / "lo.pcapng").rows()]
    assert causes == ["abort", "data-after-close", "abort-or-unread-data"]
