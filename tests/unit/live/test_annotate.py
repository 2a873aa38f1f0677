"""Which side opened a connection, where no listener is left to tell."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lastack.live.annotate import with_listeners
from lastack.model import ConnectionTable
from lastack.model.close import Closer
from lastack.model.record import address_dtype
from lastack.model.state import State


def table(ports: Iterable[tuple[int, int]]) -> ConnectionTable:
    """TIME_WAIT between one pair of addresses, given as (local port, remote port)."""
    local, remote = np.array(list(ports), np.uint16).T
    count = len(local)
    address = np.zeros(count, address_dtype())
    address["low"] = 0xFFFF << 32 | 0x7F00_0001
    return ConnectionTable(
        count,
        {
            "local_port": local,
            "remote_port": remote,
            "local_addr": address,
            "remote_addr": address,
            "family": np.full(count, 4, np.uint8),
            "local_state": np.full(count, State.TIME_WAIT, np.uint8),
        },
    )


def openers(ports: Iterable[tuple[int, int]]) -> set[int]:
    return set(with_listeners(table(ports), "own").values("opened_by").tolist())


def test_a_port_that_many_connections_of_one_peer_share_was_a_servers() -> None:
    assert openers((8080, port) for port in range(40_000, 40_020)) == {Closer.REMOTE}


def test_a_client_of_many_ports_of_one_address_that_uses_the_same_ports_again_stays_the_client() -> None:
    pairs = [(local, remote) for local in range(40_000, 40_100) for remote in range(9_000, 9_020)]
    assert openers(pairs) == {Closer.LOCAL}
