"""Who plays against the kernel comes before others, and only while he plays."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from lastack.linux.priority import before_others


def nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def in_a_thread(call: Callable[[], None]) -> None:
    """Nobody else's priority changes."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@pytest.mark.root
def test_a_thread_and_those_it_starts_come_first_until_it_is_done() -> None:
    seen = [nice()]

    def play() -> None:
        with before_others():
            seen.append(nice())
            in_a_thread(lambda: seen.append(nice()))
        seen.append(nice())

    in_a_thread(play)
    seen.append(nice())
    usual = seen[0]
    first = min(-15, usual)
    assert seen == [usual, first, first, usual, usual]


def test_where_that_is_not_allowed_it_plays_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.setpriority

    def refused(which: int, who: int, priority: int) -> None:
        if priority < nice():
            raise PermissionError
        real(which, who, priority)

    monkeypatch.setattr(os, "setpriority", refused)
    before = nice()
    with before_others():
        assert nice() == before
    assert nice() == before
