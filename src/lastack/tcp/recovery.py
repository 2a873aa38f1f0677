"""Loss recovery: when a loss is believed, how far the window is cut, and when it is over.

RFC 8985 (RACK) finds the losses where SACK was agreed, RFC 6582 (NewReno) elsewhere; RFC 6937 (proportional rate
reduction) says how much may be sent meanwhile; RFC 5681 what a time-out means. The states are Linux's tcp_ca_state.
"""

from __future__ import annotations

from typing import Final, final

from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64, mypyc_attr
from lastack.wire.seq import MASK, Seq, before

from .congestion import Controller
from .flight import Flight, Sent
from .reordering import Reordering
from .rtt import Rtt
from .scoreboard import Scoreboard
from .settings import Settings
from .undo import FULL, PARTIAL, REPORTED, SPURIOUS, TIMED_OUT, Undo

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
        "delivered_at",
        "delivered_end",
        "delivered_rtt",
        "dup_threshold",
        "duplicates",
        "echo",
        "entered",
        "flight",
        "high",
        "newly_lost",
        "overcounted",
        "phase",
        "prior_window",
        "prr_delivered",
        "prr_out",
        "reorder_at",
        "reordering",
        "rtt",
        "sack",
        "settings",
        "tail_probe_again",
        "tail_probe_end",
        "undo",
    )

    def __init__(self, flight: Flight, control: Controller, rtt: Rtt, settings: Settings) -> None:
        self.settings = settings
        self.flight = flight
        self.control = control
        self.rtt = rtt
        self.sack = False
        self.dup_threshold: i64 = settings.tcp_reordering
        """So many segments at least have to overtake another, for it to be lost; grows with what is seen."""
        self.reordering: Reordering | None = None
        """None before the first segment is seen to be overtaken."""
        self.phase: i64 = OPEN
        self.high: Seq = 0
        self.duplicates: i64 = 0
        # RACK: when the latest sent of the segments that were delivered was sent, its end, and how long it took.
        self.delivered_at: Nanos64 = -1
        self.delivered_end: Seq = 0
        self.delivered_rtt: Nanos64 = 0
        self.echo: i64 = -1
        """When the timestamp was said that an ACK echoes, in milliseconds; -1: it echoes none."""
        self.board: Scoreboard | None = None
        """What SACKs told, from the first of them on."""
        self.prior_window: i64 = 0
        self.prr_delivered: i64 = 0
        self.prr_out: i64 = 0
        self.newly_lost: i64 = 0
        self.overcounted = False
        """There were more duplicates than segments behind a missing one, so none is missing."""
        self.entered = False
        self.reorder_at: Nanos64 = 0
        """When the reordering timer should look again; 0: it need not."""
        self.tail_probe_end: Seq = -1
        """RFC 8985's TLP.end_seq; -1 where no probe is out."""
        self.tail_probe_again = False
        """The probe was the last segment once more, and not a new one."""
        self.undo: Undo | None = None
        """What may have to be taken back; None before the first loss."""

    def on_ack(self, una: Seq, moved: i64, delivered: i64, duplicate: bool, nxt: Seq, mss: i64, now: Nanos64) -> i64:
        """An ACK was taken in, which moved SND.UNA by so much (tcp_fastretrans_alert).

        `delivered`: segments newly acknowledged or sacked. Gives back how many have arrived: without SACK, duplicates
        have told of some before.
        """
        self.newly_lost = 0
        self.overcounted = False
        self.entered = False
        self.reorder_at = 0
        calm = self.phase == OPEN
        advanced = moved > 0
        if self.duplicates and delivered and advanced:
            delivered = self._explain_duplicates(delivered)
        undo = self.undo
        if undo is not None and (self.phase != OPEN or undo.marker >= 0):
            undo.new_first = False
            if self.phase == LOSS:
                self._after_time_out(undo, una, advanced, duplicate, nxt)
            elif not self._look_back(undo, una, moved, mss):
                self._reduce(delivered, advanced)
                return delivered
        if not self.sack and self.phase != LOSS:
            if advanced and self.phase != RECOVERY:
                self.duplicates = 0
            elif duplicate:
                delivered += self._count_duplicate()
        quiet = not self.flight.sacked and not self.duplicates and not self.flight.lost
        if calm and quiet and (undo is None or not undo.done):
            return delivered
        self._find_losses(advanced, now)
        if self.phase < RECOVERY:
            if self.flight.lost:
                self._enter(nxt, now)
            else:
                self.phase = DISORDER if self.flight.sacked or self.duplicates else OPEN
        if self.phase == RECOVERY:
            self._reduce(delivered, advanced)
        return delivered

    def highest_sacked(self, una: Seq) -> Seq:
        """Up to where something is sacked (tcp_highest_sack_seq)."""
        return una if self.board is None or not self.flight.sacked else self.board.highest

    def overtaken(self, low: Seq, highest: Seq, mss: i64) -> None:
        """What begins at `low` has come after all up to `highest` had (tcp_check_sack_reordering)."""
        span = highest - low
        if span > self.dup_threshold * mss:
            self.dup_threshold = min(-(-span // mss), self.settings.tcp_max_reordering)
        self._note_reordering()

    def _note_reordering(self) -> None:
        if self.reordering is None:
            self.reordering = Reordering()
        self.reordering.seen += 1

    def doubt(self, delivered: int) -> None:
        """An ACK contradicts what was sacked: nothing follows from it but that so many segments were delivered."""
        if self.phase == RECOVERY:
            self.newly_lost = 0
            self._reduce(delivered, True)

    def _look_back(self, undo: Undo, una: Seq, moved: i64, mss: i64) -> bool:
        """Is a recovery over, or was there nothing to recover? False: no losses are to be looked for."""
        reported = undo.marker >= 0 and undo.resent == 0
        if self.phase != RECOVERY:
            if reported:
                self._take_back_reported(undo)
            return True
        if una >= self.high:
            return self._leave(undo, una)
        if moved and undo.marker >= 0 and undo.delayed:
            # The hole was filled by what was late, not by what was sent again (tcp_try_undo_partial).
            self.overtaken(una - moved, self.highest_sacked(una), mss)
            undo.late = True
            if self.flight.resent:
                return False
            self._unmark()
            undo.take_back(self.control, PARTIAL)
            self.phase = OPEN
        elif reported:
            self._take_back_reported(undo)
            self.phase = OPEN
        return True

    def _take_back_reported(self, undo: Undo) -> None:
        """Everything that was sent again had arrived before (tcp_try_undo_dsack)."""
        undo.take_back(self.control, REPORTED)
        if self.reordering is not None:
            self.reordering.recovered(in_vain=True)

    def _leave(self, undo: Undo, una: int) -> bool:
        """Everything that was out when the loss was found has arrived (tcp_try_undo_recovery). False: we stay in it."""
        if undo.possible():
            undo.take_back(self.control, FULL if self.phase == RECOVERY else TIMED_OUT)
        elif self.reordering is not None:
            self.reordering.recovered(in_vain=False)
        self.duplicates = 0
        if una == self.high and not self.sack:
            # RFC 6582 3.2: duplicates of before must not begin a second recovery; something newer has to be heard of.
            return False
        if self.phase == RECOVERY and undo.marker >= 0:
            self.control.window = self.control.threshold
        self.phase = OPEN
        return True

    def _after_time_out(self, undo: Undo, una: int, advanced: bool, duplicate: bool, nxt: int) -> None:
        """After a time-out: see whether it was one (RFC 5682 2.1 and 3.1, tcp_process_loss)."""
        if advanced and undo.possible():
            self._unmark()
            undo.take_back(self.control, TIMED_OUT)
            if self.sack:
                self.phase = OPEN
            return
        if undo.frto:
            if undo.original:
                # Step 3.b: what was sent once, and never again, has arrived.
                self._unmark()
                undo.take_back(self.control, SPURIOUS)
                if self.sack or una != self.high:
                    self.phase = OPEN
                return
            if nxt > self.high:
                # Step 3.a: what is missing is missing.
                undo.frto = not duplicate
            elif advanced and una < self.high:
                # Step 2.b: see what becomes of new text before anything is sent again.
                self.high = nxt
                undo.frto = undo.new_first = undo.new_waits
                if undo.new_first:
                    return
        if una >= self.high:
            self._leave(undo, una)
        elif not self.sack:
            if nxt > self.high and duplicate:
                self._count_duplicate()
            elif advanced:
                self.duplicates = 0

    def _unmark(self) -> None:
        """Nothing was lost."""
        flight = self.flight
        for sent in flight.out():
            sent.lost = False
        flight.lost = 0

    def _explain_duplicates(self, acked: i64) -> i64:
        """Of what is acknowledged now, all but the first that was missing made the duplicates (tcp_remove_reno_sacks).

        How many of them no duplicate has told of.
        """
        told = self.duplicates
        self.duplicates = max(told - (acked - 1), 0)
        self._limit_duplicates(acked)
        return max(acked - told, 1)

    def _count_duplicate(self) -> i64:
        """Without SACK a duplicate ACK says that one was delivered, not which (RFC 6582 3). How many it tells of."""
        told = self.duplicates
        self.duplicates += 1
        self._limit_duplicates(0)
        return self.duplicates - told

    def _limit_duplicates(self, acked: i64) -> None:
        """One of those that are out is missing, or it was only overtaken: no more than the others can have arrived.

        Sources: tcp_limit_reno_sacked, tcp_check_reno_reordering.
        """
        count = self.flight.count
        most = max(count - max(self.flight.lost, 1), 0)
        if self.duplicates > most:
            self.duplicates = most
            self.overcounted = True
            self.dup_threshold = min(count + acked, self.settings.tcp_max_reordering)
            self._note_reordering()

    def _find_losses(self, advanced: bool, now: Nanos64) -> None:
        flight = self.flight
        if self.sack:
            self._detect(self._reordering_window(), now)
        elif flight.count and (
            (self.phase == RECOVERY and advanced)
            or (self.phase != LOSS and not flight.lost and self.duplicates >= self.dup_threshold)
        ):
            # RFC 6582 3.2: the third duplicate, and every partial ACK, says that the first one out was lost.
            head = flight.first()
            if not head.lost or not head.resent:
                flight.mark_lost(head)
                self.newly_lost = 1

    def delivered(self, sent: Sent, now: Nanos64) -> None:
        """RFC 8985 6.2 step 2: take note of a segment that was delivered."""
        rtt = now - sent.sent_at
        if sent.times > 1:
            spurious = self.echo >= 0 and before(self.echo, sent.sent_at // MILLISECOND & MASK)
            if spurious or rtt < self.rtt.min_rtt:
                # It answers an earlier sending, not this one.
                return
        self.delivered_rtt = rtt
        at = self.delivered_at
        if sent.sent_at > at or (sent.sent_at == at and sent.end > self.delivered_end):
            self.delivered_at = sent.sent_at
            self.delivered_end = sent.end

    def _reordering_window(self) -> Nanos64:
        """RFC 8985 6.2 step 4: how long to wait for what may only be late."""
        reordering = self.reordering
        if reordering is None:
            impatient = self.phase >= RECOVERY or self.flight.sacked >= self.dup_threshold
            return 0 if impatient else min(self.rtt.min_rtt // 4, self.rtt.smoothed)
        return min(self.rtt.min_rtt // 4 * reordering.steps, self.rtt.smoothed)

    def _detect(self, allowed: Nanos64, now: Nanos64) -> None:
        """RFC 8985 6.2 step 5: mark what was sent earlier than something delivered, and long enough ago."""
        flight, at = self.flight, self.delivered_at
        self.newly_lost = 0
        latest: Nanos64 = 0
        for index in range(flight.head, len(flight.records)):
            sent = flight.records[index]
            if sent.sent_at > at or (sent.sent_at == at and sent.end >= self.delivered_end):
                if sent.times == 1:
                    # What follows was first sent later still.
                    break
                continue
            if sent.sacked or (sent.lost and not sent.resent):
                continue
            left = sent.sent_at + self.delivered_rtt + allowed - now
            if left <= 0:
                flight.mark_lost(sent)
                self.newly_lost += 1
            else:
                latest = max(latest, left)
        self.reorder_at = now + latest if latest else 0

    def _enter(self, nxt: Seq, now: Nanos64) -> None:
        """Begin fast recovery (RFC 6675 5, step 4)."""
        self._remember(self.flight.first().seq, reducing=False)
        self.phase = RECOVERY
        self.entered = True
        self.high = nxt
        self.prior_window = self.control.window
        self.control.threshold = self.control.threshold_after_loss(now)
        self.control.count = 0
        self.prr_delivered = 0
        self.prr_out = 0
        self.tail_probe_end = -1

    def _reduce(self, delivered: i64, advanced: bool) -> None:
        """RFC 6937 3.1, with the slow start reduction bound."""
        if delivered <= 0:
            return
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

    def _remember(self, una: int, reducing: bool) -> Undo:
        """Keep what is about to be cut."""
        undo = self.undo
        if undo is None:
            undo = self.undo = Undo()
        if self.phase < RECOVERY:
            undo.stamp = -1
        undo.begin(una, self.flight.resent, self.control, reducing)
        return undo

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

    def timed_out(self, una: Seq, nxt: Seq, again: bool, frto: bool, now: Nanos64) -> None:
        """RFC 5681 3.1, RFC 6675 5.1: everything out is taken for lost and sending starts again with one segment.

        `again`: nothing was acknowledged since the time-out before; the threshold is not cut twice for one loss.
        `frto`: see first whether it was one (RFC 5682).
        """
        flight = self.flight
        undo = self.undo
        usual = self.settings.tcp_reordering
        if self.phase < RECOVERY and flight.sacked >= usual:
            # So many have arrived, and still it was none that was only overtaken (tcp_enter_loss).
            self.dup_threshold = min(self.dup_threshold, usual)
        if undo is None or self.phase < RECOVERY or una >= self.high or (self.phase == LOSS and not again):
            undo = self._remember(una, reducing=self.phase == RECOVERY)
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
            if index and self.sack and sent.sent_at + self.delivered_rtt > now:
                continue
            flight.mark_lost(sent)
        undo.frto = frto and (self.phase < RECOVERY or again)
        undo.new_first = False
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
            self._reduce(1, False)

    def tail_probe_repaired(self, now: Nanos64) -> None:
        """What the probe sent again had been lost: the window is cut as for any loss (RFC 8985 7.4.2)."""
        self.control.threshold = self.control.threshold_after_loss(now)
        self.control.window = self.control.threshold
        self.control.count = 0

    def resend_all(self, nxt: Seq) -> None:
        """The path got narrower: what is out must go again, and that is no congestion (tcp_simple_retransmit)."""
        if self.phase != LOSS and self.flight.count:
            undo = self._remember(self.flight.first().seq, reducing=self.phase == RECOVERY)
            self.control.threshold = undo.threshold
            undo.marker = -1
            undo.frto = False
            self.phase = LOSS
            self.high = nxt
