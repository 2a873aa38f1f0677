"""RFC 5961: blind attacks on a connection are answered with challenge ACKs, and those are limited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND

clause = pytest.mark.clause


@clause(
    "RFC 5961",
    "3.2",
    "If the RST bit is set and the sequence number does not exactly match but is in the window, send a challenge ACK",
)
@pytest.mark.parametrize("offset", [1, 100, 60_000])
def test_a_reset_inside_the_window_is_challenged(talk: Any, offset: int) -> None:
    socket = talk.connected()
    talk.say("R", 1 + offset)
    assert talk.told() == [". 1:1:0"]
    assert talk.state(socket) is State.ESTABLISHED
    assert talk.stack.counters.TCPChallengeACK == 1


@clause("RFC 5961", "4.2", "If the SYN bit is set, irrespective of the sequence number, TCP MUST send a challenge ACK")
@pytest.mark.parametrize("seq", [1, 0, 50, 1_000_000])
@pytest.mark.parametrize("state", [State.ESTABLISHED, State.CLOSE_WAIT, State.LAST_ACK, State.FIN_WAIT_1])
def test_a_syn_is_challenged_in_every_synchronized_state(talk: Any, state: State, seq: int) -> None:
    socket = talk.in_state(state)
    talk.say("S", seq, mss=1460)
    told = talk.told()
    assert len(told) == 1
    assert told[0].startswith(". ")
    assert talk.state(socket) is state
    assert talk.stack.counters.TCPSYNChallenge == 1


@clause("RFC 5961", "4.2", "the peer that lost its state answers the challenge with a reset")
def test_a_rebooted_client_ends_last_ack_and_then_gets_in(talk: Any) -> None:
    socket = talk.accepted()
    talk.say("F.", 1, 1)
    talk.do(socket.close)
    assert talk.state(socket) is State.LAST_ACK
    talk.say("S", 5000, mss=1460)
    challenge = talk.told()
    assert challenge == [". 2:2:0"]
    talk.say("R", 2)
    assert talk.state(socket) is State.CLOSED
    talk.say("S", 5000, mss=1460)
    assert talk.take()[0].flags == 0x12


@clause("RFC 5961", "5.2", "the ACK value is acceptable only if SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT")
@pytest.mark.parametrize("ack", [-70_000, 2])
def test_an_ack_too_old_or_too_new_is_challenged(talk: Any, ack: int) -> None:
    socket = talk.connected()
    talk.say("P.", 1, ack, b"evil")
    assert talk.told() == [". 1:1:0"]
    assert socket.receive(10, talk.now) is None


@clause("RFC 5961", "7", "an implementation SHOULD throttle the challenge ACKs")
def test_challenges_are_limited_to_two_a_second(talk: Any) -> None:
    talk.connected()
    for _ in range(5):
        talk.say("R", 100)
    assert talk.told() == [". 1:1:0"]
    assert talk.stack.counters.TCPACKSkippedChallenge == 4
    talk.wait(500 * MILLISECOND)
    talk.say("R", 100)
    assert talk.told() == [". 1:1:0"]


@clause("RFC 5961", "7", "the limit is on the number of challenge ACKs of the whole host in a period")
def test_a_host_sends_no_more_challenges_a_second_than_its_limit(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(tcp_invalid_ratelimit=0, tcp_challenge_ack_limit=10)
    talk.connected()
    counts = []
    for _ in range(8):
        for _ in range(40):
            talk.say("R", 100)
        counts.append(len(talk.take()))
        talk.wait(SECOND)
    assert all(5 <= count <= 15 for count in counts)
    # An even number would tell an onlooker how many others have used up.
    assert len(set(counts)) > 1


@clause("RFC 5961", "7", "text is never part of a loop of ACKs (Linux)")
def test_old_text_is_always_answered(talk: Any) -> None:
    talk.accepted()
    talk.say("P.", 1, 1, b"text")
    talk.take()
    for _ in range(3):
        talk.say("P.", 1, 1, b"text")
    assert len(talk.take()) == 3
    for _ in range(3):
        talk.say(".", 0, 1)
    assert len(talk.take()) == 1
