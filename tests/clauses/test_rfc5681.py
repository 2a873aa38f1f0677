"""RFC 5681, 6582, 6675, 8985, 2018 and 2883: what a loss does to the sender, and how the receiver tells of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.model.time import MILLISECOND, SECOND, Nanos

clause = pytest.mark.clause

SACKED = {"sack_permitted": True}


def sending(talk: Any, octets: int, **syn: Any) -> Any:
    """A connection with so many octets out."""
    socket = talk.connected(None, **syn)
    # As in Linux the first ACK after a SYN tells of a window (SND.WL1 advances), and is no duplicate.
    talk.say(".", 1, 1)
    talk.do(lambda now: socket.send(b"x" * octets, now))
    return socket


def far_away(talk: Any, round_trip: Nanos = 40 * MILLISECOND) -> Any:
    """A connection to a peer so far away that takes SACKs."""
    socket = talk.connecting()
    talk.wait(round_trip)
    talk.say("S.", 0, 1, mss=1460, **SACKED)
    return socket


@clause("RFC 5681", "3.1", "the initial window (RFC 6928: ten segments)")
def test_ten_segments_may_leave_at_once(talk: Any) -> None:
    socket = talk.connected()
    assert len(talk.do(lambda now: socket.send(b"x" * 100_000, now))) == 10


@clause("RFC 5681", "3.1", "During slow start, a TCP increments cwnd by at most SMSS bytes for each ACK received")
def test_slow_start_doubles_the_window_each_round_trip(talk: Any) -> None:
    socket = sending(talk, 100_000)
    talk.say(".", 1, 1 + 10 * 1460)
    assert socket.info(talk.now).snd_cwnd == 20
    assert len(talk.take()) == 20


@clause(
    "RFC 5681",
    "3.1",
    "When a TCP sender detects segment loss using the retransmission timer, cwnd is set to one segment",
)
def test_a_time_out_begins_again_with_one_segment(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno")
    socket = sending(talk, 100_000)
    talk.wait(210 * MILLISECOND)
    info = socket.info(talk.now)
    assert (info.snd_cwnd, info.snd_ssthresh) == (1, 5)


@clause("RFC 5681", "3.2", "the arrival of 3 duplicate ACKs is an indication that a segment has been lost")
def test_the_third_duplicate_ack_brings_a_fast_retransmission(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno")
    socket = sending(talk, 14_600)
    for count in range(3):
        assert talk.told() == []
        assert socket.info(talk.now).ca_state == (1 if count else 0)
        talk.say(".", 1, 1)
    assert talk.told() == [". 1:1:1460"]
    assert socket.info(talk.now).snd_ssthresh == 5
    assert talk.stack.counters.TCPRenoRecovery == 1


@clause("RFC 6582", "3.2", "a partial ACK retransmits the first unacknowledged segment")
def test_a_partial_ack_sends_the_next_hole(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno")
    socket = sending(talk, 14_600)
    for _ in range(4):
        talk.say(".", 1, 1)
    talk.take()
    talk.say(".", 1, 1 + 1460)
    assert ". 1461:1:1460" in talk.told()
    assert socket.info(talk.now).ca_state == 3
    talk.say(".", 1, 14_601)
    assert socket.info(talk.now).snd_cwnd == 5


@clause("RFC 6582", "4.1", "duplicates of what was sent before the recovery do not begin another one")
def test_without_sack_a_recovery_is_over_when_something_newer_is_acknowledged(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno")
    socket = sending(talk, 14_600)
    for _ in range(3):
        talk.say(".", 1, 1)
    talk.say(".", 1, 14_601)
    talk.take()
    assert socket.info(talk.now).ca_state == 3
    talk.do(lambda now: socket.send(b"x" * 7_300, now))
    for _ in range(4):
        talk.say(".", 1, 14_601)
    assert talk.take() == []
    talk.say(".", 1, 16_061)
    assert socket.info(talk.now).ca_state == 0


@clause("RFC 3042", "2", "Limited Transmit: on the first two duplicate ACKs send new data")
def test_the_first_duplicates_let_new_segments_leave(talk: Any) -> None:
    socket = sending(talk, 100_000)
    assert socket.info(talk.now).unacked == 10
    talk.take()
    talk.say(".", 1, 1)
    assert talk.told() == [". 14601:1:1460"]
    talk.say(".", 1, 1)
    assert talk.told() == [". 16061:1:1460"]


@clause("RFC 5681", "4.1", "a TCP SHOULD set cwnd to no more than RW if it has not sent for longer than one RTO")
def test_an_idle_connection_begins_small_again(talk: Any) -> None:
    socket = sending(talk, 14_600)
    talk.say(".", 1, 14_601)
    assert socket.info(talk.now).snd_cwnd == 20
    talk.wait(60 * SECOND)
    assert len(talk.do(lambda now: socket.send(b"x" * 100_000, now))) == 10


@clause("RFC 5681", "4.2", "A TCP receiver SHOULD send an immediate duplicate ACK when an out-of-order segment arrives")
@clause("RFC 2018", "4", "the first SACK block MUST specify the block containing the segment which triggered this ACK")
def test_the_receiver_tells_what_it_holds_latest_first(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1)
    talk.accepted(**SACKED)
    peer = 0xFFFF_FF00

    def blocks() -> list[tuple[int, int]]:
        (segment,) = talk.take()
        return [((a - peer) & 0xFFFF_FFFF, (b - peer) & 0xFFFF_FFFF) for a, b in segment.sack]

    talk.say(".", 101, 1, b"x" * 100)
    assert blocks() == [(101, 201)]
    talk.say(".", 301, 1, b"x" * 100)
    assert blocks() == [(301, 401), (101, 201)]
    talk.say(".", 201, 1, b"x" * 50)
    assert blocks() == [(101, 251), (301, 401)]
    talk.say(".", 1, 1, b"x" * 100)
    assert blocks() == [(301, 401)]


@clause("RFC 2883", "4.1", "the first block reports the duplicate")
def test_a_duplicate_is_reported(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1)
    talk.accepted(**SACKED)
    talk.say("P.", 1, 1, b"x" * 100)
    talk.take()
    talk.say("P.", 1, 1, b"x" * 100)
    (segment,) = talk.take()
    assert [(a + 0x100) & 0xFFFF_FFFF for a, _ in segment.sack] == [1]
    assert talk.stack.counters.TCPDSACKOldSent == 1


@clause("RFC 8985", "6.2", "a segment is lost once one sent later enough was delivered")
def test_sacks_bring_back_only_what_is_missing(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1)
    socket = far_away(talk)
    talk.do(lambda now: socket.send(b"x" * 14_600, now))
    talk.wait(40 * MILLISECOND)
    talk.say(".", 1, 1, sack=[(1461, 2921)])
    talk.say(".", 1, 1, sack=[(1461, 4381)])
    assert talk.told() == []
    talk.say(".", 1, 1, sack=[(1461, 5841)])
    assert talk.told() == [". 1:1:1460"]
    assert socket.info(talk.now).ca_state == 3
    talk.say(".", 1, 14_601)
    assert talk.told() == []
    assert socket.info(talk.now).ca_state == 0


@clause("RFC 8985", "6.2", "the reordering window lets a segment be late")
def test_one_sack_waits_a_quarter_of_a_round_trip(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1)
    socket = far_away(talk)
    talk.do(lambda now: socket.send(b"x" * 2920, now))
    talk.wait(40 * MILLISECOND)
    talk.say(".", 1, 1, sack=[(1461, 2921)])
    assert talk.told() == []
    assert talk.wait(9 * MILLISECOND) == []
    assert talk.wait(MILLISECOND) == [". 1:1:1460"]
    assert socket.info(talk.now).ca_state == 3


@clause("RFC 8985", "6.2", "RACK.reo_wnd_mult is incremented in a round trip in which a DSACK comes")
def test_what_was_sent_again_in_vain_makes_recovery_wait_longer(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1)
    socket = far_away(talk)

    def overtaken(una: int) -> int:
        """Two leave, and the second is sacked a round trip later: after how many ms the first leaves again."""
        talk.do(lambda now: socket.send(b"x" * 2920, now))
        talk.wait(40 * MILLISECOND)
        talk.say(".", 1, una, sack=[(una + 1460, una + 2920)])
        waited = next(ms for ms in range(1, 100) if talk.wait(MILLISECOND))
        talk.say(".", 1, una + 2920)
        return waited

    talk.do(lambda now: socket.send(b"x" * 2920, now))
    talk.wait(40 * MILLISECOND)
    talk.say(".", 1, 1, sack=[(1461, 2921)])
    talk.say(".", 1, 2921)
    assert talk.stack.counters.TCPSACKReorder == 1
    assert overtaken(2921) == 10
    talk.wait(40 * MILLISECOND)
    talk.say(".", 1, 5841, sack=[(2921, 4381)])
    talk.say(".", 1, 5841, sack=[(2921, 4381)])
    assert talk.stack.counters.TCPDSACKRecv == 2
    assert overtaken(5841) == 20
    # It lasts for sixteen recoveries in which nothing was sent in vain.
    una = 8761
    for _ in range(15):
        assert overtaken(una) == 20
        una += 2920
    assert overtaken(una) == 10


@clause("RFC 8985", "7.3", "TLP: when the probe timeout fires, send a probe")
def test_a_lost_tail_is_probed_before_the_time_out(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1, tcp_early_retrans=3)
    socket = far_away(talk, 50 * MILLISECOND)
    talk.take()
    talk.do(lambda now: socket.send(b"x" * 2920, now))
    assert talk.wait(101 * MILLISECOND) == []
    assert talk.wait(2 * MILLISECOND) == ["P. 1461:1:1460"]
    assert talk.stack.counters.TCPLossProbes == 1
    assert socket.info(talk.now).retransmits == 0


@clause("RFC 2018", "8", "after a retransmit timeout the data sender SHOULD turn off all of the SACKed bits")
def test_a_receiver_that_goes_back_on_its_word_gets_everything_again(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1)
    socket = sending(talk, 4 * 1460, **SACKED)
    talk.take()
    talk.say(".", 1, 1461, sack=[(2921, 4381)])
    talk.say(".", 1, 2921)
    talk.wait(SECOND)
    for ack in (4381, 5841):
        talk.say(".", 1, ack)
    assert socket.connection.sender.una == socket.connection.sender.nxt
