"""Loss recovery: when a loss is believed, how far the window is cut, and when it is over.

RFC 8985 (RACK) finds the losses where SACK was agreed, RFC 6582 (NewReno) elsewhere; RFC 6937 (proportional rate
reduction) says how much may be sent meanwhile; RFC 5681 what a time-out means. The states are Linux's tcp_ca_state.
"""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import Nanos64
from lastack.native import i64, mypyc_attr
from lastack.wire.seq import Seq

from .congestion import Controller
from .flight import Flight
from .rtt import Rtt
from .scoreboard import Rack, Scoreboard

# Where recovery stands (tcp_ca_state; CWR, 2, is not used, for there is no ECN). Plain numbers for their speed.
OPEN: Final = 0
DISORDER: Final = 1
RECOVERY: Final = 3
LOSS: Final = 4


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Recovery:
    """Works on a flight, a window and a round-trip estimate, and tells what it did by its fields."""

    __slots__ = (
        "board",
        "control",
        "duplicates",
        "entered",
        "flight",
        "high",
        "newly_lost",
        "phase",
        "prior_window",
        "prr_delivered",
        "prr_out",
        "rack",
        "reorder_at",
        "reordering",
        "rtt",
        "sack",
        "tail_probe_end",
    )

    def __init__(self, flight: Flight, control: Controller, rtt: Rtt, reordering: i64) -> None:
        self.flight = flight
        self.control = control
        self.rtt = rtt
        self.sack = False
        self.reordering: i64 = reordering
        self.phase: i64 = OPEN
        self.high: Seq = 0
        self.duplicates: i64 = 0
        self.rack = Rack()
        self.board: Scoreboard | None = None
        """What SACKs told, from the first of them on."""
        self.prior_window: i64 = 0
        self.prr_delivered: i64 = 0
        self.prr_out: i64 = 0
        self.newly_lost: i64 = 0
        self.entered = False
        self.reorder_at: Nanos64 = 0
        """When the reordering timer should look again; 0: it need not."""
        self.tail_probe_end: Seq = -1
        """RFC 8985's TLP.end_seq; -1 where no probe is out."""

    def on_ack(self, una: Seq, advanced: bool, delivered: i64, duplicate: bool, nxt: Seq, now: Nanos64) -> None:
        """An ACK was taken in: `delivered` segments newly acknowledged or sacked (tcp_fastretrans_alert)."""
        self.newly_lost = 0
        self.entered = False
        self.reorder_at = 0
        if self.phase != OPEN and una >= self.high and advanced:
            self._leave()
        if not self.sack:
            self._count_duplicates(advanced, duplicate)
        if self.phase == OPEN and not self.flight.sacked and not self.duplicates and not self.flight.lost:
            return
        self._find_losses(advanced, now)
        if self.phase >= RECOVERY:
            if self.phase == RECOVERY:
                self._reduce(delivered, advanced)
            return
        if self.flight.lost:
            self._enter(nxt, now)
            self._reduce(delivered, advanced)
        else:
            self.phase = DISORDER if self.flight.sacked or self.duplicates else OPEN

    def _count_duplicates(self, advanced: bool, duplicate: bool) -> None:
        """Without SACK a duplicate ACK says that something was delivered, not what (RFC 6582 3)."""
        if advanced:
            self.duplicates = 0
        elif duplicate:
            # One of those that are out is missing: no more than the others can have arrived (tcp_limit_reno_sacked).
            most = self.flight.count - max(self.flight.lost, 1)
            self.duplicates = min(self.duplicates + 1, max(most, 0))

    def _find_losses(self, advanced: bool, now: Nanos64) -> None:
        flight = self.flight
        if self.sack:
            rtt = self.rtt
            recovering = self.phase >= RECOVERY
            allowed = self.rack.window(rtt.min_rtt, rtt.smoothed, flight.sacked, self.reordering, recovering)
            self.newly_lost, self.reorder_at = self.rack.detect(flight, allowed, now)
        elif flight.count and (
            (self.phase == RECOVERY and advanced)
            or (self.phase != LOSS and not flight.lost and self.duplicates >= self.reordering)
        ):
            # RFC 6582 3.2: the third duplicate, and every partial ACK, says that the first one out was lost.
            head = flight.first()
            if not head.lost or not head.resent:
                flight.mark_lost(head)
                self.newly_lost = 1

    def _enter(self, nxt: Seq, now: Nanos64) -> None:
        """Begin fast recovery (RFC 6675 5, step 4)."""
        self.phase = RECOVERY
        self.entered = True
        self.high = nxt
        self.prior_window = self.control.window
        self.control.threshold = self.control.threshold_after_loss(now)
        self.prr_delivered = 0
        self.prr_out = 0
        self.tail_probe_end = -1

    def _reduce(self, delivered: i64, advanced: bool) -> None:
        """RFC 6937 3.1, with the slow start reduction bound."""
        control = self.control
        out = self.in_network()
        room = control.threshold - out
        self.prr_delivered += delivered
        if room < 0:
            wanted = (control.threshold * self.prr_delivered + self.prior_window - 1) // max(self.prior_window, 1)
            count = wanted - self.prr_out
        else:
            count = max(self.prr_delivered - self.prr_out, delivered)
            if advanced and not self.newly_lost:
                count += 1
            count = min(count, room)
        # Something is always sent on entering: the fast retransmission itself.
        control.window = max(out + max(count, 0 if self.prr_out else 1), 1)

    def _leave(self) -> None:
        """Everything that was out when the loss was found has arrived."""
        if self.phase == RECOVERY:
            self.control.window = self.control.threshold
        self.phase = OPEN
        self.duplicates = 0

    def in_network(self) -> i64:
        """Segments believed to be on their way: Linux's tcp_packets_in_flight(), RFC 6675's pipe in segments.

        Without SACK every duplicate ACK tells of one that has arrived.
        """
        flight = self.flight
        out = flight.count - flight.sacked - flight.lost + flight.resent
        if self.duplicates and not self.sack:
            out -= min(self.duplicates, flight.count - flight.lost)
        if out < 0:
            return 0
        return out

    def may_grow(self) -> bool:
        """Whether ACKs open the window now: not while it is being cut."""
        return self.phase != RECOVERY

    def timed_out(self, una: Seq, nxt: Seq, again: bool, now: Nanos64) -> None:
        """RFC 5681 3.1, RFC 6675 5.1: everything out is taken for lost and sending starts again with one segment.

        `again`: nothing was acknowledged since the time-out before; the threshold is not cut twice for one loss.
        """
        flight = self.flight
        if self.phase < RECOVERY or una >= self.high or (self.phase == LOSS and not again):
            self.control.threshold = self.control.threshold_after_loss(now)
            self.control.timed_out()
        records = flight.out()
        if records and records[0].sacked:
            # RFC 2018 8: the receiver has gone back on its word.
            if self.board is not None:
                self.board.forget()
            for sent in records:
                if sent.sacked:
                    sent.sacked = False
                    flight.sacked -= 1
        for index, sent in enumerate(records):
            if sent.sacked:
                continue
            if index and self.sack and sent.sent_at + self.rack.rtt > now:
                continue
            flight.mark_lost(sent)
        self.duplicates = 0
        self.phase = LOSS
        self.high = nxt
        self.control.window = self.in_network() + 1
        self.control.count = 0
        self.tail_probe_end = -1

    def reordering_timed_out(self, nxt: Seq, now: Nanos64) -> None:
        """RFC 8985 6.3: what was only suspected is lost now."""
        self.newly_lost = 0
        self.entered = False
        self._find_losses(False, now)
        if self.flight.lost and self.phase < RECOVERY:
            self._enter(nxt, now)
            self._reduce(0, False)

    def resend_all(self, nxt: Seq) -> None:
        """The path got narrower: what is out must go again, and that is no congestion (tcp_simple_retransmit)."""
        if self.phase != LOSS:
            self.phase = LOSS
            self.high = nxt
