"""A four-tuple that is used again: each incarnation's states are the host's own, and TIME_WAIT ends when it did."""

from __future__ import annotations

import pytest

from lastack.capture.history import history
from lastack.drive import Simulator
from lastack.model.record import ConnectionTable
from lastack.model.time import MILLISECOND, SECOND, Nanos
from lastack.tcp import Settings, SocketOptions

from .tap import batch_of, frames_at, table_of

ADDRESSES = {"client": "10.0.0.1", "server": "10.0.0.2"}
Lane = list[tuple[Nanos, str]]


def again(server_first: bool, pause: Nanos) -> Simulator:
    """Three connections between the same ports, each closed and followed by a pause."""
    settings = Settings.linux()
    settings.tcp_tw_reuse = 1
    sim = Simulator(1, trace=True)
    client, server = (sim.host(name, address, settings=settings) for name, address in ADDRESSES.items())
    sim.link(client, server, delay=5 * MILLISECOND)
    options = SocketOptions()
    options.so_reuseaddr = True
    listener = server.listen(80, options=options)
    for _ in range(3):
        here = client.connect("10.0.0.2", 80, options=options.copy(), local=("10.0.0.1", 5000))
        sim.run(at_most=30 * MILLISECOND)
        there = listener.accept()
        assert there is not None
        for socket in (there, here) if server_first else (here, there):
            socket.close()
            sim.run(at_most=60 * MILLISECOND)
        sim.run(at_most=pause)
    sim.run(at_most=100 * SECOND)
    return sim


def lanes(sim: Simulator, host: str) -> tuple[list[Lane], list[Lane], ConnectionTable]:
    """What is inferred at a host and what it did, connection by connection; and the table."""
    packets, count = batch_of(frames_at(sim, host))
    table = table_of(packets, count, sim.now)
    inferred = []
    for frame in table.values("first_frame").tolist():
        seen = history([(packets, count)], frame, until=sim.now)
        assert seen is not None
        inferred.append([(c.at, c.after.name) for c in seen.changes if c.host == ADDRESSES[host]])
    own: dict[int, Lane] = {}
    for change in sim.trace.changes:
        if change.host == host:
            # That the next incarnation begins ends this one, whatever it is called.
            over = change.before.name == "TIME_WAIT"
            own.setdefault(change.connection, []).append((change.at, "CLOSED" if over else change.after.name))
    return inferred, list(own.values()), table


@pytest.mark.parametrize("server_first", [False, True])
@pytest.mark.parametrize("host", ["client", "server"])
@pytest.mark.parametrize("pause", [2 * SECOND, 59 * SECOND, 61 * SECOND])
def test_every_incarnation_is_told_exactly(server_first: bool, host: str, pause: Nanos) -> None:
    inferred, own, table = lanes(again(server_first, pause), host)
    assert inferred == own
    assert len(table) == 3
    assert [row["close_kind"] for row in table.rows()] == ["ORDERLY"] * 3


def test_how_much_of_the_wait_had_passed() -> None:
    _, _, table = lanes(again(server_first=False, pause=2 * SECOND), "client")
    waits = [row["local_time_wait_ns"] for row in table.rows()]
    assert waits[0] == waits[1]
    assert 2 * SECOND < int(waits[0] or 0) < 2.1 * SECOND
    assert waits[2] == 60 * SECOND
