"""Alarms against a plain search for the earliest, and the two chains against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastack.stack import Socket, Stack
from lastack.tcp.timers import NEVER

PORTS = range(40_000, 40_040)


def some_sockets() -> tuple[Stack, list[Socket]]:
    stack = Stack(["10.0.0.1"])
    made = [stack.connect(("10.0.0.2", 80), 0, local=("10.0.0.1", port)) for port in PORTS]
    for socket in made:
        stack.host.schedule.drop(socket)
    return stack, made


def wants(socket: Socket, at: int) -> None:
    """Let the connection want to be woken at an instant."""
    socket.connection.retransmit_at = at


alarms = st.lists(st.integers(1, 200), min_size=40, max_size=40)


@given(alarms, st.lists(st.tuples(st.integers(0, 39), st.sampled_from("ac"), st.integers(1, 200)), max_size=30))
def test_sockets_are_woken_in_order_whatever_was_moved_before(
    first: list[int], steps: list[tuple[int, str, int]]
) -> None:
    stack, made = some_sockets()
    schedule = stack.host.schedule
    armed: set[int] = set()
    for index, step, at in [*((i, "a", at) for i, at in enumerate(first)), *steps]:
        socket = made[index]
        wants(socket, NEVER if step == "c" else at)
        if step == "c":
            schedule.cancel(socket)
            armed.discard(index)
        elif at < socket.alarm:
            schedule.arm(socket, at)
            armed.add(index)
        assert schedule.next() == min((made[i].connection.deadline() for i in armed), default=NEVER)
    expected = sorted((made[i].connection.deadline(), i) for i in armed)
    woken = []
    for now in range(201):
        while (due := schedule.due(now)) is not None:
            woken.append((now, made.index(due)))
            wants(due, NEVER)
    assert woken == expected
    assert not schedule.heap


@given(st.lists(st.tuples(st.integers(0, 39), st.booleans()), max_size=40))
def test_who_was_first_is_polled_and_told_first_and_only_once(steps: list[tuple[int, bool]]) -> None:
    stack, made = some_sockets()
    schedule = stack.host.schedule
    ready: list[Socket] = []
    news: list[Socket] = []
    for index, enters in steps:
        socket = made[index]
        if enters:
            schedule.touch(socket)
            schedule.notice(socket)
            ready += [socket] if socket not in ready else []
            news += [socket] if socket not in news else []
        elif ready:
            schedule.drop(ready.pop(0))
            schedule.told(news.pop(0))
        assert schedule.first is (ready[0] if ready else None)
        assert schedule.news is (news[0] if news else None)
