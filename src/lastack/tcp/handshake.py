"""What both ways of opening share: the options of the peer's SYN put to use, and what happens on ESTABLISHED."""

from __future__ import annotations

from typing import Final

from lastack.model.time import SECOND, Nanos64
from lastack.native import i64
from lastack.wire.segment import Segment
from lastack.wire.seq import Seq

from . import events, negotiate
from .members import ESTABLISHED, FIN_WAIT_1
from .settings import keepalive_idle
from .tcb import Tcb
from .timers import RETRANSMIT

_FALLBACK: Final = 3 * SECOND


def take_syn(tcb: Tcb, segment: Segment, seq: Seq, now: Nanos64) -> None:
    """The peer's SYN: its sequence number, its window (never scaled) and what is agreed by its options."""
    sender, receiver = tcb.sender, tcb.receiver
    settings, options = tcb.settings, tcb.options
    receiver.begin(seq)
    tcb.timestamps = settings.tcp_timestamps != 0 and segment.stamp >= 0
    if tcb.timestamps:
        receiver.ts_recent = segment.stamp
        receiver.ts_recent_at = now
    tcb.sack = sender.recovery.sack = settings.tcp_sack != 0 and segment.sack_permitted
    scale = segment.window_scale
    if scale is not None and settings.tcp_window_scaling:
        tcb.scaling = True
        sender.scale = min(scale, negotiate.LARGEST_SCALE)
        receiver.scale = negotiate.window_scale(settings, options)
    sender.peer_mss = negotiate.DEFAULT_MSS
    if segment.mss:
        sender.peer_mss = max(segment.mss, settings.tcp_min_snd_mss)
    if 0 < options.tcp_maxseg < sender.peer_mss:
        sender.peer_mss = options.tcp_maxseg
    sender.mss = send_mss(tcb)
    sender.window = sender.max_window = segment.window
    sender.wl1 = seq


def send_mss(tcb: Tcb) -> i64:
    """Octets of text in a full segment: what the peer takes and the path carries, less the timestamps."""
    options = negotiate.TIMESTAMPS_LENGTH if tcb.timestamps else 0
    return max(min(tcb.sender.peer_mss, tcb.local_mss) - options, tcb.settings.tcp_min_snd_mss - options)


def expand_buffer(tcb: Tcb) -> None:
    """The send buffer for the congestion window as it is, unless SO_SNDBUF has set it (tcp_new_space)."""
    if not tcb.options.so_sndbuf:
        tcb.sender.expand(tcb.settings.tcp_wmem[2])


def repeat(tcb: Tcb, now: Nanos64) -> None:
    """The peer repeats its SYN: so does our answer, if it has left, and its time begins anew (tcp_check_req)."""
    if not tcb.sender.flight.count:
        return
    sent = tcb.sender.flight.first()
    if not sent.lost or sent.resent:
        tcb.sender.flight.mark_lost(sent)
    tcb.arm(RETRANSMIT, now + tcb.sender.rtt.rto)


def established(tcb: Tcb, cause: str, now: Nanos64) -> None:
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
    tcb.move(ESTABLISHED, cause, now)
    tcb.events |= events.OPENED | events.WRITABLE
    if not tcb.options.so_sndbuf:
        # From here on it is the peer who says how much is kept, and for how long.
        sender.capacity = tcb.settings.tcp_wmem[1]
        expand_buffer(tcb)
    if sender.fin_queued:
        # shutdown() came while the handshake was under way (RFC 9293 3.10.4, SYN-RECEIVED).
        tcb.move(FIN_WAIT_1, "CLOSE", now)
    if tcb.options.so_keepalive:
        tcb.keepalive_at = now + keepalive_idle(tcb.settings, tcb.options)
