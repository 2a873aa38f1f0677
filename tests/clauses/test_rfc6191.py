"""RFC 6191: a SYN in TIME_WAIT is let in by its timestamp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.model.state import State

clause = pytest.mark.clause

STAMPED = {"ts_value": 1000, "ts_echo": 0}


@clause(
    "RFC 6191",
    "2",
    "If the Timestamp is greater than the last one seen on the previous incarnation, honor the connection request",
)
def test_a_greater_timestamp_reopens_even_with_a_smaller_number(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1)
    talk.waiting(**STAMPED)
    talk.say("S", 0, mss=1460, ts_value=2000, ts_echo=0)
    assert talk.take()[0].flags == 0x12


@clause(
    "RFC 6191", "2", "Otherwise, if the sequence number is greater than the last one seen, honor the connection request"
)
def test_an_equal_timestamp_is_decided_by_the_number(make_talk: Callable[..., Any]) -> None:
    for seq, flags in ((100, 0x12), (0, 0x10)):
        talk = make_talk(tcp_timestamps=1)
        talk.waiting(**STAMPED)
        talk.say("S", seq, mss=1460, ts_value=1002, ts_echo=0)
        assert talk.take()[0].flags == flags


@clause("RFC 6191", "2", "Otherwise, silently drop the SYN (Linux: the last ACK comes back)")
def test_a_smaller_timestamp_is_refused_whatever_the_number(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1)
    socket = talk.waiting(**STAMPED)
    talk.say("S", 100_000, mss=1460, ts_value=500, ts_echo=0)
    assert talk.take()[0].flags == 0x10
    assert talk.stack.state_of(socket) is State.TIME_WAIT
    assert talk.stack.counters.PAWSTimewait == 1


def test_the_refused_client_resets_time_wait_and_its_next_syn_succeeds(talk: Any) -> None:
    socket = talk.waiting()
    talk.say("S", -500_000, mss=1460)
    assert talk.told() == [". 2:2:0"]
    talk.say("R", 2)
    assert talk.stack.state_of(socket) is State.CLOSED
    talk.say("S", -500_000, mss=1460)
    assert talk.take()[0].flags == 0x12
