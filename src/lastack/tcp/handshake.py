"""What both ways of opening share: the options of the peer's SYN put to use, and what happens on ESTABLISHED."""

from __future__ import annotations

from lastack.model.state import State
from lastack.model.time import SECOND, Nanos
from lastack.wire.segment import Segment

from . import events, negotiate
from .settings import keepalive_idle
from .tcb import Tcb
from .timers import RETRANSMIT

_FALLBACK: Nanos = 3 * SECOND


def take_syn(tcb: Tcb, segment: Segment, seq: int, now: Nanos) -> None:
    """The peer's SYN: its sequence number, its window (never scaled) and what is agreed by its options."""
    sender, receiver = tcb.sender, tcb.receiver
    agreed = negotiate.Agreed(segment, tcb.settings)
    receiver.begin(seq)
    tcb.timestamps = agreed.timestamps
    tcb.sack = agreed.sack
    sender.recovery.sack = agreed.sack
    tcb.scaling = agreed.scale is not None
    if agreed.scale is not None:
        sender.scale = agreed.scale
        receiver.scale = negotiate.window_scale(tcb.settings, tcb.options)
    if segment.ts_value is not None and agreed.timestamps:
        receiver.ts_recent = segment.ts_value
        receiver.ts_recent_at = now
    sender.peer_mss = min(agreed.mss, tcb.options.tcp_maxseg or agreed.mss)
    sender.mss = send_mss(tcb)
    sender.window = sender.max_window = segment.window
    sender.wl1 = seq
    sender.wl2 = sender.iss


def send_mss(tcb: Tcb) -> int:
    """Octets of text in a full segment: what the peer takes and the path carries, less the timestamps."""
    options = negotiate.TIMESTAMPS_LENGTH if tcb.timestamps else 0
    return max(min(tcb.sender.peer_mss, tcb.local_mss) - options, tcb.settings.tcp_min_snd_mss - options)


def repeat(tcb: Tcb, now: Nanos) -> None:
    """The peer repeats its SYN: so does our answer, and its time begins anew (tcp_check_req)."""
    sent = tcb.sender.flight.records[0]
    if not sent.lost or sent.resent:
        tcb.sender.flight.mark_lost(sent)
    tcb.timers.arm(RETRANSMIT, now + tcb.sender.rtt.rto)


def established(tcb: Tcb, cause: str, now: Nanos) -> None:
    """Both sides are synchronized."""
    sender = tcb.sender
    if sender.rtt.srtt == 0:
        # RFC 6298 5.7: after a SYN that had to be repeated, or a cookie, begin with three seconds.
        sender.rtt.rto = max(sender.rtt.rto, _FALLBACK)
    if sender.total_retransmits > 1:
        sender.control.window = 1
    sender.rtt.backoff = 0
    tcb.receiver.space_at = now
    sender.heard_at = now
    tcb.receiver.clamp = 0xFFFF
    tcb.move(State.ESTABLISHED, cause, now)
    tcb.events |= events.OPENED | events.WRITABLE
    if sender.fin_queued:
        # shutdown() came while the handshake was under way (RFC 9293 3.10.4, SYN-RECEIVED).
        tcb.move(State.FIN_WAIT_1, "CLOSE", now)
    if tcb.options.so_keepalive:
        tcb.timers.keepalive = now + keepalive_idle(tcb.settings, tcb.options)
