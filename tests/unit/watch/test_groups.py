"""Connections counted by who has them."""

from __future__ import annotations

from lastack.model.record import ConnectionTable, text_values
from lastack.model.state import State
from lastack.model.time import SECOND
from lastack.watch.groups import grouped, members, whole

from .looks import connections


def table() -> ConnectionTable:
    return ConnectionTable.concatenate(
        [
            connections(3, State.CLOSE_WAIT, "nginx", age=5),
            connections(2, State.ESTABLISHED, "nginx", pid=8, peer=2, first=10, age=50, listener=None),
            connections(4, State.TIME_WAIT, None, peer=2, first=20, listener="[::]:443"),
        ]
    )


def test_all_are_one_group_with_the_oldest_of_each_state() -> None:
    group = whole(table())
    assert (group.size, group.states[State.CLOSE_WAIT], group.states[State.TIME_WAIT]) == (9, 3, 4)
    assert (group.oldest[State.CLOSE_WAIT], group.oldest[State.ESTABLISHED]) == (5 * SECOND, 50 * SECOND)
    assert whole(ConnectionTable()).size == 0


def test_processes_have_a_name_and_a_number_of_pids() -> None:
    found = {group.name: group for group in grouped(table(), "process")}
    assert {name: (group.size, group.pids) for name, group in found.items()} == {"nginx": (5, 2), "": (4, 0)}
    assert [group.name for group in grouped(table(), "process")] == ["nginx", ""]  # most first


def test_an_interpreter_is_told_with_its_program() -> None:
    made = connections(2, State.ESTABLISHED, "python").with_columns({"program": text_values(["a.py", "b.py"])})
    assert sorted(group.name for group in grouped(made, "process")) == ["python a.py", "python b.py"]


def test_listeners_are_those_that_let_somebody_in() -> None:
    assert [(group.name, group.size) for group in grouped(table(), "listener")] == [
        ("[::]:443", 4),
        ("127.0.0.1:80", 3),
    ]


def test_peers_are_addresses() -> None:
    assert [(group.name, group.size) for group in grouped(table(), "peer")] == [("10.0.0.2", 6), ("10.0.0.1", 3)]


def test_the_members_of_a_group_are_its_rows() -> None:
    for kind in ("process", "listener", "peer"):
        for group in grouped(table(), kind):
            rows = table().select(members(table(), kind, group.name))
            assert len(rows) == group.size
            assert (whole(rows).states == group.states).all()
    assert not members(table(), "process", "apache").any()
    assert grouped(ConnectionTable(), "peer") == []
