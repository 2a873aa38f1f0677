"""RFC 7323: window scaling, timestamps, and what they protect from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

clause = pytest.mark.clause

STAMPED = {"ts_value": 1000, "ts_echo": 0}


@clause(
    "RFC 7323", "2.2", "This option MAY be sent in an initial SYN segment, and in a SYN,ACK only if the SYN had one"
)
def test_the_answer_scales_only_if_the_question_did(make_talk: Callable[..., Any]) -> None:
    for offered in (None, 3):
        talk = make_talk(tcp_window_scaling=1)
        talk.listen()
        talk.say("S", 0, mss=1460, window_scale=offered)
        assert talk.take()[0].window_scale == (None if offered is None else 10)


@clause("RFC 7323", "2.3", "If a Window Scale option is received with a shift.cnt value larger than 14, use 14")
def test_a_shift_beyond_14_counts_as_14(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_window_scaling=1)
    socket = talk.accepted(window_scale=200)
    assert socket.connection.sender.scale == 14


@clause("RFC 7323", "2.3", "The window field in a segment where the SYN bit is set MUST NOT be scaled")
def test_the_window_of_a_syn_is_not_scaled(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_window_scaling=1)
    socket = talk.connecting()
    talk.say("S.", 0, 1, mss=1460, window_scale=7, window=1000)
    assert socket.connection.sender.window == 1000
    talk.say(".", 1, 1, window=1000)
    assert socket.connection.sender.window == 128_000


@clause("RFC 7323", "3.2", "Once TSopt has been successfully negotiated, it MUST be sent in every non-RST segment")
def test_timestamps_are_on_every_segment_or_on_none(make_talk: Callable[..., Any]) -> None:
    for syn in (STAMPED, {}):
        talk = make_talk(tcp_timestamps=1)
        socket = talk.accepted(**syn)
        socket.send(b"x", talk.now)
        talk.flush()
        socket.close(talk.now)
        talk.flush()
        assert [segment.ts_value is not None for segment in talk.take()] == [bool(syn)] * 2


@clause("RFC 7323", "4.3", "TS.Recent is echoed from the segment that covers Last.ACK.sent")
def test_the_echo_is_of_the_segment_that_filled_the_hole(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1)
    talk.accepted(**STAMPED)
    talk.say("P.", 11, 1, b"later", ts_value=1010, ts_echo=0)
    assert talk.take()[0].ts_echo == 1001
    talk.say("P.", 1, 1, b"0123456789", ts_value=1020, ts_echo=0)
    assert talk.take()[0].ts_echo == 1020


@clause("RFC 7323", "5.3", "R1) If SEG.TSval < TS.Recent, the segment is not acceptable: send an ACK and drop it")
def test_paws_refuses_an_older_timestamp(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1)
    socket = talk.accepted(**STAMPED)
    talk.say("P.", 1, 1, b"old!", ts_value=900, ts_echo=0)
    assert talk.told() == [". 1:1:0"]
    assert socket.receive(10, talk.now) is None
    assert talk.stack.counters.PAWSEstab == 1


@clause("RFC 7323", "5.3", "an <RST> segment MUST NOT be subjected to the PAWS check")
def test_a_reset_is_never_refused_for_its_timestamp(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1)
    socket = talk.accepted(**STAMPED)
    talk.say("R", 1, ts_value=5, ts_echo=0)
    assert talk.state(socket) is State.CLOSED


@clause("RFC 7323", "5.5", "the timestamps are invalidated after the connection was idle for more than 24 days")
def test_after_24_idle_days_an_older_timestamp_is_believed(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1)
    socket = talk.accepted(**STAMPED)
    talk.wait(25 * 86_400 * SECOND)
    talk.say("P.", 1, 1, b"news", ts_value=900, ts_echo=0)
    assert socket.receive(10, talk.now) == b"news"


@clause("RFC 7323", "5.2", "timestamps are compared modulo 2^32")
def test_paws_holds_across_the_wrap_of_the_timestamp(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1)
    talk.listen()
    talk.say("S", 0, mss=1460, ts_value=0xFFFF_FFFE, ts_echo=0)
    talk.iss = talk.take()[0].seq
    talk.say(".", 1, 1, ts_value=0xFFFF_FFFF, ts_echo=0)
    socket = talk.stack.accept(talk.listener)
    talk.say("P.", 1, 1, b"new", ts_value=3, ts_echo=0)
    assert socket.receive(10, talk.now) == b"new"
    talk.say("P.", 4, 1, b"old", ts_value=0xFFFF_FFF0, ts_echo=0)
    assert socket.receive(10, talk.now) is None


@clause("RFC 7323", "4.1", "round trips are measured with the echo, also on retransmitted segments")
def test_the_echo_measures_a_retransmitted_segment(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1)
    socket = talk.accepted(**STAMPED)
    socket.send(b"x", talk.now)
    talk.flush()
    talk.wait(250 * MILLISECOND)
    talk.take()
    sent = socket.connection.clock(talk.now - 50 * MILLISECOND)
    talk.say(".", 1, 2, ts_value=1002, ts_echo=sent)
    assert socket.info(talk.now).retransmits == 0
    assert socket.connection.sender.rtt.latest == 50 * MILLISECOND
