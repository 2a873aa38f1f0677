"""Notes of a watch joined with a table: by the cookie, and only where it is the socket's own."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from lastack.live import notes
from lastack.live.transitions.noted import HERE, NOTE
from lastack.model.close import Closer
from lastack.model.host import Process
from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import SECOND

pytestmark = pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="needs Linux's clocks")

PLACES = 16


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, Any]:
    """The notes of the only watch, to be filled."""
    monkeypatch.setattr("lastack.linux.bpf.loader.running", lambda: iter(()))
    array = np.zeros(PLACES, NOTE)
    monkeypatch.setitem(HERE, 1, array)
    return array


def note(kept: np.ndarray[Any, Any], cookie: int, **fields: Any) -> None:
    kept[cookie % PLACES] = 0
    for name, value in {"cookie": cookie, **fields}.items():
        kept[name][cookie % PLACES] = value


def table(*rows: tuple[int, State, int]) -> ConnectionTable:
    cookie, state, inode = np.array(rows).T
    return ConnectionTable(
        len(rows),
        {
            "cookie": cookie.astype("u8"),
            "local_state": state.astype("u1"),
            "inode": inode.astype("u8"),
        },
    )


def closed(pid: int, command: bytes = b"hasty", **more: Any) -> dict[str, Any]:
    return {"pid": pid, "command": command, "began": State.FIN_WAIT_1, "state": State.CLOSED, "changed": 1, **more}


def test_closers_are_joined_by_the_cookie(kept: np.ndarray[Any, Any]) -> None:
    note(kept, 100, **closed(7))
    note(kept, 101, **closed(8, b"other"))
    note(kept, 102, **closed(7))
    rows = table((100, State.TIME_WAIT, 0), (101, State.FIN_WAIT_2, 0), (102, State.LAST_ACK, 0))
    named = notes.with_closers(rows, notes.of(rows), {})
    assert [(row["pid"], row["command"]) for row in named.rows()] == [(7, "hasty"), (8, "other"), (7, "hasty")]


def test_the_note_of_a_younger_socket_at_the_same_place_is_not_taken(kept: np.ndarray[Any, Any]) -> None:
    note(kept, 100 + PLACES, **closed(7))
    rows = table((100, State.TIME_WAIT, 0))
    assert notes.with_closers(rows, notes.of(rows), {}).value("pid", 0) is None


def test_of_several_watches_the_first_that_knows_is_believed(
    kept: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = np.zeros(2 * PLACES, NOTE)
    monkeypatch.setitem(HERE, 2, other)
    note(kept, 100, **closed(7))
    other["cookie"][[100 % 32, 101 % 32]] = 100, 101
    other["pid"][[100 % 32, 101 % 32]] = 1, 8
    other["began"][[100 % 32, 101 % 32]] = State.FIN_WAIT_1
    rows = table((101, State.TIME_WAIT, 0), (100, State.TIME_WAIT, 0))
    assert [row["pid"] for row in notes.with_closers(rows, notes.of(rows), {}).rows()] == [8, 7]


def test_a_socket_that_is_held_has_no_closer(kept: np.ndarray[Any, Any]) -> None:
    note(kept, 100, **closed(7))
    note(kept, 101, **{**closed(7), "began": 0})
    rows = table((100, State.FIN_WAIT_2, 5), (101, State.TIME_WAIT, 0))
    found = notes.of(rows)
    assert (found.pids, len(found.rows)) == (set(), 2)


def test_a_process_that_lives_tells_more_than_its_note(kept: np.ndarray[Any, Any]) -> None:
    note(kept, 100, **closed(7, b"python3", changed=time.clock_gettime_ns(time.CLOCK_BOOTTIME)))
    rows = table((100, State.TIME_WAIT, 0))
    alive = Process(7, 1, "python3", 0, started_ns=SECOND, arguments=("python3", "feed.py"), unit="feed.service")
    [row] = notes.with_closers(rows, notes.of(rows), {7: alive}).rows()
    assert (row["command"], row["program"], row["unit"]) == ("python3", "feed.py", "feed.service")


def test_what_others_wrote_into_the_columns_stays(kept: np.ndarray[Any, Any]) -> None:
    note(kept, 101, **closed(8))
    rows = table((100, State.ESTABLISHED, 5), (101, State.TIME_WAIT, 0))
    rows = rows.with_columns({"pid": np.array([3, 0], "i4")})
    assert notes.with_closers(rows, notes.of(rows), {}).values("pid").tolist() == [3, 8]


def test_only_the_state_that_was_noted_has_its_age(kept: np.ndarray[Any, Any]) -> None:
    now = time.time_ns()
    since = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 5 * SECOND
    for cookie, state in ((100, State.CLOSE_WAIT), (101, State.ESTABLISHED), (102, State.CLOSED)):
        note(kept, cookie, changed=since, state=state, opened=since, opener=Closer.REMOTE)
    rows = table((100, State.CLOSE_WAIT, 5), (101, State.CLOSE_WAIT, 6), (102, State.TIME_WAIT, 0))
    dated = notes.with_times(rows, notes.of(rows), now)
    assert dated.valid("age_ns").tolist() == [True, False, False]
    assert abs(int(dated.values("age_ns")[0]) - 5 * SECOND) < SECOND // 10
    assert [row["opened_by"] for row in dated.rows()] == ["REMOTE"] * 3
    assert np.abs(dated.values("first_ns") - (now - 5 * SECOND)).max() < SECOND // 10
