"""Ways to break the engine, each of them a mistake that somebody has made: the explorer must see every one.

A mutation is given pytest's monkeypatch, and names the scenario in which it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import pytest

from lastack.model.state import State
from lastack.model.time import Nanos
from lastack.stack import passive, schedule, sock
from lastack.tcp import arrival, departure, output, syn_sent, timeouts
from lastack.tcp.receiver import Receiver
from lastack.tcp.tcb import Tcb
from lastack.tcp.timers import NEVER
from lastack.wire import Segment
from lastack.wire.flags import ACK, FIN

from .scenario import Scenario, plain
from .scenarios import ABORT, AGAIN, BOTH_OPEN, CRASH, EXCHANGE, STAMPED

Patch = pytest.MonkeyPatch


class Mutation(NamedTuple):
    """What is broken, in words; how; and where it shows, with a part of what the explorer says."""

    name: str
    scenario: Scenario
    says: str
    apply: Callable[[Patch], None]


def _ack_off_by_one(patch: Patch) -> None:
    segment = Tcb.segment

    def wrong(self: Tcb, seq: int, flags: int, payload: bytes, now: Nanos) -> Segment:
        made = segment(self, seq, flags, payload, now)
        made.ack = (made.ack + 1) & 0xFFFF_FFFF
        return made

    patch.setattr(Tcb, "segment", wrong)


def _fin_is_not_repeated(patch: Patch) -> None:
    again = output._again

    def wrong(tcb: Tcb, sent: object, now: Nanos) -> Segment:
        made = again(tcb, sent, now)  # type: ignore[arg-type]
        made.flags &= ~FIN
        return made

    patch.setattr(output, "_again", wrong)


def _no_retransmission_timer(patch: Patch) -> None:
    patch.setattr(output, "_arm_after_sending", lambda tcb, now: None)


def _closing_skips_time_wait(patch: Patch) -> None:
    patch.setattr(departure, "time_wait", lambda tcb, cause, now: tcb.move(State.CLOSED, cause, now))


def _no_paws(patch: Patch) -> None:
    patch.setattr(Receiver, "stale", lambda self, value, now: False)
    patch.setattr("lastack.stack.waiting._stale", lambda *args: False)


def _old_text_is_new(patch: Patch) -> None:
    in_turn = arrival._in_turn

    def wrong(tcb: Tcb, segment: Segment, seq: int, data: bytes, fin: bool, now: Nanos) -> None:
        in_turn(tcb, segment, max(seq, tcb.receiver.nxt), data, fin, now)

    patch.setattr(arrival, "_in_turn", wrong)


def _end_of_file_before_its_turn(patch: Patch) -> None:
    def wrong(tcb: Tcb, seq: int, data: bytes, fin: bool) -> None:
        tcb.receiver.acks_owed += 1
        if fin:
            departure.fin_received(tcb, tcb.receiver.last_data_at)

    patch.setattr(arrival, "_ahead", wrong)


def _half_open_is_not_reset(patch: Patch) -> None:
    patch.setattr(passive, "reset_for", lambda segment: None)


def _fin_forgets_to_count(patch: Patch) -> None:
    received = departure.fin_received

    def wrong(tcb: Tcb, now: Nanos) -> None:
        received(tcb, now)
        tcb.receiver.nxt -= 1

    patch.setattr(arrival, "fin_received", wrong)


def _delayed_ack_forgotten(patch: Patch) -> None:
    patch.setattr(timeouts, "_delayed_ack", lambda tcb: None)


def _poll_changes_its_mind(patch: Patch) -> None:
    acknowledgement = output._acknowledgement

    def wrong(tcb: Tcb, now: Nanos) -> Segment | None:
        armed = tcb.delayed_ack_at != NEVER
        return tcb.segment(tcb.sender.nxt, ACK, b"", now) if armed else acknowledgement(tcb, now)

    patch.setattr(output, "_acknowledgement", wrong)


def _timer_lost_in_the_schedule(patch: Patch) -> None:
    arm = schedule.Schedule.arm

    def wrong(self: schedule.Schedule, socket: sock.Socket, at: Nanos) -> None:
        if socket.connection.state is not State.LAST_ACK:
            arm(self, socket, at)

    patch.setattr(schedule.Schedule, "arm", wrong)


def _crossing_syns_are_refused(patch: Patch) -> None:
    synchronize = syn_sent._synchronize

    def wrong(tcb: Tcb, segment: Segment, ack: int, now: Nanos) -> None:
        if segment.flags & ACK:
            synchronize(tcb, segment, ack, now)
        else:
            tcb.move(State.ESTABLISHED, "rcv SYN", now)

    patch.setattr(syn_sent, "_synchronize", wrong)


def _closing_is_taken_for_fin_wait_2(patch: Patch) -> None:
    received = departure.fin_received

    def wrong(tcb: Tcb, now: Nanos) -> None:
        if tcb.state is State.FIN_WAIT_1:
            tcb.move(State.FIN_WAIT_2, "rcv FIN", now)
        received(tcb, now)

    patch.setattr(arrival, "fin_received", wrong)


def _unread_text_is_forgotten(patch: Patch) -> None:
    take = Receiver.take

    def wrong(self: Receiver, data: bytes) -> None:
        take(self, data)
        if self.chunks is not None and len(self.chunks) > 1:
            self.unread -= len(self.chunks.pop(0))

    patch.setattr(Receiver, "take", wrong)


MUTATIONS: Final = (
    Mutation("every ACK is one too high", EXCHANGE, "gives up in", _ack_off_by_one),
    Mutation("a FIN is not sent again", EXCHANGE, "gives up in FIN_WAIT_1", _fin_is_not_repeated),
    Mutation("no retransmission timer", EXCHANGE, "no timer watches it", _no_retransmission_timer),
    Mutation("the active closer does not wait", EXCHANGE, "FIN_WAIT_2 ended by", _closing_skips_time_wait),
    Mutation("the FIN takes no sequence number", EXCHANGE, "", _fin_forgets_to_count),
    Mutation("old text is taken for new", EXCHANGE, "received what was not sent", _old_text_is_new),
    Mutation("the end of file overtakes the text", EXCHANGE, "end of file after 0 of 1", _end_of_file_before_its_turn),
    Mutation("CLOSING is left out", EXCHANGE, "TIME_WAIT", _closing_is_taken_for_fin_wait_2),
    Mutation("the delayed ACK is forgotten", EXCHANGE, "", _delayed_ack_forgotten),
    Mutation("poll changes its mind", EXCHANGE, "poll said None, then", _poll_changes_its_mind),
    Mutation("the schedule loses a timer", EXCHANGE, "the stack wakes at", _timer_lost_in_the_schedule),
    Mutation("crossing SYNs are believed at once", BOTH_OPEN, "SYN_SENT", _crossing_syns_are_refused),
    Mutation("a half-open connection is not reset", CRASH, "nobody has told it", _half_open_is_not_reset),
    Mutation("text is lost before it is read", ABORT, "", _unread_text_is_forgotten),
    Mutation(
        "TIME_WAIT is switched off",
        replace(AGAIN, settings=plain(time_wait_ms=0)),
        "not for each other",
        lambda patch: None,
    ),
    Mutation("timestamps are not looked at", STAMPED, "while", _no_paws),
)
