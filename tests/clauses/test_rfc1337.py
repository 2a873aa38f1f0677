"""RFC 1337: the assassination of TIME_WAIT, and the setting against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.model.state import State
from lastack.model.time import SECOND

clause = pytest.mark.clause


@clause("RFC 1337", "4", "(F1) Ignore RST segments in TIME-WAIT state")
@pytest.mark.parametrize(("setting", "after"), [(0, State.CLOSED), (1, State.TIME_WAIT)])
def test_a_reset_kills_time_wait_unless_told_not_to(make_talk: Callable[..., Any], setting: int, after: State) -> None:
    talk = make_talk(tcp_rfc1337=setting)
    socket = talk.in_state(State.TIME_WAIT)
    talk.say("R", 2)
    assert talk.told() == []
    assert talk.stack.state_of(socket) is after


def test_a_reset_that_is_ignored_does_not_begin_the_wait_anew(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_rfc1337=1)
    socket = talk.in_state(State.TIME_WAIT)
    talk.wait(30 * SECOND)
    talk.say("R", 2)
    talk.wait(31 * SECOND)
    assert talk.stack.state_of(socket) is State.CLOSED


def test_a_reset_elsewhere_in_the_window_does_not_kill_time_wait(talk: Any) -> None:
    socket = talk.in_state(State.TIME_WAIT)
    talk.say("R", 3)
    assert talk.stack.state_of(socket) is State.TIME_WAIT
    assert talk.told() == []


@clause("RFC 1337", "2", "an old duplicate data segment arrives in TIME-WAIT and is acknowledged")
def test_an_old_duplicate_is_acknowledged_and_restarts_the_wait(talk: Any) -> None:
    socket = talk.in_state(State.TIME_WAIT)
    talk.wait(30 * SECOND)
    talk.say("P.", 1, 1, b"old")
    assert talk.told() == [". 2:2:0"]
    talk.wait(40 * SECOND)
    assert talk.stack.state_of(socket) is State.TIME_WAIT
