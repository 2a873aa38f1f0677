"""Which local port a program is given, and which it is refused: an engine and a Linux kernel are asked the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from lastack.errors import CallError
from lastack.lab.bench import Bench, Option
from lastack.lab.catalog import EXPERIMENTS
from lastack.lab.lab import Lab
from lastack.lab.short import STEADY, closed, opened
from lastack.model.time import MILLISECOND

ONE, TWO = "40000 40000", "40000 40001"
SHARES: Mapping[str, Option] = {"so_reuseaddr": True}
LATE: Mapping[str, Option] = {"ip_bind_address_no_port": True}
ALONE: Mapping[str, Option] = {}

Try = tuple[int | None, int, int, Mapping[str, Option]]
"""bind() to which port (None: no bind()), from which address of the client's, to which of the server's, with what."""

TRIES: dict[str, tuple[str, list[Try]]] = {
    "any port": (TWO, [(0, 0, to, ALONE) for to in range(4)]),
    "any port, with SO_REUSEADDR": (TWO, [(0, 0, to, SHARES) for to in range(4)]),
    "any port, with SO_REUSEADDR, of two addresses": (
        TWO,
        [*((0, 0, to, SHARES) for to in range(3)), *((0, 1, to, SHARES) for to in range(3))],
    ),
    "any port, when connect() knows the destination": (TWO, [(0, 0, to % 4, LATE) for to in range(8)]),
    "any port, beside what connect() has chosen": (TWO, [(None, 0, 0, SHARES)] * 2 + [(0, 0, 1, SHARES)]),
    "none, beside any port": (TWO, [(0, 0, 0, SHARES), (0, 0, 1, SHARES), (None, 0, 2, SHARES)]),
    "one port": (TWO, [(40_000, 0, to, ALONE) for to in range(2)]),
    "one port, with SO_REUSEADDR": (TWO, [(40_000, 0, to, SHARES) for to in range(4)]),
    "one port twice, with SO_REUSEADDR": (TWO, [(40_000, 0, 0, SHARES)] * 2),
    "none, beside one port": (ONE, [(40_000, 0, 0, ALONE), (None, 0, 1, ALONE)]),
    "one port, beside what connect() has chosen": (ONE, [(None, 0, 0, ALONE), (40_000, 0, 1, SHARES)]),
    "one port, shared with what connect() has chosen": (
        ONE,
        [
            (None, 0, 0, SHARES),
            (40_000, 0, 0, SHARES),
            (None, 0, 2, ALONE),
            (40_000, 0, 1, SHARES),
            (None, 0, 3, ALONE),
        ],
    ),
    "one port of another address": (
        ONE,
        [(None, 0, 0, ALONE), (40_000, 1, 1, ALONE), (40_000, 2, 2, ALONE), (None, 0, 3, ALONE)],
    ),
}


def attempt(bench: Bench, one: Try) -> int | str:
    """The port that a program gets, or its error."""
    port, source, destination, options = one
    local = None if port is None else (bench.client.addresses[source], port)
    try:
        return bench.client.connect(bench.server.addresses[destination], 80, local, **options).four.local.port
    except CallError as error:
        return error.code or str(error)


def shape(ports: list[int | str]) -> list[int | str]:
    """The ports by the order in which they appear: which comes first is chance."""
    seen: dict[int, int] = {}
    return [seen.setdefault(port, len(seen)) if isinstance(port, int) else port for port in ports]


def play(side: str, ports: str, script: Callable[[Bench], list[int | str]]) -> list[int | str]:
    """What a script is given on one side, whose client has these ports."""
    lab = Lab(EXPERIMENTS[0], side, {}, seed=1)
    with lab.scene("ports", client={"ip_local_port_range": ports}, tcp_rfc1337=STEADY) as bench:
        return shape(script(bench))


def ask(ports: str, script: Callable[[Bench], list[int | str]]) -> None:
    assert play("sim", ports, script) == play("kernel", ports, script)


@pytest.mark.root
@pytest.mark.parametrize("name", TRIES)
def test_connections_are_given_the_ports_that_linux_gives(name: str) -> None:
    ports, tries = TRIES[name]

    def script(bench: Bench) -> list[int | str]:
        bench.server.listen(80)
        return [attempt(bench, one) for one in tries]

    ask(ports, script)


@pytest.mark.root
@pytest.mark.parametrize("reuse", [False, True])
def test_a_port_that_somebody_listens_on_is_nobody_elses(reuse: bool) -> None:
    def script(bench: Bench) -> list[int | str]:
        bench.server.listen(80)
        bench.client.listen(40_000, so_reuseaddr=reuse)
        return [attempt(bench, (port, 0, 0, {"so_reuseaddr": reuse})) for port in (0, 0, 40_000, None)]

    ask(TWO, script)


@pytest.mark.root
@pytest.mark.parametrize("source", [0, 1])
def test_a_bound_port_comes_back_to_connect_with_the_last_of_its_users(source: int) -> None:
    def script(bench: Bench) -> list[int | str]:
        bench.server.listen(80)
        ends = [
            bench.client.connect(
                bench.server.addresses[to], 80, (bench.client.addresses[here], 40_000), so_reuseaddr=True
            )
            for to, here in enumerate((source, 0))
        ]
        bench.wait(50 * MILLISECOND)
        found = []
        for end in ends:
            end.abort()
            bench.wait(20 * MILLISECOND)
            found.append(attempt(bench, (None, 0, 2, ALONE)))
        return found

    ask(ONE, script)


@pytest.mark.root
def test_a_bound_port_in_time_wait_is_not_for_connect() -> None:
    def script(bench: Bench) -> list[int | str]:
        listener = bench.server.listen(80)
        to = (bench.server.address, 80)
        closed(bench, *opened(bench, listener, bench.client, to, (bench.client.address, 40_000)))
        return [attempt(bench, (None, 0, 1, ALONE))]

    ask(ONE, script)
