"""What getsockopt(TCP_INFO) tells of a connection, by the names of struct tcp_info (include/uapi/linux/tcp.h)."""

from __future__ import annotations

from typing import NamedTuple

from lastack.model.state import State
from lastack.model.time import MICROSECOND, MILLISECOND, Nanos

from .tcb import Tcb

_TIMESTAMPS = 1
_SACK = 2
_WINDOW_SCALE = 4


class TcpInfo(NamedTuple):
    """Times ending in `_us` or named rto, ato, rtt, rttvar, rcv_rtt in microseconds; `last_*` in milliseconds."""

    state: State
    ca_state: int
    retransmits: int
    probes: int
    backoff: int
    options: int
    snd_wscale: int
    rcv_wscale: int
    rto: int
    ato: int
    snd_mss: int
    rcv_mss: int
    unacked: int
    sacked: int
    lost: int
    retrans: int
    last_data_sent: int
    last_data_recv: int
    last_ack_recv: int
    pmtu: int
    rcv_ssthresh: int
    rtt: int
    rttvar: int
    snd_ssthresh: int
    snd_cwnd: int
    advmss: int
    reordering: int
    rcv_space: int
    total_retrans: int
    notsent_bytes: int
    min_rtt: int
    segs_out: int
    segs_in: int
    dsack_dups: int
    reord_seen: int
    bytes_sent: int
    bytes_received: int
    snd_wnd: int
    rcv_wnd: int


def tcp_info(tcb: Tcb, now: Nanos) -> TcpInfo:
    """The connection as it is now."""
    sender, receiver, rtt = tcb.sender, tcb.receiver, tcb.sender.rtt
    flight, control = sender.flight, sender.control
    board, reordering = sender.recovery.board, sender.recovery.reordering
    options = _TIMESTAMPS * tcb.timestamps | _SACK * tcb.sack | _WINDOW_SCALE * tcb.scaling
    return TcpInfo(
        state=tcb.state,
        ca_state=sender.recovery.phase,
        retransmits=sender.retransmits,
        probes=sender.probes,
        backoff=rtt.backoff,
        options=options,
        snd_wscale=sender.scale,
        rcv_wscale=receiver.scale,
        rto=rtt.rto // MICROSECOND,
        ato=receiver.delay // MICROSECOND,
        snd_mss=sender.mss,
        rcv_mss=receiver.mss_seen,
        unacked=flight.count,
        sacked=flight.sacked or sender.recovery.duplicates,
        lost=flight.lost,
        retrans=flight.resent,
        last_data_sent=(now - sender.last_sent_at) // MILLISECOND,
        last_data_recv=(now - receiver.last_data_at) // MILLISECOND,
        last_ack_recv=(now - sender.heard_at) // MILLISECOND,
        pmtu=tcb.local_mss + 40,
        rcv_ssthresh=receiver.capacity,
        rtt=rtt.srtt >> 3,
        rttvar=rtt.mdev >> 2,
        snd_ssthresh=control.threshold,
        snd_cwnd=control.window,
        advmss=tcb.local_mss,
        reordering=sender.recovery.dup_threshold,
        rcv_space=receiver.space,
        total_retrans=sender.total_retransmits,
        notsent_bytes=sender.unsent,
        min_rtt=rtt.min_rtt // MICROSECOND,
        segs_out=tcb.tally.segments_out,
        segs_in=tcb.tally.segments_in,
        dsack_dups=0 if board is None else board.duplicates,
        reord_seen=0 if reordering is None else reordering.seen,
        bytes_sent=tcb.tally.octets_out,
        bytes_received=tcb.tally.octets_in,
        snd_wnd=sender.window,
        rcv_wnd=receiver.window,
    )
