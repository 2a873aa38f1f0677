"""A segment arrives in SYN_RECEIVED or a synchronized state: the eight steps of RFC 9293 3.10.7.4, in their order.

Each step answers whether the next one follows. Sequence numbers are unwrapped on entry, once.
"""

from __future__ import annotations

from typing import Final

from lastack.model.close import CloseKind
from lastack.model.state import State, bits
from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64
from lastack.wire.flags import ACK, FIN, PSH, RST, SYN, URG
from lastack.wire.segment import Segment
from lastack.wire.seq import HALF, MASK, Seq, before, expand

from . import events, handshake, output
from .departure import fin_acknowledged, fin_received, reset_to, stop_lingering
from .members import ESTABLISHED, SYN_RECEIVED
from .sender import NOTHING, Acked
from .tcb import FIN_RECEIVED_BITS, FIN_WAITS, GONE, RECEIVES_TEXT_BITS, SYN_RECEIVED_BIT, Tcb
from .timers import PROBE, RETRANSMIT
from .undo import FULL, PARTIAL, SPURIOUS, TIMED_OUT, Undo
from .undo import NOTHING as NOT_UNDONE

_RESET_PIPE: Final[i64] = bits(State.CLOSE_WAIT)
_ONE_BEFORE: Final[i64] = bits(State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING)
_ESTABLISHED: Final[i64] = bits(State.ESTABLISHED, State.CLOSE_WAIT)
_FIN_OUT: Final[i64] = bits(State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


def arrive(tcb: Tcb, segment: Segment, now: Nanos64) -> None:
    """All eight steps."""
    seq = tcb.receiver.nxt
    if segment.seq != seq & MASK:
        # Not the next in order, as nearly all are.
        seq = expand(segment.seq, seq)
    flags = segment.flags
    end = seq + len(segment.payload)
    if flags & SYN:
        end += 1
    if flags & FIN:
        end += 1
    if not flags & (ACK | RST | SYN) or not _sequence(tcb, segment, seq, end, now):
        # Without any of the three nothing of the segment can be acceptable in the end.
        return
    if flags & RST:
        _reset(tcb, segment, seq, now)
        return
    if flags & SYN and not _synchronize(tcb, segment, seq, now):
        return
    if not flags & ACK or not _acknowledge(tcb, segment, seq, end, now):
        return
    if seq == end and not flags & URG:
        return
    if tcb.leaving and not flags & FIN and end <= tcb.receiver.nxt:
        # A row is left of it, and this segment has done its work.
        return
    if flags & URG:
        _urgent(tcb, segment, seq)
    if flags & SYN:
        # It was had before, and Linux says so (tcp_data_queue).
        _duplicate_seen(tcb, seq, seq + 1)
        tcb.receiver.acks_owed += 1
        seq += 1
    if seq != end:
        text_and_fin(tcb, segment, seq, now)


def _sequence(tcb: Tcb, segment: Segment, seq: Seq, end: Seq, now: Nanos64) -> bool:
    """First, check the sequence number; before it the timestamp (RFC 7323 5.3 R1 and R2)."""
    receiver = tcb.receiver
    stamp = segment.stamp
    late = stamp >= 0 and tcb.timestamps and not 0 <= stamp - receiver.ts_recent < HALF
    # RFC 7323 5.3: a RST is never refused for its timestamp.
    if late and not segment.flags & RST and receiver.stale(stamp, now):
        if _late_acknowledgement(tcb, segment, seq):
            return True
        if segment.flags & SYN:
            _challenge_syn(tcb, now)
            return False
        if segment.flags & ACK and seq == end and seq < receiver.nxt:
            # ACKs that were overtaken are common, and no reason for one of ours.
            tcb.counters.PAWSOldAck += 1
            return False
        tcb.counters.PAWSEstab += 1
        if not segment.length and tcb.limited(now):
            tcb.counters.TCPACKSkippedPAWS += 1
        else:
            _duplicate_seen(tcb, seq, end)
            receiver.acks_owed += 1
        return False
    # What ends where the last ACK was sent is old, but its own ACK may be news (tcp_sequence).
    if receiver.acked <= end and (seq <= receiver.nxt or seq <= receiver.acked + receiver.window):
        return True
    if segment.flags & RST:
        if _one_before(tcb, seq):
            _reset_by_peer(tcb, now)
    elif segment.flags & SYN:
        _challenge_syn(tcb, now)
    elif seq == end and tcb.limited(now):
        tcb.counters.TCPACKSkippedSeq += 1
    else:
        _duplicate_seen(tcb, seq, end)
        receiver.acks_owed += 1
    return False


def _late_acknowledgement(tcb: Tcb, segment: Segment, seq: Seq) -> bool:
    """Whether a bare ACK with an old timestamp was only overtaken on its way (tcp_disordered_ack)."""
    sender = tcb.sender
    if not segment.flags & ACK or segment.length or seq != tcb.receiver.nxt:
        return False
    ack = expand(segment.ack, sender.una)
    behind = (tcb.receiver.ts_recent - segment.stamp) & MASK
    replay = sender.rtt.rto * 6 // 5 // MILLISECOND
    return ack == sender.una and not sender.newer_window(segment.window << sender.scale, seq, ack) and behind <= replay


def _one_before(tcb: Tcb, seq: Seq) -> bool:
    """Whether a RST comes from a peer whose FIN took a number that its RST does not count (tcp_reset_check)."""
    return seq == tcb.receiver.nxt - 1 and bool(tcb.bit & _ONE_BEFORE)


def _duplicate_seen(tcb: Tcb, seq: Seq, end: Seq) -> None:
    """Text that was had before is reported (RFC 2883 4.1), and ACKs are quick for a while."""
    receiver = tcb.receiver
    if end > seq and seq < receiver.nxt:
        receiver.quicken_now()
        if tcb.sack and tcb.settings.tcp_dsack:
            receiver.duplicate = (seq, min(end, receiver.nxt))
            tcb.counters.TCPDSACKOldSent += 1


def _reset(tcb: Tcb, segment: Segment, seq: Seq, now: Nanos64) -> None:
    """Second, check the RST bit: at RCV.NXT, or the end of what was sacked, it is believed (RFC 5961 3.2)."""
    receiver = tcb.receiver
    held = receiver.reassembly
    if seq == receiver.nxt or _one_before(tcb, seq) or (held is not None and tcb.sack and seq == held.highest):
        _reset_by_peer(tcb, now)
    else:
        tcb.challenge(now)


def _reset_by_peer(tcb: Tcb, now: Nanos64) -> None:
    """The peer's RST ends the connection; what its owner is told depends on the state (tcp_reset)."""
    if tcb.state is SYN_RECEIVED:
        tcb.counters.TcpAttemptFails += 1
        if tcb.active:
            tcb.fail("ECONNREFUSED", CloseKind.REFUSED, "rcv RST", now)
        else:
            tcb.end(CloseKind.RESET_RECEIVED, "rcv RST", now)
        return
    tcb.tally.reset_cause = tcb.tally.reset_cause or "reset by peer"
    tcb.fail(_reset_error(tcb), CloseKind.RESET_RECEIVED, "rcv RST", now)


def _reset_error(tcb: Tcb) -> str:
    """What a writer is told of a RST, in either direction (tcp_reset)."""
    return "EPIPE" if tcb.bit & _RESET_PIPE else "ECONNRESET"


def _synchronize(tcb: Tcb, segment: Segment, seq: Seq, now: Nanos64) -> bool:
    """Fourth, check the SYN bit: only crossing SYNs have a place here, all else is challenged (RFC 5961 4.2)."""
    receiver, sender = tcb.receiver, tcb.sender
    if (
        tcb.state is SYN_RECEIVED
        and segment.flags & ACK
        and seq == receiver.irs
        and segment.length == 1
        and expand(segment.ack, sender.una) == sender.nxt
    ):
        return True
    _challenge_syn(tcb, now)
    return False


def _challenge_syn(tcb: Tcb, now: Nanos64) -> None:
    tcb.counters.TCPSYNChallenge += 1
    tcb.challenge(now)


def _acknowledge(tcb: Tcb, segment: Segment, seq: Seq, end: Seq, now: Nanos64) -> bool:
    """Fifth, check the ACK field."""
    sender = tcb.sender
    ack = sender.nxt
    if segment.ack != ack & MASK:
        ack = expand(segment.ack, sender.una)
    if tcb.bit & SYN_RECEIVED_BIT and not sender.una < ack <= sender.nxt:
        tcb.reply(reset_to(tcb, segment.ack))
        return False
    if ack <= sender.nxt and (ack >= sender.una or _predicted(tcb, segment, seq)):
        tcb.receiver.remember(segment.stamp, seq, now)
    if ack > sender.nxt or (ack < sender.una and ack < sender.una - _oldest_ack(tcb)):
        # RFC 5961 5.2: an ACK of what was never sent, or of long ago, is dropped and answered with an ACK.
        tcb.challenge(now)
        return False
    if ack < sender.una:
        return True
    window = segment.window if segment.flags & SYN else segment.window << sender.scale
    sender.heard_at = now
    # What tells of a window is no duplicate, and neither is what carries text (FLAG_NOT_DUP).
    duplicate = ack == sender.una and seq == end
    if window != sender.window or not window or seq != sender.wl1:
        duplicate = not sender.update_window(window, seq, ack) and duplicate
    acked = NOTHING
    flight = sender.flight
    if flight.count or segment.sack or sender.recovery.tail_probe_end >= 0:
        # What follows is of no concern to who has nothing out.
        if sender.total_retransmits:
            # What was sent again later than this cannot be what has arrived (RFC 8985 6.2, tcp_skb_spurious_retrans).
            echoes = tcb.timestamps and segment.stamp >= 0 and segment.ts_echo
            sender.recovery.echo = (segment.ts_echo - tcb.ts_offset) & MASK if echoes else -1
        duplicate = duplicate and flight.count > 0
        acked = sender.acknowledge(ack, segment.sack, now)
        _measure(tcb, segment, acked, now)
        _recover(tcb, segment, acked, duplicate or bool(segment.sack), now)
    if tcb.bit & SYN_RECEIVED_BIT:
        sender.wl1 = seq
        sender.window = window
        handshake.established(tcb, "rcv ACK of SYN", now)
    sender.probes = 0
    if tcb.waiting_room or acked.fin or tcb.armed_for == PROBE:
        _after_acknowledge(tcb, acked, bool(segment.flags & FIN), now)
    return not tcb.bit & GONE


def _predicted(tcb: Tcb, segment: Segment, seq: Seq) -> bool:
    """Whether Linux's header prediction takes a segment, which looks at its ACK later than at its timestamp."""
    receiver, sender = tcb.receiver, tcb.sender
    in_order = seq == receiver.nxt and receiver.reassembly is None
    return tcb.state is ESTABLISHED and in_order and segment.window << sender.scale == sender.window


def _oldest_ack(tcb: Tcb) -> i64:
    """How far behind SND.UNA an ACK may be: the largest window, or all that was acknowledged (RFC 5961 5.2).

    Linux counts the SYN of an active opener as acknowledged, and not that of a passive one (bytes_acked).
    """
    sender = tcb.sender
    return min(sender.max_window, sender.una - sender.iss - (0 if tcb.active else 1))


def _measure(tcb: Tcb, segment: Segment, acked: Acked, now: Nanos64) -> None:
    """One round-trip measurement, from segments sent once, else from the echoed timestamp (RFC 7323 4.1)."""
    measured = acked.rtt
    if measured < 0 and acked.whole and tcb.timestamps and segment.stamp >= 0 and segment.ts_echo:
        elapsed = (tcb.clock(now) - segment.ts_echo) & MASK
        measured = max(elapsed, 1) * MILLISECOND if elapsed < HALF - 1 else -1
    if measured >= 0:
        # RFC 6298 5: until something is measured the time-out stays backed off.
        tcb.sender.rtt.sample(measured, tcb.sender.una, tcb.sender.nxt, now)


def _recover(tcb: Tcb, segment: Segment, acked: Acked, duplicate: bool, now: Nanos64) -> None:
    """Congestion control and loss recovery for one ACK (RFC 5681, RFC 6582, RFC 6675, RFC 8985)."""
    sender = tcb.sender
    recovery = sender.recovery
    flight = sender.flight
    if acked.moved and flight.count and flight.first().sacked:
        # The receiver may have gone back on its word (RFC 2018 8), and is soon asked (tcp_check_sack_reneging).
        tcb.arm(RETRANSMIT, now + max(sender.rtt.smoothed // 2, 10 * MILLISECOND))
        recovery.doubt(acked.segments)
        return
    undo = recovery.undo
    if undo is not None:
        _look_back(tcb, undo, segment, acked, now)
    if acked.overtaken or segment.sack:
        _count_sacks(tcb, acked, bool(segment.sack))
    delivered = recovery.on_ack(sender.una, acked.moved, acked.segments, duplicate, sender.nxt, sender.mss, now)
    if recovery.overcounted:
        tcb.counters.TCPRenoReorder += 1
    if undo is not None:
        tcb.counters.TCPTSReorder += 1 if undo.late else 0
        if undo.done:
            _undone(tcb, undo)
    if recovery.entered:
        if recovery.sack:
            tcb.counters.TCPSackRecovery += 1
        else:
            tcb.counters.TCPRenoRecovery += 1
    forward = acked.whole or recovery.dup_threshold > tcb.settings.tcp_reordering
    if forward and delivered and recovery.may_grow() and not acked.syn and sender.fills_window():
        sender.control.acknowledged(delivered, sender.rtt.latest, now)
    if 0 <= recovery.tail_probe_end <= sender.una:
        _tail_probe_answered(tcb, segment, acked, now)
    # What was sent after the first one out says nothing of that one's time-out.
    later = acked.rtt >= 0 and flight.count > 0 and acked.rtt > now - flight.first().sent_at
    output.rearm(tcb, acked.whole or later, now)


def _count_sacks(tcb: Tcb, acked: Acked, blocks: bool) -> None:
    """What an ACK told of segments that were overtaken, or had twice."""
    counters, sender = tcb.counters, tcb.sender
    counters.TCPSACKReorder += acked.overtaken
    board = sender.recovery.board
    if blocks and board is not None and board.twice is not None:
        if board.twice[0] < sender.una:
            counters.TCPDSACKRecv += 1
        else:
            counters.TCPDSACKOfoRecv += 1


def _look_back(tcb: Tcb, undo: Undo, segment: Segment, acked: Acked, now: Nanos64) -> None:
    """What an ACK tells of whether there was a loss at all (tcp_packet_delayed)."""
    sender = tcb.sender
    undo.done = NOT_UNDONE
    undo.late = False
    # Without SACK nobody can tell which of them has arrived by its first sending.
    undo.original = acked.original and (tcb.sack or not acked.doubtful)
    undo.new_waits = sender.unsent > 0 and sender.usable() > 0
    if tcb.timestamps and segment.ts_value is not None and segment.ts_echo:
        undo.delayed = undo.stamp >= 0 and before(segment.ts_echo, tcb.clock(undo.stamp))
    else:
        undo.delayed = undo.stamp < 0 and (tcb.sack or sender.una < sender.recovery.high)


def _tail_probe_answered(tcb: Tcb, segment: Segment, acked: Acked, now: Nanos64) -> None:
    """All that was out when the tail was probed has arrived: see whether it would have without the probe.

    RFC 8985 7.4, tcp_process_tlp_ack: it would if the ACK comes once more, or reports the probe as a duplicate.
    """
    sender, recovery = tcb.sender, tcb.sender.recovery
    twice = recovery.board.twice if segment.sack and recovery.board is not None else None
    if recovery.tail_probe_again and (twice is None or twice[1] != recovery.tail_probe_end):
        if sender.una > recovery.tail_probe_end:
            recovery.tail_probe_repaired(now)
            tcb.counters.TCPLossProbeRecovery += 1
        elif acked.moved or acked.segments or segment.length:
            return
    recovery.tail_probe_end = -1


def _undone(tcb: Tcb, undo: Undo) -> None:
    """It was none: count what showed it."""
    counters = tcb.counters
    if undo.done >= TIMED_OUT:
        counters.TCPLossUndo += 1
        counters.TCPSpuriousRTOs += 1 if undo.done == SPURIOUS else 0
        tcb.sender.retransmits = 0
    elif undo.done == FULL:
        counters.TCPFullUndo += 1
    elif undo.done == PARTIAL:
        counters.TCPPartialUndo += 1
    else:
        counters.TCPDSACKUndo += 1


def _after_acknowledge(tcb: Tcb, acked: Acked, fin: bool, now: Nanos64) -> None:
    """What the ACK means for the owner, for a probe that is running, and for a FIN of ours."""
    sender = tcb.sender
    if tcb.waiting_room and acked.octets:
        handshake.expand_buffer(tcb)
    if tcb.waiting_room and acked.octets and 3 * sender.room() > sender.capacity:
        tcb.waiting_room = False
        tcb.events |= events.WRITABLE
    if tcb.armed_for == PROBE:
        output.window_opened(tcb, now)
    if acked.fin and tcb.bit & _FIN_OUT:
        fin_acknowledged(tcb, fin, now)
        stop_lingering(tcb, now)


def _urgent(tcb: Tcb, segment: Segment, seq: Seq) -> None:
    """Sixth, check the URG bit (RFC 9293 3.8.5).

    The pointer is of the octet after the urgent one, as everybody has it (RFC 6093 3.1, tcp_check_urg).
    """
    receiver = tcb.receiver
    at = seq + max(segment.urgent - 1, 0)
    if not tcb.bit & RECEIVES_TEXT_BITS or at < receiver.nxt or at <= receiver.urgent:
        return
    if receiver.urgent == receiver.copied and receiver.unread and not tcb.options.so_oobinline:
        # There is only one urgent octet: the old one, about to be read, is none any more, nor text.
        receiver.read(1)
    receiver.urgent = at
    receiver.urgent_read = False
    tcb.events |= events.URGENT


def text_and_fin(tcb: Tcb, segment: Segment, seq: Seq, now: Nanos64) -> None:
    """Seventh, process the segment text; eighth, check the FIN bit. Both wait for their turn."""
    receiver = tcb.receiver
    data = segment.payload
    octets: i64 = len(data)
    fin = bool(segment.flags & FIN)
    if tcb.bit & FIN_RECEIVED_BITS and seq >= receiver.nxt:
        # Nothing can follow a FIN.
        return
    unread = tcb.bit & FIN_RECEIVED_BITS or (tcb.shut_read and tcb.bit & FIN_WAITS)
    if unread and seq + octets > receiver.nxt:
        data_after_close(tcb, segment, now)
        return
    edge = receiver.acked + receiver.window
    if edge < receiver.nxt:
        edge = receiver.nxt
    if seq + octets > edge:
        # Only what the window has room for is taken.
        data = data[: max(edge - seq, 0)]
        fin = False
        if not data:
            tcb.counters.TCPZeroWindowDrop += 1
            receiver.quicken_now()
            receiver.acks_owed += 1
            return
    if seq > receiver.nxt:
        _ahead(tcb, seq, data, fin)
        return
    if tcb.bit & FIN_RECEIVED_BITS:
        # All of it was had before, and a second FIN is none.
        _duplicate_seen(tcb, seq, seq + len(data) + fin)
        receiver.acks_owed += 1
        return
    _in_turn(tcb, segment, seq, data, fin, now)


def _ahead(tcb: Tcb, seq: Seq, data: bytes, fin: bool) -> None:
    """A hole lies before it: keep it, and say at once what is missing (RFC 5681 4.2)."""
    receiver = tcb.receiver
    if receiver.crowded():
        tcb.counters.TCPOFODrop += 1
        return
    if receiver.hold(seq, data, fin):
        tcb.counters.TCPOFOQueue += 1
    elif tcb.sack and tcb.settings.tcp_dsack:
        receiver.duplicate = (seq, seq + len(data))
        tcb.counters.TCPDSACKOfoSent += 1
    receiver.quicken()
    receiver.acks_owed += 1


def _in_turn(tcb: Tcb, segment: Segment, seq: Seq, data: bytes, fin: bool, now: Nanos64) -> None:
    """Text whose turn it is, perhaps with an end that was had before; then what waited for it; then the FIN."""
    receiver = tcb.receiver
    octets: i64 = len(data)
    end = seq + octets
    if seq < receiver.nxt < end + fin and tcb.sack and tcb.settings.tcp_dsack:
        receiver.duplicate = (seq, receiver.nxt)
        tcb.counters.TCPDSACKOldSent += 1
    if end > receiver.nxt:
        tcb.tally.octets_in += end - receiver.nxt
        receiver.take(data if seq == receiver.nxt else data[receiver.nxt - seq :])
        receiver.arrived(segment.gso or octets, bool(segment.flags & PSH), tcb.sender.rtt.rto, now)
        tcb.events |= events.READABLE
        receiver.collapse()
    elif end + fin <= receiver.nxt:
        _duplicate_seen(tcb, seq, end + fin)
        receiver.acks_owed += 1
    fin = fin and end == receiver.nxt
    if receiver.reassembly is not None and not fin:
        start = receiver.nxt
        told = receiver.duplicate
        fin = receiver.release(tcb.sack and bool(tcb.settings.tcp_dsack))
        tcb.counters.TCPDSACKOldSent += 1 if receiver.duplicate is not told else 0
        tcb.tally.octets_in += receiver.nxt - start
        # RFC 5681 4.2: a segment that fills all or part of a hole is acknowledged at once.
        receiver.owe_ack()
    if fin:
        fin_received(tcb, now)


def data_after_close(tcb: Tcb, segment: Segment, now: Nanos64) -> None:
    """Text for a socket that was closed: nobody will read it, and the peer must learn that (RFC 9293 3.6.1)."""
    tcb.counters.TCPAbortOnData += 1
    tcb.tally.reset_cause = "data after close"
    tcb.reply(reset_to(tcb, segment.ack))
    tcb.fail(_reset_error(tcb), CloseKind.RESET_SENT, "rcv text after CLOSE", now)
