"""RFC 6298: the retransmission timer; RFC 9293 3.8.1 through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.tcp import SocketOptions

clause = pytest.mark.clause


@clause("RFC 6298", "2.1", "Until a round-trip time measurement has been made the sender SHOULD set RTO to 1 second")
def test_the_first_time_out_is_a_second(talk: Any) -> None:
    talk.connecting()
    talk.take()
    assert talk.wait(999 * MILLISECOND) == []
    assert talk.wait(MILLISECOND) == ["S 0:-:0"]


def test_syns_are_repeated_every_second_four_times_and_then_back_off(talk: Any) -> None:
    start = talk.now
    talk.connecting()
    talk.take()
    while talk.stack.next_timeout() is not None and len(talk.times) < 9:
        talk.now = talk.stack.next_timeout()
        talk.stack.on_timeout(talk.now)
        talk.flush()
    assert [(at - start) // SECOND for at in talk.times] == [1, 2, 3, 4, 5, 7, 11, 19, 35]


@clause("RFC 6298", "2.2", "When the first RTT measurement R is made: SRTT <- R, RTTVAR <- R/2")
def test_the_first_measurement(talk: Any) -> None:
    socket = talk.connecting()
    talk.wait(100 * MILLISECOND)
    talk.say("S.", 0, 1, mss=1460)
    info = socket.info(talk.now)
    assert (info.rtt, info.rttvar) == (100_000, 50_000)
    assert info.rto == 300_000


@clause("RFC 6298", "2.3", "SRTT <- (1 - alpha) * SRTT + alpha * R'")
def test_a_later_measurement_counts_an_eighth(talk: Any) -> None:
    socket = talk.connecting()
    talk.wait(100 * MILLISECOND)
    talk.say("S.", 0, 1, mss=1460)
    talk.do(lambda now: socket.send(b"x", now))
    talk.wait(180 * MILLISECOND)
    talk.say(".", 1, 2)
    assert socket.info(talk.now).rtt == 110_000


@clause("RFC 6298", "2.4", "RTO SHOULD be rounded up to 1 second (Linux: 200 ms above SRTT)")
@pytest.mark.parametrize(("least", "rto"), [(200_000, 201_000), (1_000_000, 1_001_000)])
def test_the_least_time_out_is_a_setting(make_talk: Callable[..., Any], least: int, rto: int) -> None:
    talk = make_talk(tcp_rto_min_us=least)
    socket = talk.connected()
    assert socket.info(talk.now).rto == rto


@clause("RFC 6298", "3", "RTT samples MUST NOT be made using segments that were retransmitted")
def test_a_retransmitted_segment_measures_nothing(talk: Any) -> None:
    socket = talk.connected()
    before = socket.info(talk.now).rtt
    talk.do(lambda now: socket.send(b"x", now))
    assert talk.wait(250 * MILLISECOND) == ["P. 1:1:1"]
    talk.say(".", 1, 2)
    assert socket.info(talk.now).rtt == before


@clause("RFC 6298", "5.4", "Retransmit the earliest segment that has not been acknowledged")
def test_the_earliest_segment_is_sent_again(talk: Any) -> None:
    socket = talk.connected()
    talk.do(lambda now: socket.send(b"x" * 4000, now))
    assert talk.wait(210 * MILLISECOND) == [". 1:1:1460"]


@clause("RFC 6298", "5.5", "The host MUST set RTO <- RTO * 2 (back off the timer)")
def test_the_time_out_doubles_up_to_two_minutes(talk: Any) -> None:
    socket = talk.connected()
    talk.do(lambda now: socket.send(b"x", now))
    start = talk.now
    talk.out.clear(), talk.times.clear()
    end = talk.now + 600 * SECOND
    while talk.stack.next_timeout() <= end:
        talk.now = talk.stack.next_timeout()
        talk.stack.on_timeout(talk.now)
        talk.flush()
    gaps = [b - a for a, b in zip([start, *talk.times], talk.times, strict=False)]
    assert gaps[:10] == [201 * MILLISECOND << doubling for doubling in range(10)]
    assert gaps[10] == 120 * SECOND


@clause(
    "RFC 6298",
    "5.7",
    "If the timer expires awaiting the ACK of a SYN segment the RTO MUST be re-initialized to 3 seconds",
)
def test_after_a_repeated_syn_data_begin_with_three_seconds(talk: Any) -> None:
    socket = talk.connecting()
    talk.wait(1500 * MILLISECOND)
    talk.say("S.", 0, 1, mss=1460)
    assert socket.info(talk.now).rto == 3_000_000


def test_a_lost_fin_is_repeated_by_the_timer(talk: Any) -> None:
    socket = talk.connected()
    assert talk.do(socket.close) == ["F. 1:1:0"]
    assert talk.wait(700 * MILLISECOND) == ["F. 1:1:0"] * 2


@pytest.mark.parametrize(("retries", "low", "high"), [(0, 90, 115), (1, 1, 2), (3, 6, 7)])
def test_a_silent_peer_in_last_ack_is_given_up_after_orphan_retries(
    make_talk: Callable[..., Any], retries: int, low: int, high: int
) -> None:
    talk = make_talk(tcp_orphan_retries=retries)
    socket = talk.in_state(State.LAST_ACK)
    start = talk.now
    talk.wait(low * SECOND)
    assert talk.state(socket) is State.LAST_ACK
    talk.wait((high - low) * SECOND)
    assert talk.state(socket) is State.CLOSED
    assert talk.now - start == high * SECOND


@clause("RFC 5482", "3", "the user timeout controls how long transmitted data may remain unacknowledged")
def test_the_user_timeout_ends_a_connection_sooner(talk: Any) -> None:
    options = SocketOptions()
    options.tcp_user_timeout = 5000
    socket = talk.connected(options)
    talk.do(lambda now: socket.send(b"x", now))
    talk.wait(4900 * MILLISECOND)
    assert talk.state(socket) is State.ESTABLISHED
    talk.wait(400 * MILLISECOND)
    assert socket.connection.error == "ETIMEDOUT"
