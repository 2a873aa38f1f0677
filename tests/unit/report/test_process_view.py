"""What is said of one socket's process: how it was opened and read, who waits for it, and where the code is."""

from __future__ import annotations

from typing import Any

import pytest

from lastack.model.host import Doing, Frame, Options, Runtime, Stack, Wait
from lastack.model.time import SECOND
from lastack.report.process_view import process_groups

NOW = 1_000 * SECOND
ROW: dict[str, Any] = {"local_state": "CLOSE_WAIT", "fd": 7, "opened_by": "REMOTE", "listener": "0.0.0.0:80"}
INFO = {"last_data_sent": 60_000, "last_data_recv": 5_000, "data_segs_in": 2, "data_segs_out": 0}


def facts(doing: Doing | None = None, info: dict[str, Any] = INFO, **row: Any) -> dict[str, str]:
    groups = process_groups({**ROW, **row}, info, doing, NOW)
    return {fact.label: fact.value for _, group in groups for fact in group}


def titles(doing: Doing) -> list[str]:
    return [title for title, _ in process_groups(ROW, INFO, doing, NOW)]


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({}, "1 min ago"),
        ({"data_segs_out": 9, "data_segs_in": 0}, "5.0 s ago"),
        ({"data_segs_out": 9}, "1 min ago at least"),
    ],
)
def test_a_direction_that_never_carried_data_tells_when_it_was_opened(info: dict[str, int], said: str) -> None:
    assert facts(info={**INFO, **info})["opened"] == said


def test_a_watch_that_saw_it_opened_tells_exactly_when() -> None:
    assert facts(info={**INFO, "data_segs_out": 9}, first_ns=NOW - 90 * SECOND)["opened"] == "1 min 30 s ago"


def test_without_tcp_info_nothing_is_said_of_when_it_was_opened() -> None:
    assert "opened" not in facts(info={})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "accept() at 0.0.0.0:80"),
        ({"listener": None}, "accept()"),
        ({"opened_by": "LOCAL"}, "connect()"),
    ],
)
def test_the_call_that_opened_it_is_told(row: dict[str, Any], said: str) -> None:
    assert facts(**row)["opened by"] == said
    assert "opened by" not in facts(local_state="LISTEN")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"recv_q": 1, "age_ns": 60 * SECOND}, "before the end of file came, so 1 min ago or longer"),
        ({"recv_q": 1}, "before the end of file came"),
        ({"recv_q": 0, "age_most_ns": 60 * SECOND}, "the end of file, within the last 1 min; no read can give more"),
        ({"recv_q": 11}, "not to the end: 11 octets unread"),
        ({"recv_q": 11, "last_data_received_ns": NOW - 2 * SECOND}, "not to the end: 11 octets unread, the last data "
         "came 2.0 s ago"),
        ({"local_state": "FIN_WAIT_2", "recv_q": 0}, "nothing has come to be read"),
        ({"local_state": "ESTABLISHED", "recv_q": 0, "last_data_received_ns": NOW}, "all that came, since the last "
         "data 0 ms ago"),
    ],
)  # fmt: skip
def test_the_queue_tells_when_it_was_read(row: dict[str, Any], said: str) -> None:
    assert facts(**row)["last read"] == said


def test_of_a_socket_that_no_process_has_no_reading_is_told() -> None:
    assert "last read" not in facts(fd=None, recv_q=1)
    assert "last read" not in facts(local_state="LISTEN", recv_q=1)


@pytest.mark.parametrize(
    ("polled", "blocked", "said"),
    [
        (True, "recvfrom", ("yes", "yes: thread 9, in recvfrom")),
        (False, "", ("no set of its process has it", "none")),
        (None, None, ("could not be seen", "could not be seen")),
    ],
)
def test_who_waits_for_it_is_told(polled: bool | None, blocked: str | None, said: tuple[str, str]) -> None:
    wait = Wait(1, 7, 3, polled, blocked, 8, 1, (("futex", 6), ("read", 1)), 9 if blocked else None)
    found = facts(Doing(wait, None))
    assert (found["watched by epoll"], found["a thread waits for it"]) == said
    assert found["its threads"] == "8: 1 running, 6 in futex, 1 in read"


def test_options_tell_whether_it_ends_by_itself_and_what_close_does() -> None:
    off = Options(False, 7_200 * SECOND, 75 * SECOND, 9, None, None)
    assert set(facts(Doing(None, None, (), off))) & {"keepalive", "user time-out", "linger"} == {"keepalive"}
    assert facts(Doing(None, None, (), off))["keepalive"].startswith("off: ")
    on = Options(True, 7_200 * SECOND, 75 * SECOND, 1, 30 * SECOND, 0)
    told = facts(Doing(None, None, (), on))
    assert told["keepalive"] == "on: after 2 h without data a probe every 1 min 15 s, given up after 1 probe"
    assert told["user time-out"] == "what is sent is given up after 30 s without an ACK"
    assert told["linger"] == "close() sends a RST"
    waits = facts(Doing(None, None, (), on._replace(linger_ns=5 * SECOND)))
    assert waits["linger"] == "close() waits 5.0 s at most"
    assert "keepalive" not in facts(Doing(None, None, (), on), local_state="LISTEN")


def stack(thread: str, tid: int, *functions: str) -> Stack:
    return Stack(thread, tid, tuple(Frame(function, "/srv/app.py", 10) for function in functions))


def test_the_waiting_thread_comes_first_and_threads_at_the_same_place_are_one() -> None:
    stacks = (
        stack("a", 1, "f"),
        stack("b", 2, "f"),
        stack("mine", 3, "recv"),
        *(stack("x", n, f"g{n}") for n in range(10, 19)),
    )
    told = titles(Doing(Wait(1, 7, 3, blocked="poll", blocked_by=3), Runtime.PYTHON, stacks))
    assert told == [
        "Use",
        "Program",
        "Stack of thread mine, which waits for this socket",
        "Stack of 2 threads, a one of them",
        "Stack of thread x",
        "Stack of thread x",
        "And",
    ]


def test_names_from_the_process_are_harmless() -> None:
    evil = "\x1b[31m\u202e"
    doing = Doing(None, Runtime.PYTHON, (Stack(evil, 1, (Frame(evil, evil, 1),)),))
    for title, group in process_groups(ROW, INFO, doing, NOW):
        assert "\x1b" not in title
        assert not any("\x1b" in f"{fact}" and "\u202e" in fact.label + fact.value for fact in group)
        assert all("\x1b" not in fact.label + fact.value for fact in group)


def test_the_most_telling_call_is_the_programs_own() -> None:
    own, library = Frame("handle", "/srv/app.py", 3), Frame("wait", "/usr/lib/python3.11/threading.py", 9, library=True)
    assert Stack("t", 1, (library, own)).telling() == own
    assert Stack("t", 1, (library,)).telling() == library
    assert Stack("t", 1, ()).telling() is None
    assert str(own) == "handle (app.py:3)"
