"""Whose connections are: owners in words, likely makers, listeners and peers."""

from __future__ import annotations

import pytest

from lastack.diagnose.joins import found_in, keys
from lastack.diagnose.owners import Owner, by_owner, closed_by, likely_owner, owners_of, whereabouts
from lastack.model.close import Closer
from lastack.model.state import State

from .build import Row, connection, context, facts, process, table


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        (Owner("nginx", None, None, None, (8,)), "nginx (pid 8)"),
        (Owner("nginx", None, None, None, (8, 9)), "nginx (2 processes)"),
        (Owner("nginx", None, "nginx.service", None, (8,)), "nginx (pid 8, nginx.service)"),
        (
            Owner("python3", "feed.py", None, "docker 1a2b3c4d5e6f", (8,)),
            "python3 feed.py (pid 8, docker 1a2b3c4d5e6f)",
        ),
        (Owner(None, None, None, None, ()), "a process that cannot be seen from here"),
    ],
)
def test_an_owner_is_said_in_few_words(owner: Owner, said: str) -> None:
    assert str(owner) == said


def test_owners_differ_by_name_program_unit_and_container_and_not_by_process() -> None:
    rows = [
        connection(number=0, pid=1),
        connection(number=1, pid=2),
        connection(number=2, pid=3, unit="a.service"),
        connection(number=3, pid=4, container="docker 1a2b3c4d5e6f"),
        connection(number=4, pid=5, program="feed.py"),
        connection(number=5, pid=None, command=None),
    ]
    owners = list(owners_of(table(*rows)))
    assert [len(index) for _, index in owners] == [2, 1, 1, 1, 1]
    assert owners[0][0].pids == (1, 2)
    assert {str(owner) for owner, _ in owners} >= {"web (pid 3, a.service)", "a process that cannot be seen from here"}


def test_the_rows_of_an_owner_are_rows_of_the_whole_table() -> None:
    rows = [connection(command="a", pid=1), connection(command="b", pid=2), connection(command="b", pid=3)]
    judged = context(rows)
    ((owner, index),) = by_owner(judged, judged.table.values("pid") == 3)
    assert (owner.command, index.tolist()) == ("b", [2])


def test_processes_that_could_not_be_read_are_left_out() -> None:
    owner = Owner("web", None, None, None, (10, 11))
    assert [each.pid for each in owner.processes(facts(process(10)))] == [10]


def test_the_likely_maker_of_time_wait_has_most_of_their_living_siblings() -> None:
    outgoing: Row = {"opened_by": Closer.LOCAL, "listener": None, "remote_addr": "10.9.9.9", "remote_port": 5432}
    rows = [
        connection(number=0, command="pool", pid=1, **outgoing),
        connection(number=1, command="pool", pid=1, **outgoing),
        connection(number=2, command="other", pid=2, **outgoing),
        connection(number=3, command="stranger", pid=3, **{**outgoing, "remote_port": 5433}),
        connection(State.TIME_WAIT, 4, command=None, pid=None, **outgoing),
    ]
    judged = context(rows)
    waiting = judged.table.select(judged.state(State.TIME_WAIT))
    assert str(likely_owner(judged, waiting)) == "pool (pid 1)"


def test_without_living_siblings_nobody_is_named() -> None:
    row = connection(State.TIME_WAIT, command=None, pid=None, opened_by=Closer.LOCAL)
    judged = context([row])
    assert likely_owner(judged, judged.table) is None


def test_who_closed_is_told_as_far_as_a_watch_has_seen_it() -> None:
    nobodys: Row = {"inode": 0, "fd": None}
    rows = [
        *(connection(State.TIME_WAIT, n, command="hasty", pid=7, **nobodys) for n in range(3)),
        connection(State.TIME_WAIT, 3, command="other", pid=8, unit="o.service", **nobodys),
        connection(State.TIME_WAIT, 4, command=None, pid=None, **nobodys),
        connection(State.FIN_WAIT_2, 5, command="holder", pid=9),
    ]
    [told] = closed_by(table(*rows))
    assert told.value == "hasty (pid 7): 3; other (pid 8, o.service): 1; not seen: 2"
    assert list(closed_by(table(*rows[4:]))) == []


def test_who_closed_is_not_taken_for_a_living_sibling() -> None:
    outgoing: Row = {"opened_by": Closer.LOCAL, "listener": None, "remote_addr": "10.9.9.9", "remote_port": 5432}
    judged = context([connection(State.TIME_WAIT, command="gone", pid=1, inode=0, **outgoing)])
    assert likely_owner(judged, judged.table) is None


def test_of_many_peers_three_are_named_and_the_rest_counted() -> None:
    rows = [connection(number=n, remote_addr=f"10.0.1.{n % 5}") for n in range(11)]
    said = {each.fact: each.value for each in whereabouts(table(*rows))}
    assert said["listener"] == "10.0.0.1:80 (11)"
    assert said["clients"] == "10.0.1.0 (3), 10.0.1.1 (2), 10.0.1.2 (2) and 2 more"


def test_outgoing_ones_are_told_by_where_they_go_and_ipv6_in_brackets() -> None:
    row = connection(listener=None, opened_by=Closer.LOCAL, remote_addr="2001:db8::9", remote_port=443)
    (said,) = whereabouts(table(row))
    assert (said.fact, said.value) == ("peers", "[2001:db8::9]:443 (1)")


def test_tables_are_joined_by_all_the_columns_named() -> None:
    ours = table(
        connection(local_addr="10.0.0.1", local_port=1, remote_addr="10.0.0.2", remote_port=2),
        connection(local_addr="10.0.0.1", local_port=1, remote_addr="10.0.0.2", remote_port=3),
    )
    theirs = table(connection(local_addr="10.0.0.2", local_port=2, remote_addr="10.0.0.1", remote_port=1))
    here = keys(ours, "local_addr", "local_port", "remote_addr", "remote_port")
    there = keys(theirs, "remote_addr", "remote_port", "local_addr", "local_port")
    assert found_in(here, there).tolist() == [True, False]
    assert found_in(there, here).tolist() == [True]
    assert found_in(here, keys(table(), "local_addr")).tolist() == [False, False]
