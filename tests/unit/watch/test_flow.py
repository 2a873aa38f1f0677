"""Births, deaths and changes summed up."""

from __future__ import annotations

from typing import Any

import numpy as np

from lastack.live.transitions.life import LIFE, UNKNOWN, Step
from lastack.live.transitions.record import TRANSITION
from lastack.model.address import address_halves
from lastack.model.host import HostFacts, Listener, Process
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.watch.flow import BOUNDS_NS, PEERS, Tally

from .looks import HERE, facts


def step(*changes: tuple[int, int, int], ended: int = 0, **columns: Any) -> Step:
    """Changes as (before, after, stayed), all with these columns; and so many lives that are over."""
    rows = np.zeros(len(changes), TRANSITION)
    lives = np.zeros(ended, LIFE)
    for name, value in {"local_port": 80, "local_addr": HERE, "remote_addr": HERE, **columns}.items():
        lives[name] = value
        if name in (TRANSITION.names or ()):
            rows[name] = value
    if changes:
        rows["before"], rows["after"], stayed = zip(*changes, strict=True)
    else:
        stayed = ()
    return Step(rows, np.array(stayed, np.int64), lives)


def tally(*steps: Step, span: int = SECOND) -> Any:
    found = Tally()
    found.begin([(0, facts())])
    for each in steps:
        found.add(each)
    return found.sum(span)


def test_a_connect_is_a_birth_of_the_process_that_called() -> None:
    found = tally(step((State.CLOSED, State.SYN_SENT, -1), pid=7, command=b"thread", local_port=40_000))
    assert found.born == 1
    assert found.births["process"] == {"server": 1}
    assert found.births["listener"] == {}
    assert found.births["peer"] == {"127.0.0.1": 1}


def test_a_process_that_is_not_known_has_the_name_of_its_thread() -> None:
    found = tally(step((State.CLOSED, State.SYN_SENT, -1), pid=99, command=b"curl\xff"))
    assert found.births["process"] == {"curl\udcff": 1}


def test_a_handshake_at_a_listener_is_one_birth_of_its_process() -> None:
    found = tally(
        step((State.LISTEN, State.SYN_RECEIVED, -1)),
        step((State.SYN_RECEIVED, State.ESTABLISHED, 5), (State.ESTABLISHED, State.CLOSE_WAIT, 9)),
    )
    assert found.born == 1
    assert found.births["process"] == {"server": 1}
    assert found.births["listener"] == {"127.0.0.1:80": 1}


def test_listeners_of_one_port_are_told_apart_by_address_and_namespace() -> None:
    processes = {pid: Process(pid, 1, f"server{pid}", 0) for pid in range(1, 6)}

    def known(*listeners: tuple[str, int]) -> HostFacts:
        return facts(
            processes=processes, listeners=tuple(Listener(4, at, 80, 0, 9, 1, (pid,), pid) for at, pid in listeners)
        )

    found = Tally()
    found.begin([(1, known(("127.0.0.1", 1), ("127.0.0.2", 2), ("0.0.0.0", 3))), (2, known(("0.0.0.0", 4)))])
    opened = (State.SYN_RECEIVED, State.ESTABLISHED, 5)
    found.add(step(opened, opened, namespace=1, family=4))
    found.add(step(opened, namespace=1, family=4, local_addr=address_halves("10.0.0.1")))
    found.add(step(opened, opened, opened, namespace=2, family=4))
    births = found.sum(SECOND).births
    assert births["process"] == {"server1": 2, "server3": 1, "server4": 3}
    assert births["listener"] == {"127.0.0.1:80": 2, "0.0.0.0:80": 4}


def test_a_listener_that_came_since_the_last_look_is_known_by_its_call() -> None:
    found = tally(
        step((State.CLOSED, State.LISTEN, -1), pid=9, command=b"new", local_port=81),
        step((State.SYN_RECEIVED, State.ESTABLISHED, 5), local_port=81),
    )
    assert found.births["process"] == {"new": 1}
    assert found.births["listener"] == {"127.0.0.1:81": 1}


def test_listening_is_no_birth_and_its_end_no_death() -> None:
    assert tally(step((State.CLOSED, State.LISTEN, -1), pid=7)).born == 0
    assert tally(step(ended=2, former=State.LISTEN)).died == 0


def test_a_life_that_is_over_is_a_death_of_who_closed() -> None:
    found = tally(step(ended=3, former=State.LAST_ACK, pid=7, command=b"x"), step(ended=1, former=State.TIME_WAIT))
    assert found.died == 4
    assert found.deaths["process"] == {"server": 4}  # the last by the listener that it came in by


def test_an_interpreter_is_named_with_its_program() -> None:
    found = Tally()
    found.begin(
        [(1, facts(processes={9: Process(9, 1, "python3", 0, arguments=("python3", "/srv/app.py"))}, listeners=()))]
    )
    found.add(step((State.CLOSED, State.SYN_SENT, -1), pid=9))
    assert found.sum(SECOND).births["process"] == {"python3 app.py": 1}


def test_what_is_not_certain_yet_is_counted_when_it_is() -> None:
    found = tally(
        step((State.FIN_WAIT_2, UNKNOWN, 5 * MILLISECOND)), step((State.FIN_WAIT_2, State.TIME_WAIT, 5 * MILLISECOND))
    )
    assert found.changes.sum() == found.changes[State.FIN_WAIT_2, State.TIME_WAIT] == 1
    assert found.stayed[State.FIN_WAIT_2].sum() == 1


def test_times_in_a_state_fall_below_their_bounds() -> None:
    times = [BOUNDS_NS[0], BOUNDS_NS[0] + 1, BOUNDS_NS[-1] + 1, -1]
    found = tally(step(*((State.ESTABLISHED, State.CLOSE_WAIT, time) for time in times)))
    assert np.flatnonzero(found.stayed[State.ESTABLISHED]).tolist() == [0, 1, len(BOUNDS_NS)]
    assert found.seconds[State.ESTABLISHED] == sum(times[:3]) / 1e9


def test_a_rate_is_of_the_span() -> None:
    found = tally(step(*[(State.CLOSED, State.SYN_SENT, -1)] * 10), span=4 * SECOND)
    assert found.rate(found.born) == 2.5
    assert tally(span=0).rate(5) == 0


def test_a_flood_of_peers_leaves_only_the_busiest() -> None:
    many = step(*[(State.SYN_RECEIVED, State.ESTABLISHED, 1)] * 3_000)
    many.changes["remote_addr"]["low"] = np.arange(3_000)
    many.changes["remote_addr"]["low"][:100] = 7
    found = tally(many)
    assert len(found.births["peer"]) == PEERS
    assert found.births["peer"].most_common(1) == [("::7", 100)]
    assert found.born == 3_000
