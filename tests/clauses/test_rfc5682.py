"""RFC 5682, 3522, 4015, 3708, 6069 and 4821: time-outs and losses that were none, and what a time-out may mean else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.model.time import MILLISECOND, SECOND
from lastack.tcp import SocketOptions
from lastack.wire.icmp import Problem

clause = pytest.mark.clause
SIZE = 1460
SACKED = {"sack_permitted": True}


def timed_out(talk: Any, segments: int = 10, waiting: int = 0, **syn: Any) -> Any:
    """So many segments are out, seem lost, and the first was sent again; `waiting` more are written meanwhile."""
    socket = talk.connected(None, **syn)
    talk.do(lambda now: socket.send(b"x" * SIZE * segments, now))
    again = talk.wait(210 * MILLISECOND)
    assert again == [f". 1:1:{SIZE}"]
    if waiting:
        assert talk.do(lambda now: socket.send(b"x" * SIZE * waiting, now)) == []
    return socket


@clause(
    "RFC 5682", "2.1", "If the first acknowledgment after the RTO advances the window, transmit up to two new segments"
)
def test_after_a_time_out_new_text_is_tried_first(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno")
    timed_out(talk, waiting=4)
    talk.say(".", 1, 1 + SIZE)
    assert talk.told() == [f". {1 + 10 * SIZE}:1:{SIZE}", f". {1 + 11 * SIZE}:1:{SIZE}"]


@clause("RFC 5682", "2.1", "If the second acknowledgment advances the window as well, declare the timeout spurious")
def test_a_spurious_time_out_gives_the_window_back(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno")
    socket = timed_out(talk, waiting=4)
    assert socket.info(talk.now).snd_cwnd == 1
    talk.say(".", 1, 1 + SIZE)
    talk.say(".", 1, 1 + 2 * SIZE)
    info = socket.info(talk.now)
    assert (info.ca_state, info.lost, info.snd_ssthresh) == (0, 0, 0x7FFF_FFFF)
    assert info.snd_cwnd >= 10
    assert talk.stack.counters.TCPSpuriousRTOs == talk.stack.counters.TCPLossUndo == 1
    assert not [one for one in talk.told() if one.startswith(f". {1 + SIZE}:")]


@clause("RFC 5682", "2.1", "If the second acknowledgment is a duplicate, the loss was real: retransmit")
def test_a_duplicate_after_the_new_text_shows_a_real_loss(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno")
    socket = timed_out(talk, waiting=4)
    talk.say(".", 1, 1 + SIZE)
    talk.take()
    talk.say(".", 1, 1 + SIZE)
    assert talk.told() == [f". {1 + SIZE}:1:{SIZE}"]
    assert socket.info(talk.now).ca_state == 4
    assert talk.stack.counters.TCPSpuriousRTOs == 0


@clause("RFC 5682", "2.1", "If there is nothing new to send, continue with the conventional recovery")
def test_without_new_text_what_is_lost_is_sent_again(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno")
    timed_out(talk)
    talk.say(".", 1, 1 + SIZE)
    assert talk.told() == [f". {1 + SIZE}:1:{SIZE}", f". {1 + 2 * SIZE}:1:{SIZE}"]


@clause("RFC 5682", "3.1", "With SACK, an original transmission that is selectively acknowledged is enough")
def test_a_sack_of_what_was_sent_once_shows_a_spurious_time_out(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1, tcp_congestion_control="newreno")
    socket = timed_out(talk, **SACKED)
    talk.say(".", 1, 1, sack=((1 + SIZE, 1 + 3 * SIZE),))
    assert socket.info(talk.now).snd_cwnd == 10
    assert talk.stack.counters.TCPSpuriousRTOs == 1


def test_tcp_frto_0_recovers_as_before(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_congestion_control="newreno", tcp_frto=0)
    timed_out(talk, waiting=4)
    talk.say(".", 1, 1 + SIZE)
    assert talk.told() == [f". {1 + SIZE}:1:{SIZE}", f". {1 + 2 * SIZE}:1:{SIZE}"]


@clause("RFC 3522", "3.2", "An ACK that echoes a timestamp from before the first retransmit: the recovery was spurious")
@clause("RFC 4015", "3.2", "resume transmission off the top, and restore the congestion control state")
def test_an_old_echo_undoes_a_time_out(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_timestamps=1, tcp_congestion_control="newreno")
    socket = talk.connected(None, ts_value=1000, ts_echo=0)
    talk.do(lambda now: socket.send(b"x" * 4 * 1448, now))
    stamp = socket.connection.clock(talk.now)
    talk.wait(210 * MILLISECOND)
    talk.say(".", 1, 1 + 1448, ts_value=1002, ts_echo=stamp)
    assert socket.info(talk.now).snd_ssthresh == 0x7FFF_FFFF
    assert talk.stack.counters.TCPLossUndo == 1
    assert talk.take() == []


@clause("RFC 3708", "3", "If every retransmission is reported as a duplicate by DSACK, the recovery was spurious")
def test_a_report_of_every_retransmission_undoes_a_recovery(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1, tcp_congestion_control="newreno", tcp_frto=0)
    socket = talk.connected(None, **SACKED)
    talk.do(lambda now: socket.send(b"x" * SIZE, now))
    talk.wait(210 * MILLISECOND)
    talk.say(".", 1, 1 + SIZE)
    assert socket.info(talk.now).snd_ssthresh == 5
    talk.say(".", 1, 1 + SIZE, sack=((1, 1 + SIZE),))
    assert (socket.info(talk.now).snd_ssthresh, socket.info(talk.now).snd_cwnd) == (0x7FFF_FFFF, 10)
    assert talk.stack.counters.TCPDSACKUndo == 1


@clause("RFC 6069", "4", "an ICMP unreachable about a retransmission that was backed off undoes one backing off")
def test_an_unreachable_host_reverts_the_backing_off(talk: Any) -> None:
    socket = talk.connected()
    talk.do(lambda now: socket.send(b"x", now))
    talk.wait(700 * MILLISECOND)
    before = socket.info(talk.now)
    talk.icmp(Problem.HOST_UNREACHABLE, 1)
    after = socket.info(talk.now)
    assert after.backoff == before.backoff - 1
    assert after.rto == before.rto // 2


@clause("RFC 6069", "4", "only if the quoted sequence number is SND.UNA, and the timer is backed off")
def test_an_unreachable_port_or_another_number_reverts_nothing(talk: Any) -> None:
    socket = talk.connected()
    talk.do(lambda now: socket.send(b"xy" * 1000, now))
    talk.wait(700 * MILLISECOND)
    before = socket.info(talk.now)
    talk.icmp(Problem.PORT_UNREACHABLE, 1)
    talk.icmp(Problem.HOST_UNREACHABLE, 1461)
    assert socket.info(talk.now).backoff == before.backoff


@clause("RFC 4821", "7.7", "detect a black hole by repeated timeouts, and fall back to a smaller segment")
@clause("RFC 9293", "3.8.3", "R1: the threshold at which negative advice is given to the IP layer")
def test_after_r1_smaller_segments_are_tried(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_mtu_probing=1)
    socket = talk.connected()
    talk.do(lambda now: socket.send(b"x" * SIZE, now))
    lengths = [int(one.split(":")[-1]) for one in talk.wait(14 * SECOND)]
    assert lengths[0] == SIZE
    assert lengths[-2:] == [1024, 512]


def test_without_mtu_probing_segments_stay_as_they_are(talk: Any) -> None:
    socket = talk.connected()
    talk.do(lambda now: socket.send(b"x" * SIZE, now))
    assert {one.split(":")[-1] for one in talk.wait(8 * SECOND)} == {str(SIZE)}


@clause("RFC 9293", "3.8.1", "retransmitted segments may be repacketized")
def test_small_segments_and_the_fin_are_sent_again_as_one(talk: Any) -> None:
    options = SocketOptions()
    options.tcp_nodelay = True
    socket = talk.connected(options)
    for size in (10, 20):
        talk.do(lambda now, size=size: socket.send(b"x" * size, now))
    assert talk.do(socket.close) == ["F. 31:1:0"]
    assert talk.wait(250 * MILLISECOND) == ["FP. 1:1:30"]


@clause("RFC 2018", "8", "the data receiver is permitted to discard data it has reported but not yet acknowledged")
def test_a_receiver_that_contradicts_its_sack_is_asked_soon(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_sack=1, tcp_congestion_control="newreno")
    socket = talk.connected(None, **SACKED)
    talk.do(lambda now: socket.send(b"x" * 4 * SIZE, now))
    talk.say(".", 1, 1, sack=((1 + SIZE, 1 + 3 * SIZE),))
    talk.take()
    talk.say(".", 1, 1 + SIZE)
    assert talk.wait(15 * MILLISECOND) == [f". {1 + SIZE}:1:{SIZE}"]


@clause("RFC 6298", "5", "until a new sample is taken, the backed off timeout remains")
def test_an_ack_that_measures_nothing_leaves_the_time_out_backed_off(talk: Any) -> None:
    socket = talk.connected()
    before = socket.info(talk.now).rto
    talk.do(lambda now: socket.send(b"x", now))
    talk.wait(250 * MILLISECOND)
    talk.say(".", 1, 2)
    assert socket.info(talk.now).rto == 2 * before
    talk.do(lambda now: socket.send(b"x", now))
    talk.say(".", 1, 3)
    assert socket.info(talk.now).rto < 2 * before
