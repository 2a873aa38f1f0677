"""The one place that decides what leaves next (RFC 9293 3.8.6, 3.7.4; RFC 6675 4; RFC 8985 7).

In this order: a reply that is ready, what was lost, what is new, a probe, an ACK that cannot wait. An ACK that can
wait arms its timer, and None says that nothing leaves before an event or a timer.
"""

from __future__ import annotations

from typing import Final

from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64
from lastack.wire.flags import ACK, FIN, PSH, RST, SYN
from lastack.wire.segment import Segment
from lastack.wire.seq import MASK, Seq

from . import negotiate
from .flight import Sent
from .recovery import LOSS, OPEN
from .rtt import MOST_DOUBLINGS
from .tcb import CLOSED_BIT, GONE, KEEPALIVE_PROBE, SYN_RECEIVED_BIT, SYN_STATES, Tcb, in_syn_queue
from .timers import LOSS_PROBE, NEVER, PROBE, REORDER, RETRANSMIT

_PROBES_TAIL: Final = 3


def next_segment(tcb: Tcb, now: Nanos64) -> Segment | None:
    """What is to be sent now, or None. Counts it."""
    receiver = tcb.receiver
    segment: Segment | None = None
    if tcb.replies is not None:
        segment = tcb.next_reply()
    elif tcb.bit & SYN_STATES:
        segment = _handshake(tcb, now)
    else:
        sender = tcb.sender
        if (sender.nxt < sender.last or sender.flight.lost or tcb.probe_due) and not tcb.bit & GONE:
            segment = _text(tcb, now)
        if segment is None and (receiver.acks_owed or receiver.wants_ack) and not tcb.bit & CLOSED_BIT:
            segment = _acknowledgement(tcb, now)
    if segment is None:
        return None
    tally = tcb.tally
    tally.segments_out += segment.count if segment.gso else 1
    tally.octets_out += len(segment.payload)
    if segment.flags & (SYN | FIN | RST):
        tally.control(segment.flags, True)
    return segment


def more_to_send(tcb: Tcb) -> bool:
    """Whether `next_segment` has anything to think about: where not, it need not be asked again before an event."""
    receiver, sender = tcb.receiver, tcb.sender
    if receiver.acks_owed or receiver.wants_ack or tcb.replies is not None:
        return True
    return sender.nxt < sender.last or sender.flight.lost > 0 or tcb.probe_due > 0


def _text(tcb: Tcb, now: Nanos64) -> Segment | None:
    """Text or a FIN: first what was lost, then what is new, then a probe."""
    sender = tcb.sender
    if sender.flight.lost:
        segment = _retransmission(tcb, now)
        if segment is not None:
            return segment
    if sender.nxt < sender.last:
        segment = _new(tcb, now)
        if segment is not None:
            return segment
    if tcb.probe_due:
        return _probe(tcb, now)
    return None


def _handshake(tcb: Tcb, now: Nanos64) -> Segment | None:
    """The SYN, or SYN and ACK, that is due, for the first time or again (RFC 9293 3.10.1)."""
    sender = tcb.sender
    if sender.nxt == sender.iss:
        sender.sent(sender.iss + 1, SYN, now)
        _arm_retransmit(tcb, now)
        return syn(tcb, now)
    lost = sender.flight.first_lost()
    if lost is not None:
        sender.flight.mark_resent(lost, now)
        sender.total_retransmits += 1
        _count_again(tcb)
        tcb.counters.TCPSynRetrans += 1
        return syn(tcb, now)
    if tcb.receiver.acks_owed:
        tcb.receiver.spend_quick()
        return tcb.segment(sender.nxt, ACK, b"", now)
    return None


def syn(tcb: Tcb, now: Nanos64) -> Segment:
    """The SYN itself; in SYN_RECEIVED with an ACK and only what the peer offered (RFC 7323 1.3, 2.2)."""
    receiver = tcb.receiver
    answer = bool(tcb.bit & SYN_RECEIVED_BIT)
    ack: Seq = 0
    if answer:
        ack = receiver.nxt & MASK
    window = min(receiver.window, 0xFFFF)
    flags = SYN | ACK if answer else SYN
    segment = Segment(tcb.local_port, tcb.remote_port, tcb.sender.iss & MASK, ack, flags, window)
    negotiate.offer(segment, tcb.settings, tcb.options, tcb.local_mss, tcb.clock(now), receiver.ts_recent)
    if answer:
        receiver.acks_owed = 0
        receiver.acked = receiver.nxt
        segment.sack_permitted = segment.sack_permitted and tcb.sack
        if not tcb.timestamps:
            segment.stamp = -1
        if not tcb.scaling:
            segment.window_scale = None
    return segment


def _count_again(tcb: Tcb) -> None:
    """A segment with only what was sent before (RFC 4022: tcpOutSegs leaves those out, and the stack counts all)."""
    tcb.counters.TcpRetransSegs += 1
    if not in_syn_queue(tcb):
        tcb.counters.TcpOutSegs -= 1


# -- text and FIN


def _retransmission(tcb: Tcb, now: Nanos64) -> Segment | None:
    """The first lost segment, once the congestion window lets it go (RFC 6675 4, NextSeg 1)."""
    sender = tcb.sender
    recovery = sender.recovery
    undo = recovery.undo
    if undo is not None and undo.new_first:
        segment = _before_lost(tcb, now)
        if segment is not None or sender.nxt > recovery.high:
            return segment
        undo.frto = undo.new_first = False
    if recovery.in_network() >= sender.control.window:
        return None
    lost = sender.flight.first_lost()
    if lost is None:
        return None
    octets = lost.end - lost.seq - (lost.flags & FIN)
    if octets > sender.mss:
        sender.flight.split(lost, sender.mss)
    elif octets < sender.mss and tcb.settings.tcp_retrans_collapse:
        sender.flight.collapse(lost, sender.mss, sender.una + sender.window)
    recovery.prr_out += 1
    if undo is not None:
        undo.sent_again(now)
    if recovery.phase == LOSS:
        tcb.counters.TCPSlowStartRetrans += 1 if sender.retransmits == 0 else 0
    else:
        tcb.counters.TCPFastRetrans += 1
    if sender.first_retransmit_at < 0:
        # Patience is counted from here; a tail probe does not begin it (retrans_stamp).
        sender.first_retransmit_at = now
    return _again(tcb, lost, now)


def _before_lost(tcb: Tcb, now: Nanos64) -> Segment | None:
    """New text before what is thought lost, to see whether it is (RFC 5682 2.1, step 2.b); without Nagle."""
    sender = tcb.sender
    octets = min(sender.unsent, _segment_size(tcb), sender.usable())
    if octets <= 0 or sender.recovery.in_network() >= sender.control.window:
        return None
    last = octets == sender.unsent
    return _first(tcb, octets, sender.mss, sender.fin_queued and last and sender.usable() > octets, last, now)


def _again(tcb: Tcb, sent: Sent, now: Nanos64, probe: bool = False) -> Segment:
    """One segment of the flight once more, with the present ACK, window and timestamp."""
    sender = tcb.sender
    if probe:
        sender.flight.mark_probed(sent, now)
    else:
        sender.flight.mark_resent(sent, now)
    sender.last_sent_at = now
    sender.total_retransmits += 1
    _count_again(tcb)
    fin = sent.flags & FIN
    payload = sender.buffer.read(sent.seq, sent.end - sent.seq - fin)
    if tcb.retransmit_at == NEVER:
        _arm_retransmit(tcb, now)
    return tcb.segment(sent.seq, sent.flags & (FIN | PSH), payload, now)


def _new(tcb: Tcb, now: Nanos64) -> Segment | None:
    """New text, or the FIN, if the windows and Nagle's algorithm let it go."""
    sender = tcb.sender
    recovery = sender.recovery
    unsent = sender.buffer.end - sender.nxt
    usable = sender.una + sender.window - sender.nxt
    size = _segment_size(tcb)
    octets = unsent if unsent < size else size
    if usable < octets:
        octets = max(usable, 0)
    # A FIN takes a sequence number, and so a place in the window.
    fin = sender.fin_queued and octets == unsent and usable > octets
    most, flight = sender.control.window, sender.flight
    if flight.count + flight.resent >= most and recovery.in_network() >= most and (unsent or not fin):
        # A FIN on its own is no burden on the path, and leaves in any case (tcp_cwnd_test).
        sender.note_use(True)
        return None
    if not fin and (octets == 0 or not _worth_sending(tcb, octets, unsent, size)):
        if not sender.flight.count and tcb.retransmit_at == NEVER:
            _arm_probe(tcb, now)
        return None
    if not sender.flight.count:
        _restart_after_idle(tcb, now)
    if octets == size and tcb.settings.gso_max_size:
        octets = _burst(tcb, size, min(unsent, usable))
    return _first(tcb, octets, size, fin, octets == unsent, now)


def _burst(tcb: Tcb, size: i64, octets: i64) -> i64:
    """Octets of whole segments that a device with offload takes at once, as far as the windows let them go."""
    room = tcb.sender.control.window - tcb.sender.recovery.in_network()
    most: i64 = min(octets, tcb.settings.gso_max_size) // size
    return size * max(min(most, room), 1)


def _first(tcb: Tcb, octets: i64, size: i64, fin: bool, last: bool, now: Nanos64) -> Segment:
    """Send what was never sent: `octets` octets in segments of `size`, the FIN with them or alone."""
    sender, receiver = tcb.sender, tcb.receiver
    seq = sender.nxt
    payload = sender.buffer.read(seq, octets) if octets else b""
    flags: i64 = FIN if fin else 0
    if last and octets:
        flags |= PSH
    if octets < sender.mss:
        sender.small_end = seq + octets
    if octets and now - receiver.last_data_at < receiver.delay:
        # Text that follows what was received shows a dialogue: ACKs may wait for it (tcp_event_data_sent).
        receiver.replying = True
    receiver.spend_quick()
    end = seq + octets
    while sender.nxt + size < end:
        sender.sent(sender.nxt + size, 0, now)
    sender.sent(end + (1 if fin else 0), flags, now)
    most, flight = sender.control.window, sender.flight
    sender.note_use(flight.count + flight.resent >= most and sender.recovery.in_network() >= most)
    segment = tcb.segment(seq, flags, payload, now)
    if octets > size:
        segment.gso = size
    # One by one, and not as a set: this is asked with every segment.
    waits = tcb.armed_for == RETRANSMIT or tcb.armed_for == REORDER  # noqa: PLR1714
    if not waits or tcb.retransmit_at == NEVER or _may_probe_tail(tcb):
        _arm_after_sending(tcb, now)
    return segment


def _segment_size(tcb: Tcb) -> i64:
    """What a segment carries of text beside the SACK blocks that are to be told (tcp_current_mss)."""
    receiver = tcb.receiver
    if (receiver.reassembly is None and receiver.duplicate is None) or not tcb.sack:
        return tcb.sender.mss
    blocks: i64 = 0 if receiver.reassembly is None else len(receiver.reassembly.recent)
    blocks = min(blocks + (receiver.duplicate is not None), 3 if tcb.timestamps else 4)
    return tcb.sender.mss - 4 - 8 * blocks


def _worth_sending(tcb: Tcb, octets: i64, unsent: i64, size: i64) -> bool:
    """Sender's silly-window avoidance and Nagle's algorithm (RFC 9293 3.8.6.2.1, 3.7.4)."""
    sender = tcb.sender
    if octets == size:
        return True
    if octets < unsent:
        # Less than a segment because of the window: half of the largest it ever was is enough.
        return 2 * octets >= sender.max_window
    if tcb.options.tcp_cork:
        return False
    if tcb.options.tcp_nodelay or not sender.flight.count:
        return True
    # Minshall: hold back only while another small segment is out; Nagle himself: while anything is.
    return bool(tcb.settings.minshall) and sender.small_end <= sender.una


def _restart_after_idle(tcb: Tcb, now: Nanos64) -> None:
    """RFC 5681 4.1: a window that was not used for a while is not to be trusted."""
    sender = tcb.sender
    if not tcb.settings.tcp_slow_start_after_idle or not sender.last_sent_at:
        return
    idle = now - sender.last_sent_at
    if idle > sender.rtt.rto:
        sender.control.idle(tcb.settings.initial_window_segments, idle // sender.rtt.rto)


# -- probes and ACKs


def _probe(tcb: Tcb, now: Nanos64) -> Segment:
    """One octet before the window, to be answered with an ACK (RFC 9293 3.8.4, 3.8.6.1; tcp_xmit_probe_skb)."""
    sender = tcb.sender
    keepalive = tcb.probe_due == KEEPALIVE_PROBE
    tcb.probe_due = 0
    usable = sender.usable()
    if not keepalive and sender.unsent and usable > 0:
        # The window is open, only too small to be worth it: now it is worth it (tcp_write_wakeup).
        octets = min(sender.unsent, sender.mss, usable)
        last = octets == sender.unsent
        return _first(tcb, octets, sender.mss, sender.fin_queued and last and usable > octets, last, now)
    if keepalive:
        tcb.counters.TCPKeepAlive += 1
    else:
        tcb.counters.TCPWinProbe += 1
    return tcb.segment(sender.una - 1, ACK, b"", now)


def _acknowledgement(tcb: Tcb, now: Nanos64) -> Segment | None:
    """An ACK alone, now or when its time has come."""
    receiver = tcb.receiver
    if not receiver.ack_at_once():
        if tcb.delayed_ack_at == NEVER:
            tcb.delayed_ack_at = now + receiver.delay_for(tcb.sender.rtt.smoothed)
        return None
    owed = receiver.acks_owed
    segment = tcb.segment(tcb.sender.acceptable(receiver.scale), ACK, b"", now)
    receiver.spend_quick()
    if owed > 1:
        receiver.acks_owed = owed - 1
    return segment


# -- the timer of what is out


def _arm_retransmit(tcb: Tcb, now: Nanos64) -> None:
    tcb.arm(RETRANSMIT, now + bounded(tcb, tcb.sender.rtt.rto, now))


def bounded(tcb: Tcb, timeout: Nanos64, now: Nanos64) -> Nanos64:
    """A time-out that does not pass the end of the user time-out (tcp_clamp_rto_to_user_timeout)."""
    user: Nanos64 = tcb.options.tcp_user_timeout * MILLISECOND
    sender = tcb.sender
    if not user or not sender.retransmits or sender.first_retransmit_at < 0 or in_syn_queue(tcb):
        return timeout
    return max(min(timeout, sender.first_retransmit_at + user - now), MILLISECOND)


def _arm_probe(tcb: Tcb, now: Nanos64) -> None:
    """Nothing is out and nothing may leave: see whether the window has opened (RFC 9293 3.8.6.1)."""
    sender = tcb.sender
    wait = min(max(sender.rtt.rto, 200 * MILLISECOND) << min(sender.rtt.backoff, MOST_DOUBLINGS), tcb.settings.rto_max)
    tcb.arm(PROBE, now + wait)


def _may_probe_tail(tcb: Tcb) -> bool:
    """Whether a tail loss probe is to be made (RFC 8985 7.2)."""
    recovery = tcb.sender.recovery
    return (
        tcb.settings.tcp_early_retrans >= _PROBES_TAIL
        and recovery.sack
        and recovery.phase == OPEN
        and not tcb.sender.flight.sacked
        and recovery.tail_probe_end < 0
    )


def _arm_after_sending(tcb: Tcb, now: Nanos64) -> None:
    """New text has left: the tail probe comes before the time-out (RFC 8985 7.2)."""
    sender = tcb.sender
    timeout = now + bounded(tcb, sender.rtt.rto, now)
    if not _may_probe_tail(tcb):
        tcb.arm(RETRANSMIT, timeout)
        return
    smoothed = sender.rtt.smoothed
    if not smoothed:
        wait = tcb.settings.initial_rto_ms * MILLISECOND
    elif sender.flight.count == 1:
        wait = 2 * smoothed + tcb.settings.rto_min
    else:
        wait = 2 * smoothed + 2 * MILLISECOND
    # Where the time-out would come first the probe takes its place, and the time-out follows (tcp_schedule_loss_probe).
    tcb.arm(LOSS_PROBE, min(now + wait, timeout))


def window_opened(tcb: Tcb, now: Nanos64) -> None:
    """A window that was probed for may have opened: stop probing, or begin again (tcp_ack_probe)."""
    sender = tcb.sender
    if tcb.retransmit_at == NEVER or tcb.armed_for != PROBE:
        return
    waiting = sender.buffer.end - sender.nxt
    if sender.usable() >= min(waiting, sender.mss) + (1 if not waiting else 0):
        tcb.retransmit_at = NEVER
        sender.rtt.backoff = 0
    else:
        _arm_probe(tcb, now)


def rearm(tcb: Tcb, delivered: bool, now: Nanos64) -> None:
    """An ACK was taken in: RFC 6298 5.2 and 5.3, RFC 8985 6.2 and 7.2 (tcp_set_xmit_timer).

    `delivered`: it acknowledged or sacked something new.
    """
    sender = tcb.sender
    if not sender.flight.count:
        if tcb.armed_for != PROBE:
            tcb.retransmit_at = NEVER
        return
    reorder_at = sender.recovery.reorder_at
    if reorder_at:
        tcb.arm(REORDER, reorder_at)
    elif delivered and _may_probe_tail(tcb):
        _arm_after_sending(tcb, now)
    elif tcb.armed_for == LOSS_PROBE and tcb.retransmit_at != NEVER and _may_probe_tail(tcb):
        # Nothing new was acknowledged: the probe comes when it was to come (FLAG_SET_XMIT_TIMER).
        return
    elif tcb.armed_for != RETRANSMIT or tcb.retransmit_at == NEVER:
        # Count from when the first one out was sent (tcp_rto_delta_us).
        tcb.arm(RETRANSMIT, max(sender.flight.first().sent_at + sender.rtt.rto, now + 1))
    elif delivered:
        _arm_retransmit(tcb, now)


def send_tail_probe(tcb: Tcb, now: Nanos64) -> None:
    """RFC 8985 7.3: new text if there is any and the window takes it, otherwise the last segment again."""
    sender = tcb.sender
    recovery = sender.recovery
    recovery.tail_probe_end = sender.nxt
    recovery.tail_probe_again = False
    tcb.counters.TCPLossProbes += 1
    octets = min(sender.unsent, sender.mss, max(sender.usable(), 0))
    if octets:
        last = octets == sender.unsent
        fin = sender.fin_queued and last and sender.usable() > octets
        tcb.reply(_first(tcb, octets, sender.mss, fin, last, now))
    else:
        recovery.tail_probe_again = True
        tcb.reply(_again(tcb, sender.flight.records[-1], now, True))
    _arm_retransmit(tcb, now)
