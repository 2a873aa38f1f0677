"""RFC 9293: the states, the two closes, and what every segment does in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastack.errors import CallError
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND
from lastack.tcp import SocketOptions

clause = pytest.mark.clause
SYNCHRONIZED = [
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
]
# What we have sent and the peer has sent in each of them, as the next numbers (relative).
NEXT = {
    State.ESTABLISHED: (1, 1),
    State.FIN_WAIT_1: (2, 1),
    State.FIN_WAIT_2: (2, 1),
    State.CLOSE_WAIT: (1, 2),
    State.CLOSING: (2, 2),
    State.LAST_ACK: (2, 2),
    State.TIME_WAIT: (2, 2),
}


# -- 3.5 opening


@clause("RFC 9293", "3.5", "The simplest three-way handshake")
def test_an_active_opener_acknowledges_the_answer(talk: Any) -> None:
    socket = talk.connecting()
    assert talk.told() == ["S 0:-:0"]
    talk.say("S.", 0, 1, mss=1460)
    assert talk.told() == [". 1:1:0"]
    assert talk.state(socket) is State.ESTABLISHED


@clause("RFC 9293", "3.5", "The simplest three-way handshake")
def test_a_passive_opener_is_established_by_the_third_segment(talk: Any) -> None:
    talk.listen()
    talk.say("S", 0, mss=1460)
    segment = talk.take()[0]
    talk.iss = segment.seq
    assert talk.spell(segment) == "S. 0:1:0"
    talk.say(".", 1, 1)
    assert talk.seen.states == [State.SYN_RECEIVED, State.ESTABLISHED]


@clause("RFC 9293", "3.5", "Simultaneous initiation is only slightly more complex")
def test_crossing_syns_establish_both(talk: Any) -> None:
    socket = talk.connecting()
    talk.take()
    talk.say("S", 0, mss=1460)
    assert talk.state(socket) is State.SYN_RECEIVED
    assert talk.told() == ["S. 0:1:0"]
    talk.say("S.", 0, 1, mss=1460)
    assert talk.state(socket) is State.ESTABLISHED


@clause("RFC 9293", "3.5.2", "If the connection does not exist (CLOSED), then a reset is sent in response")
@pytest.mark.parametrize(
    ("flags", "seq", "ack", "answer"),
    [("S", 5, None, "R. 0:6:0"), (".", 5, 77, "R 77:-:0"), ("F.", 5, 9, "R 9:-:0"), ("R", 5, None, None)],
)
def test_a_segment_for_nobody_is_reset(talk: Any, flags: str, seq: int, ack: int | None, answer: str | None) -> None:
    talk.say(flags, seq, ack)
    assert talk.told() == ([] if answer is None else [answer])


@clause("RFC 9293", "3.10.7.3", "If SEG.ACK =< ISS, or SEG.ACK > SND.NXT, send a reset")
@pytest.mark.parametrize("ack", [0, 2, 1000])
def test_an_unacceptable_ack_in_syn_sent_is_reset(talk: Any, ack: int) -> None:
    socket = talk.connecting()
    talk.take()
    talk.say("S.", 0, ack, mss=1460)
    assert talk.told() == [f"R {ack}:-:0"]
    assert talk.state(socket) is State.SYN_SENT


@clause("RFC 9293", "3.10.7.3", "If the ACK was acceptable, then signal to the user 'error: connection reset'")
def test_a_reset_in_syn_sent_refuses_only_with_an_ack(talk: Any) -> None:
    socket = talk.connecting()
    talk.take()
    talk.say("R", 0)
    assert talk.state(socket) is State.SYN_SENT
    talk.say("R.", 0, 1)
    assert talk.state(socket) is State.CLOSED
    with pytest.raises(CallError) as failed:
        socket.receive(1, talk.now)
    assert failed.value.code == "ECONNREFUSED"


@clause("RFC 9293", "3.10.7.3", "if there are other controls or text in the segment, queue them for processing")
def test_text_on_the_answer_to_our_syn_is_taken(talk: Any) -> None:
    socket = talk.connecting()
    talk.say("SP.", 0, 1, b"hello", mss=1460)
    assert socket.receive(10, talk.now) == b"hello"


@clause("RFC 9293", "3.10.7.4", "If this connection was initiated with a passive OPEN, then return to LISTEN")
def test_a_reset_in_syn_received_returns_to_the_listener(talk: Any) -> None:
    socket = talk.in_state(State.SYN_RECEIVED)
    talk.say("R", 1)
    assert talk.state(socket) is State.CLOSED
    assert talk.listener.requests == 0
    assert not talk.stack.host.sockets
    talk.say("S", 500, mss=1460)
    assert len(talk.take()) == 1


@clause("RFC 9293", "3.10.7.4", "If the segment acknowledgment is not acceptable, form a reset segment")
def test_a_wrong_ack_in_syn_received_is_reset(talk: Any) -> None:
    socket = talk.in_state(State.SYN_RECEIVED)
    talk.say(".", 1, 5)
    assert talk.told() == ["R 5:-:0"]
    assert talk.state(socket) is State.SYN_RECEIVED


@clause("RFC 9293", "3.10.7.4", "Enter the CLOSE-WAIT state (from SYN-RECEIVED)")
def test_a_fin_with_the_third_segment_goes_to_close_wait(talk: Any) -> None:
    socket = talk.in_state(State.SYN_RECEIVED)
    talk.say("F.", 1, 1)
    assert talk.state(socket) is State.CLOSE_WAIT
    assert talk.seen.states[-2:] == [State.ESTABLISHED, State.CLOSE_WAIT]


@clause("RFC 9293", "3.10.4", "SYN-SENT STATE: delete the TCB and return 'error: closing'")
def test_closing_in_syn_sent_leaves_nothing(talk: Any) -> None:
    socket = talk.in_state(State.SYN_SENT)
    assert talk.do(socket.close) == []
    assert talk.state(socket) is State.CLOSED
    assert talk.stack.next_timeout() is None


# -- 3.6 closing


@clause("RFC 9293", "3.6", "Case 1: Local user initiates the close")
def test_four_segments_close_a_connection(talk: Any) -> None:
    socket = talk.connected()
    assert talk.do(socket.close) == ["F. 1:1:0"]
    talk.say(".", 1, 2)
    assert talk.told() == []
    assert talk.stack.state_of(socket) is State.FIN_WAIT_2
    talk.say("F.", 1, 2)
    assert talk.told() == [". 2:2:0"]
    assert talk.stack.state_of(socket) is State.TIME_WAIT
    talk.wait(60 * SECOND - 1)
    assert talk.stack.state_of(socket) is State.TIME_WAIT
    talk.wait(1)
    assert talk.stack.state_of(socket) is State.CLOSED
    assert talk.seen.states[2:] == [State.FIN_WAIT_1, State.FIN_WAIT_2, State.TIME_WAIT, State.CLOSED]


@clause("RFC 9293", "3.6", "Case 2: TCP endpoint receives a FIN from the network")
def test_the_passive_side_ends_in_last_ack(talk: Any) -> None:
    socket = talk.connected()
    talk.say("F.", 1, 1)
    assert talk.state(socket) is State.CLOSE_WAIT
    assert socket.receive(10, talk.now) == b""
    assert talk.wait(100 * MILLISECOND) == [". 1:2:0"]
    assert talk.do(socket.close) == ["F. 1:2:0"]
    assert talk.state(socket) is State.LAST_ACK
    talk.say(".", 2, 2)
    assert talk.state(socket) is State.CLOSED
    assert talk.stack.waiting() == 0


@clause("RFC 9293", "3.6", "Case 3: Both users close simultaneously")
def test_crossing_fins_go_through_closing(talk: Any) -> None:
    socket = talk.connected()
    talk.do(socket.close)
    talk.say("F.", 1, 1)
    assert talk.state(socket) is State.CLOSING
    assert talk.told() == [". 2:2:0"]
    talk.say(".", 2, 2)
    assert talk.stack.state_of(socket) is State.TIME_WAIT


@clause("RFC 9293", "3.6", "Case 3 (figure 5, note 2)")
def test_a_fin_that_acknowledges_ours_skips_closing(talk: Any) -> None:
    socket = talk.connected()
    talk.do(socket.close)
    talk.say("F.", 1, 2)
    assert talk.told() == [". 2:2:0"]
    assert talk.stack.state_of(socket) is State.TIME_WAIT
    assert State.CLOSING not in talk.seen.states


@clause("RFC 9293", "3.6", "A user who closes may continue to RECEIVE until told that the remote peer has CLOSED also")
def test_a_half_closed_connection_still_receives(talk: Any) -> None:
    socket = talk.connected()
    talk.do(lambda now: socket.shutdown("write", now))
    talk.say(".", 1, 2)
    talk.say("P.", 1, 2, b"late")
    assert socket.receive(10, talk.now) == b"late"
    assert socket.receive(10, talk.now) is None
    talk.say("F.", 5, 2)
    assert socket.receive(10, talk.now) == b""
    with pytest.raises(CallError) as refused:
        socket.send(b"x", talk.now)
    assert refused.value.code == "EPIPE"


@clause(
    "RFC 9293", "3.6", "a TCP implementation will reliably deliver all buffers SENT before the connection was CLOSED"
)
def test_what_was_sent_before_close_leaves_before_the_fin(talk: Any) -> None:
    socket = talk.connected()
    socket.send(b"x" * 2000, talk.now)
    assert talk.do(socket.close) == [". 1:1:1460", "FP. 1461:1:540"]


@clause("RFC 9293", "3.6.1", "If new data is received after CLOSE is called, the TCP SHOULD send a RST")
@pytest.mark.parametrize("acked", [False, True])
def test_data_after_close_is_reset(talk: Any, acked: bool) -> None:
    socket = talk.connected()
    talk.do(socket.close)
    if acked:
        talk.say(".", 1, 2)
    talk.say("P.", 1, 2 if acked else 1, b"late")
    told = talk.told()
    assert len(told) == 1
    assert told[0].startswith("R")
    assert talk.stack.state_of(socket) is State.CLOSED
    # Of FIN_WAIT_2 only a row is left, and Linux answers for it as for no connection.
    assert talk.stack.counters.TCPAbortOnData == (0 if acked else 1)
    assert talk.stack.counters.TcpOutRsts == 1


@clause("RFC 9293", "3.6.1", "a host MAY implement a half-duplex TCP close sequence")
def test_closing_with_unread_data_resets(talk: Any) -> None:
    socket = talk.connected()
    talk.say("P.", 1, 1, b"unread")
    talk.take()
    assert talk.do(socket.close) == ["R. 1:7:0"]
    assert talk.state(socket) is State.CLOSED
    assert talk.stack.counters.TCPAbortOnClose == 1


@clause("RFC 9293", "3.10.7.4", "eighth: a FIN is processed in its turn")
def test_a_fin_that_overtakes_data_waits_for_it(talk: Any) -> None:
    socket = talk.connected()
    talk.say("F.", 6, 1)
    assert talk.state(socket) is State.ESTABLISHED
    assert socket.receive(10, talk.now) is None
    assert talk.told() == [". 1:1:0"]
    talk.say("P.", 1, 1, b"hello")
    assert talk.told() == [". 1:7:0"]
    assert talk.state(socket) is State.CLOSE_WAIT
    assert socket.receive(10, talk.now) == b"hello"
    assert socket.receive(10, talk.now) == b""


@clause("RFC 9293", "3.10.7.4", "TIME-WAIT STATE: the only thing that can arrive is a retransmission of the remote FIN")
def test_a_retransmitted_fin_restarts_the_two_msl_wait(talk: Any) -> None:
    socket = talk.in_state(State.TIME_WAIT)
    talk.wait(50 * SECOND)
    talk.say("F.", 1, 2)
    assert talk.told() == [". 2:2:0"]
    talk.wait(59 * SECOND)
    assert talk.stack.state_of(socket) is State.TIME_WAIT
    talk.wait(SECOND)
    assert talk.stack.state_of(socket) is State.CLOSED


@clause(
    "RFC 9293",
    "3.6.1",
    "it MAY accept a new SYN from the remote TCP endpoint to reopen the connection directly from TIME-WAIT state",
)
def test_a_newer_syn_reopens_from_time_wait(talk: Any) -> None:
    talk.waiting()
    talk.say("S", 100_000, mss=1460)
    answer = talk.take()[0]
    assert answer.flags == 0x12
    # Larger than the largest sequence number used on the previous connection incarnation.
    assert (answer.seq - talk.iss) & 0xFFFF_FFFF == 2 + 65_537
    assert talk.stack.waiting() == 0
    assert talk.listener.requests == 1


@clause("RFC 9293", "3.6.1", "returns to TIME-WAIT state if the SYN turns out to be an old duplicate")
def test_an_older_syn_is_answered_with_the_last_ack(talk: Any) -> None:
    socket = talk.waiting()
    talk.say("S", 0, mss=1460)
    assert talk.told() == [". 2:2:0"]
    assert talk.stack.state_of(socket) is State.TIME_WAIT


# -- 3.10.7.4, step by step


@clause("RFC 9293", "3.10.7.4", "If an incoming segment is not acceptable, an acknowledgment should be sent in reply")
@pytest.mark.parametrize("state", [*SYNCHRONIZED, State.TIME_WAIT])
@pytest.mark.parametrize("where", ["before", "beyond"])
def test_a_segment_outside_the_window_is_answered_with_an_ack(talk: Any, state: State, where: str) -> None:
    socket = talk.in_state(state)
    snd, rcv = NEXT[state]
    talk.say(".", rcv - 50 if where == "before" else rcv + 100_000, snd, b"x")
    assert talk.told() == [f". {snd}:{rcv}:0"]
    assert talk.stack.state_of(socket) is state


@clause("RFC 9293", "3.10.7.4", "(unless the RST bit is set, if so drop the segment and return)")
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_reset_outside_the_window_is_dropped(talk: Any, state: State) -> None:
    socket = talk.in_state(state)
    talk.say("R", NEXT[state][1] + 100_000)
    assert talk.told() == []
    assert talk.state(socket) is state


@clause("RFC 9293", "3.10.7.4", "1) If the RST bit is set and the sequence number is the next expected, then reset")
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_reset_at_the_next_number_ends_every_state(talk: Any, state: State) -> None:
    socket = talk.in_state(state)
    talk.say("R", NEXT[state][1])
    assert talk.told() == []
    assert talk.state(socket) is State.CLOSED
    assert socket.connection.error == ("EPIPE" if state is State.CLOSE_WAIT else "ECONNRESET")


@clause("RFC 9293", "3.10.7.4", "fifth: if the ACK bit is off, drop the segment")
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_segment_without_an_ack_is_dropped(talk: Any, state: State) -> None:
    socket = talk.in_state(state)
    talk.say("F", NEXT[state][1], None, b"x")
    assert talk.told() == []
    assert talk.state(socket) is state
    assert socket.connection.receiver.nxt - socket.connection.receiver.irs == NEXT[state][1]


@clause("RFC 9293", "3.10.7.4", "If the ACK acks something not yet sent, then send an ACK, drop the segment")
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_an_ack_of_the_future_is_answered_and_dropped(talk: Any, state: State) -> None:
    socket = talk.in_state(state)
    snd, rcv = NEXT[state]
    talk.say("P.", rcv, snd + 7, b"x")
    assert talk.told() == [f". {snd}:{rcv}:0"]
    assert socket.connection.receiver.unread == 0


@clause("RFC 9293", "3.10.7.4", "If the ACK is a duplicate, it can be ignored")
def test_an_old_ack_changes_nothing_but_its_text_counts(talk: Any) -> None:
    socket = talk.connected()
    talk.do(lambda now: socket.send(b"abc", now))
    talk.say(".", 1, 4)
    talk.say("P.", 1, 2, b"text")
    assert socket.receive(10, talk.now) == b"text"
    assert socket.connection.sender.una == socket.connection.sender.iss + 4


@clause("RFC 9293", "3.10.7.4", "the send window should be updated if SND.WL1 < SEG.SEQ or ...")
def test_an_old_segment_does_not_bring_back_an_old_window(talk: Any) -> None:
    socket = talk.connected()
    talk.say("P.", 1, 1, b"x" * 10, window=5000)
    talk.say(".", 1, 1, window=9999)
    assert socket.connection.sender.window == 5000
    talk.say(".", 11, 1, window=7000)
    assert socket.connection.sender.window == 7000


@clause("RFC 9293", "3.10.7.4", "... or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK), set SND.WND <- SEG.WND")
def test_a_window_that_is_smaller_by_what_was_acknowledged_is_taken(talk: Any) -> None:
    socket = talk.connected()
    talk.say(".", 1, 1, window=5000)
    talk.do(lambda now: socket.send(b"abc", now))
    talk.say(".", 1, 4, window=2000)
    assert socket.connection.sender.window == 2000


@clause(
    "RFC 9293", "3.10.7.4", "CLOSE-WAIT, CLOSING, LAST-ACK, TIME-WAIT: this should not occur; ignore the segment text"
)
@pytest.mark.parametrize("state", [State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK])
def test_text_after_the_fin_is_ignored(talk: Any, state: State) -> None:
    socket = talk.in_state(state)
    snd, rcv = NEXT[state]
    talk.say("P.", rcv, snd - (state is not State.CLOSE_WAIT), b"more")
    assert socket.connection.receiver.unread == 0
    assert socket.connection.receiver.nxt - socket.connection.receiver.irs == rcv


@clause("RFC 9293", "3.10.7.4", "segments with higher beginning sequence numbers SHOULD be held for later processing")
def test_text_ahead_of_its_turn_is_held(talk: Any) -> None:
    socket = talk.connected()
    talk.say("P.", 6, 1, b"world")
    assert talk.told() == [". 1:1:0"]
    talk.say("P.", 3, 1, b"llowo")
    talk.say("P.", 1, 1, b"hel")
    assert talk.told()[-1] == ". 1:11:0"
    assert socket.receive(100, talk.now) == b"hello" + b"world"


@clause("RFC 9293", "3.8.5", "A TCP implementation MUST support a sequence of urgent data of any length")
def test_urgent_data_is_told_and_delivered_in_line(talk: Any) -> None:
    socket = talk.connected()
    socket.options.so_oobinline = True
    talk.say("UP.", 1, 1, b"now!", urgent=4)
    events = []
    while (event := socket.next_event()) is not None:
        events.append(event.name)
    assert "URGENT" in events
    assert socket.receive(10, talk.now) == b"now"
    assert socket.receive(10, talk.now) == b"!"


@clause("RFC 6093", "3.1", "virtually all implementations take the pointer for the octet after the urgent data")
@clause("RFC 6093", "3.2", "TCP implementations that deliver urgent data out of band have a buffer of one octet")
def test_the_urgent_octet_is_out_of_band_unless_asked_for_in_line(talk: Any) -> None:
    socket = talk.connected()
    talk.say("UP.", 1, 1, b"now! and then", urgent=4)
    assert socket.receive(100, talk.now) == b"now"
    assert socket.receive_urgent() == b"!"
    with pytest.raises(CallError, match="out of band"):
        socket.receive_urgent()
    assert socket.receive(100, talk.now) == b" and then"
    with pytest.raises(CallError):
        socket.receive_urgent()


# -- 3.7 segment sizes and Nagle


@clause(
    "RFC 9293",
    "3.7.1",
    "If an MSS Option is not received at connection setup, TCP MUST assume a default send MSS of 536",
)
def test_without_an_mss_segments_carry_536_octets(talk: Any) -> None:
    socket = talk.connected(mss=None)
    assert talk.do(lambda now: socket.send(b"x" * 1000, now))[0] == ". 1:1:536"


@clause(
    "RFC 9293",
    "3.7.1",
    "TCP implementations SHOULD send an MSS Option in every SYN segment when its receive MSS differs from the default",
)
def test_the_mss_is_what_the_link_takes(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(mtu=9000)
    talk.connecting()
    assert talk.take()[0].mss == 8960


@clause("RFC 9293", "3.7.4", "If there is unacknowledged data, then the sending TCP endpoint buffers all user data")
def test_nagle_holds_back_a_second_small_segment(talk: Any) -> None:
    socket = talk.connected()
    assert talk.do(lambda now: socket.send(b"a", now)) == ["P. 1:1:1"]
    assert talk.do(lambda now: socket.send(b"b", now)) == []
    assert talk.do(lambda now: socket.send(b"c", now)) == []
    talk.say(".", 1, 2)
    assert talk.told() == ["P. 2:1:2"]


@clause("RFC 9293", "3.7.4", "a TCP implementation MUST allow the application to disable the Nagle algorithm")
def test_nodelay_sends_every_small_segment(talk: Any) -> None:
    options = SocketOptions()
    options.tcp_nodelay = True
    socket = talk.connected(options)
    talk.do(lambda now: socket.send(b"a", now))
    assert talk.do(lambda now: socket.send(b"b", now)) == ["P. 2:1:1"]


def test_cork_holds_a_partial_segment_for_200_ms(talk: Any) -> None:
    options = SocketOptions()
    options.tcp_cork = True
    socket = talk.connected(options)
    assert talk.do(lambda now: socket.send(b"a" * 1500, now)) == [". 1:1:1460"]
    talk.say(".", 1, 1461)
    assert talk.wait(190 * MILLISECOND) == []
    assert talk.wait(30 * MILLISECOND) == ["P. 1461:1:40"]


# -- 3.8 time-outs, probes, keepalive


@clause("RFC 9293", "3.8.3", "R2 ... the connection is closed")
def test_an_unanswered_syn_is_given_up(talk: Any) -> None:
    socket = talk.connecting()
    assert len(talk.wait(130 * SECOND)) == 1 + 10
    assert talk.state(socket) is State.SYN_SENT
    talk.wait(2 * SECOND)
    assert talk.state(socket) is State.CLOSED
    assert socket.connection.error == "ETIMEDOUT"


@clause("RFC 9293", "3.8.3", "R2 ... the connection is closed")
def test_unanswered_data_are_given_up_after_retries2(talk: Any) -> None:
    socket = talk.connected()
    talk.do(lambda now: socket.send(b"x", now))
    talk.wait(900 * SECOND)
    assert talk.state(socket) is State.ESTABLISHED
    talk.wait(200 * SECOND)
    assert talk.state(socket) is State.CLOSED
    assert talk.stack.counters.TCPAbortOnTimeout == 1


@clause(
    "RFC 9293",
    "3.8.6.1",
    "The sending TCP peer must regularly transmit at least one octet of new data even if the send window is zero",
)
def test_a_zero_window_is_probed_until_it_opens(talk: Any) -> None:
    socket = talk.connected()
    talk.say(".", 1, 1, window=0)
    assert talk.do(lambda now: socket.send(b"abc", now)) == []
    assert talk.wait(300 * MILLISECOND) == [". 0:1:0"]
    talk.say(".", 1, 1, window=0)
    assert len(talk.wait(10 * SECOND)) >= 2
    talk.say(".", 1, 1, window=100)
    assert talk.told() == ["P. 1:1:3"]


@clause(
    "RFC 9293", "3.8.6.1", "a sending TCP peer must allow the connection to stay open as long as the receiver answers"
)
def test_an_answered_probe_never_gives_up(talk: Any) -> None:
    socket = talk.connected()
    talk.say(".", 1, 1, window=0)
    talk.do(lambda now: socket.send(b"abc", now))
    for _ in range(60):
        talk.wait(120 * SECOND)
        talk.say(".", 1, 1, window=0)
    assert talk.state(socket) is State.ESTABLISHED


@clause("RFC 9293", "3.8.6.2.1", "send if a maximum-sized segment can be sent, or Fs of the largest window")
def test_a_silly_window_is_not_used(talk: Any) -> None:
    socket = talk.connected()
    talk.say(".", 1, 1, window=10)
    assert talk.do(lambda now: socket.send(b"x" * 3000, now)) == []


@clause("RFC 9293", "3.8.6.2.2", "the receiver should not advance the window in small increments")
def test_a_full_receiver_opens_its_window_in_one_go(talk: Any) -> None:
    options = SocketOptions()
    options.so_rcvbuf = 8000
    socket = talk.connected(options)
    at = 1
    for size in (1460, 1460, 1460, 1460, 1460):
        talk.say(".", at, 1, b"x" * size)
        at += size
    talk.wait(SECOND)
    assert socket.connection.receiver.remaining() < 1460
    socket.receive(10, talk.now)
    talk.flush()
    assert talk.told() == []
    socket.receive(8000, talk.now)
    talk.flush()
    assert len(talk.take()) == 1


@clause("RFC 9293", "3.8.6.3", "an ACK should be generated for at least every second full-sized segment")
def test_every_second_full_segment_is_acknowledged(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(quick_acks=0)
    talk.connected()
    talk.say(".", 1, 1, b"x" * 1460)
    assert talk.told() == []
    talk.say(".", 1461, 1, b"x" * 1460)
    assert talk.told() == [". 1:2921:0"]


@clause("RFC 9293", "3.8.6.3", "the delay MUST be less than 0.5 seconds")
def test_an_ack_is_delayed_by_40_ms(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(quick_acks=0)
    talk.connected()
    talk.say("P.", 1, 1, b"x")
    assert talk.wait(39 * MILLISECOND) == []
    assert talk.wait(MILLISECOND) == [". 1:2:0"]


@clause(
    "RFC 9293",
    "3.8.4",
    "Keep-alive packets MUST only be sent when no sent data is outstanding, and ... default to no less than two hours",
)
def test_keepalive_asks_after_two_hours_and_gives_up_after_nine_probes(talk: Any) -> None:
    options = SocketOptions()
    options.so_keepalive = True
    socket = talk.connected(options)
    assert talk.wait(7199 * SECOND) == []
    assert talk.wait(2 * SECOND) == [". 0:1:0"]
    assert talk.wait(8 * 75 * SECOND) == [". 0:1:0"] * 8
    assert talk.state(socket) is State.ESTABLISHED
    assert talk.wait(75 * SECOND) == ["R. 1:1:0"]
    assert talk.state(socket) is State.CLOSED
    assert socket.connection.error == "ETIMEDOUT"


def test_quickack_sends_a_delayed_ack_at_once(make_talk: Callable[..., Any]) -> None:
    talk = make_talk(quick_acks=0)
    socket = talk.connected()
    talk.say("P.", 1, 1, b"x")
    assert talk.told() == []
    assert talk.do(lambda now: socket.set_quickack(True, now)) == [". 1:2:0"]


@clause("RFC 9293", "3.8.4", "keep-alives MUST be off by default")
def test_without_keepalive_nothing_is_ever_sent(talk: Any) -> None:
    talk.connected()
    assert talk.wait(10 * 86_400 * SECOND) == []


def test_an_answered_keepalive_starts_the_two_hours_again(talk: Any) -> None:
    options = SocketOptions()
    options.so_keepalive = True
    socket = talk.connected(options)
    for _ in range(5):
        assert talk.wait(7200 * SECOND) == [". 0:1:0"]
        talk.say(".", 1, 1)
    assert talk.state(socket) is State.ESTABLISHED


@clause("RFC 9293", "3.9.2.2", "Soft errors MUST NOT abort the connection")
def test_an_unreachable_host_does_not_end_an_open_connection(talk: Any) -> None:
    from lastack.wire.icmp import Problem

    socket = talk.connected()
    talk.do(lambda now: socket.send(b"x", now))
    talk.icmp(Problem.HOST_UNREACHABLE, 1)
    assert talk.state(socket) is State.ESTABLISHED
    talk.wait(1100 * SECOND)
    assert socket.connection.error == "EHOSTUNREACH"


def test_an_error_about_nothing_that_is_out_is_ignored(talk: Any) -> None:
    from lastack.wire.icmp import Problem

    socket = talk.connecting()
    talk.icmp(Problem.PORT_UNREACHABLE, 5000)
    assert talk.state(socket) is State.SYN_SENT
    assert talk.stack.counters.OutOfWindowIcmps == 1
    talk.icmp(Problem.PORT_UNREACHABLE, 0)
    assert talk.state(socket) is State.CLOSED


@clause("RFC 9293", "3.10.5", "ABORT: send a reset segment <SEQ=SND.NXT><CTL=RST>")
@pytest.mark.parametrize(
    "state", [State.SYN_RECEIVED, State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT]
)
def test_abort_resets_where_the_peer_knows_of_us(talk: Any, state: State) -> None:
    socket = talk.in_state(state)
    told = talk.do(socket.abort)
    assert len(told) == 1
    assert told[0].startswith("R. ")
    assert talk.state(socket) is State.CLOSED


@clause("RFC 9293", "3.10.5", "CLOSING, LAST-ACK, TIME-WAIT: respond with 'ok' and delete the TCB, enter CLOSED state")
@pytest.mark.parametrize("state", [State.SYN_SENT, State.CLOSING, State.LAST_ACK])
def test_abort_is_silent_where_all_was_said(talk: Any, state: State) -> None:
    socket = talk.in_state(state)
    assert talk.do(socket.abort) == []
    assert talk.state(socket) is State.CLOSED


def test_linger_zero_resets_instead_of_closing(talk: Any) -> None:
    options = SocketOptions()
    options.so_linger = 0
    socket = talk.connected(options)
    socket.send(b"lost", talk.now)
    assert talk.do(socket.close)[-1].startswith("R. ")
    assert talk.stack.waiting() == 0
    assert talk.stack.counters.TCPAbortOnData == 1
