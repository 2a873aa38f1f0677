"""Timers go off: RFC 9293 3.10.8, RFC 6298 5.4 to 5.7, RFC 8985; who gives up when is Linux's (tcp_timer.c)."""

from __future__ import annotations

from typing import Final

from lastack.model.close import CloseKind
from lastack.model.state import State, bits
from lastack.model.time import MILLISECOND, Nanos64
from lastack.native import i64
from lastack.wire.seq import Seq

from . import departure, output
from .rtt import MOST_DOUBLINGS
from .settings import keepalive_idle, keepalive_interval
from .tcb import KEEPALIVE_PROBE, SYN_STATES, WINDOW_PROBE, Tcb, in_syn_queue
from .timers import LOSS_PROBE, NEVER, PROBE, RETRANSMIT

_ORPHAN_RETRIES: Final = 8
_KEEPS_ALIVE: Final[i64] = bits(
    State.SYN_RECEIVED,
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
)


def on_timeout(tcb: Tcb, now: Nanos64) -> None:
    """Everything whose time has come."""
    if tcb.delayed_ack_at <= now:
        _delayed_ack(tcb)
    if tcb.retransmit_at <= now:
        purpose = tcb.armed_for
        tcb.retransmit_at = NEVER
        if purpose == RETRANSMIT:
            _retransmit(tcb, now)
        elif purpose == PROBE:
            _probe(tcb, now)
        elif purpose == LOSS_PROBE:
            if tcb.sender.flight.count:
                output.send_tail_probe(tcb, now)
        else:
            _reorder(tcb, now)
    if tcb.keepalive_at <= now:
        tcb.keepalive_at = NEVER
        _keepalive(tcb, now)
    if tcb.lingers_until <= now:
        departure.stop_lingering(tcb, now)


def _delayed_ack(tcb: Tcb) -> None:
    """The ACK has waited long enough (tcp_delack_timer_handler)."""
    receiver = tcb.receiver
    tcb.delayed_ack_at = NEVER
    if not receiver.wants_ack:
        return
    if receiver.replying:
        # The reply that was waited for did not come.
        receiver.replying = False
        receiver.delay = receiver.delay_min
    else:
        receiver.delay = min(receiver.delay << 1, tcb.sender.rtt.rto)
    tcb.counters.DelayedACKs += 1
    receiver.owe_ack()


def _retransmit(tcb: Tcb, now: Nanos64) -> None:
    """RFC 6298 5.4 to 5.6: send the earliest again, back off, start again; or give up."""
    sender = tcb.sender
    if not sender.flight.count:
        return
    if _gives_up(tcb, now):
        _give_up(tcb, CloseKind.RETRANSMIT_TIMEOUT, now)
        return
    settings = tcb.settings
    if settings.tcp_mtu_probing and sender.retransmits and not tcb.bit & SYN_STATES:
        patience = model_timeout(settings.tcp_retries1, settings.rto_min, settings.rto_max)
        if now - sender.first_retransmit_at >= patience:
            _see_black_hole(tcb)
    if sender.retransmits == 0:
        tcb.counters.TCPTimeouts += 1
    if tcb.bit & SYN_STATES:
        sent = sender.flight.first()
        if sender.retransmits >= tcb.deferred - 1 and (not sent.lost or sent.resent):
            sender.flight.mark_lost(sent)
    else:
        frto = bool(settings.tcp_frto)
        sender.recovery.timed_out(sender.una, sender.nxt, sender.retransmits > 0, frto, now)
    sender.retransmits += 1
    if sender.first_retransmit_at < 0:
        sender.first_retransmit_at = now
    linear = settings.tcp_syn_linear_timeouts
    if tcb.state is not State.SYN_SENT or sender.retransmits > linear:
        sender.rtt.back_off()
    tcb.arm(RETRANSMIT, now + output.bounded(tcb, sender.rtt.rto, now))


def revert_back_off(tcb: Tcb, seq: Seq, now: Nanos64) -> None:
    """A router says that a retransmission did not get through: that is no congestion (RFC 6069, tcp_ld_RTO_revert)."""
    sender = tcb.sender
    rtt = sender.rtt
    if seq != sender.una or not sender.retransmits or not rtt.backoff or not sender.flight.count:
        return
    rtt.backoff -= 1
    rtt.rto = tcb.settings.initial_rto_ms * MILLISECOND
    rtt.reset_rto()
    rtt.rto = min(rtt.rto << rtt.backoff, rtt.rto_max)
    due = sender.flight.first().sent_at + rtt.rto
    if due > now:
        tcb.arm(RETRANSMIT, due)
    else:
        _retransmit(tcb, now)


def _see_black_hole(tcb: Tcb) -> None:
    """R1 has passed: perhaps large packets vanish without a word, so try smaller ones (RFC 4821, tcp_mtu_probing)."""
    sender, settings = tcb.sender, tcb.settings
    mss = settings.tcp_base_mss
    if sender.mss <= mss:
        mss = max(min(mss, sender.mss >> 1), settings.tcp_mtu_probe_floor, settings.tcp_min_snd_mss)
    if mss < sender.mss:
        tcb.local_mss -= sender.mss - mss
        sender.resize(mss)


def model_timeout(retries: i64, rto_min: Nanos64, rto_max: Nanos64) -> Nanos64:
    """How long so many doublings last from the least time-out on (tcp_model_timeout)."""
    doublings: i64 = max(int(rto_max // rto_min).bit_length() - 1, 0)
    if retries <= doublings:
        return ((2 << retries) - 1) * rto_min
    return ((2 << doublings) - 1) * rto_min + (retries - doublings) * rto_max


def _gives_up(tcb: Tcb, now: Nanos64) -> bool:
    """Whether there have been enough retransmissions (tcp_write_timeout; RFC 9293 3.8.3: R2)."""
    sender, settings, options = tcb.sender, tcb.settings, tcb.options
    user = options.tcp_user_timeout * MILLISECOND
    if in_syn_queue(tcb):
        retries = tcb.patience or options.tcp_syncnt or settings.tcp_synack_retries
        return sender.retransmits >= max(retries, tcb.deferred)
    if tcb.bit & SYN_STATES:
        if user and sender.retransmits and now - tcb.tally.opened_at >= user:
            return True
        linear = settings.tcp_syn_linear_timeouts if tcb.state is State.SYN_SENT else 0
        return sender.retransmits >= (options.tcp_syncnt or settings.tcp_syn_retries) + linear
    if not sender.retransmits:
        return False
    elapsed = now - sender.first_retransmit_at
    retries = settings.tcp_retries2
    if tcb.orphan:
        alive = sender.rtt.rto < settings.rto_max
        retries = _orphan_retries(tcb, alive)
        if not alive and elapsed >= model_timeout(retries, settings.rto_min, settings.rto_max):
            return True
    if user:
        return elapsed >= user
    return elapsed >= model_timeout(retries, settings.rto_min, settings.rto_max)


def _orphan_retries(tcb: Tcb, alive: bool) -> i64:
    """tcp_orphan_retries(): 0 means 8, and none where an ICMP error has said why."""
    retries = tcb.settings.tcp_orphan_retries
    if tcb.soft_error is not None and not alive:
        return 0
    return retries or (_ORPHAN_RETRIES if alive else 0)


def _give_up(tcb: Tcb, kind: CloseKind, now: Nanos64) -> None:
    """The peer is taken for dead (tcp_write_err)."""
    tcb.counters.TCPAbortOnTimeout += 1
    if tcb.bit & SYN_STATES:
        tcb.counters.TcpAttemptFails += 1
        kind = CloseKind.HANDSHAKE_TIMEOUT
    elif tcb.soft_error is not None:
        kind = CloseKind.UNREACHABLE
    tcb.fail(tcb.soft_error or "ETIMEDOUT", kind, "time-out", now)


def _probe(tcb: Tcb, now: Nanos64) -> None:
    """The zero-window probe (RFC 9293 3.8.6.1, tcp_probe_timer)."""
    sender, settings = tcb.sender, tcb.settings
    if sender.flight.count or not (sender.unsent or sender.fin_unsent()):
        return
    # What a peer answers with a window that stays shut makes probes no more frequent, and its time is not counted anew.
    backoff = sender.rtt.backoff
    if backoff == 0:
        sender.active_at = now
    user = tcb.options.tcp_user_timeout * MILLISECOND
    if user and backoff and now - sender.active_at >= user:
        _give_up(tcb, CloseKind.RETRANSMIT_TIMEOUT, now)
        return
    most = settings.tcp_retries2
    gone = False
    if tcb.orphan:
        alive = sender.rtt.rto << min(backoff, MOST_DOUBLINGS) < settings.rto_max
        most = _orphan_retries(tcb, alive)
        gone = not alive and backoff >= most
    if gone or sender.probes >= most:
        _give_up(tcb, CloseKind.RETRANSMIT_TIMEOUT, now)
        return
    tcb.probe_due = WINDOW_PROBE
    sender.probes += 1
    sender.rtt.backoff = min(backoff + 1, settings.tcp_retries2)
    wait = min(max(sender.rtt.rto, 200 * MILLISECOND) << min(sender.rtt.backoff, MOST_DOUBLINGS), settings.rto_max)
    tcb.arm(PROBE, now + wait)


def _reorder(tcb: Tcb, now: Nanos64) -> None:
    """RFC 8985 6.3: what was suspected and did not come is lost."""
    sender = tcb.sender
    if not sender.flight.count:
        return
    sender.recovery.reordering_timed_out(sender.nxt, now)
    if sender.recovery.entered:
        tcb.counters.TCPSackRecovery += 1
    output.rearm(tcb, False, now)


def _keepalive(tcb: Tcb, now: Nanos64) -> None:
    """The watching timer: an orphan in FIN_WAIT_2, or keepalive (RFC 9293 3.8.4, tcp_keepalive_timer)."""
    if tcb.orphan and tcb.state is State.FIN_WAIT_2:
        departure.fin_wait_2_timed_out(tcb, now)
        return
    if not tcb.options.so_keepalive or not tcb.bit & _KEEPS_ALIVE:
        return
    sender, settings, options = tcb.sender, tcb.settings, tcb.options
    idle = keepalive_idle(settings, options)
    if sender.flight.count or sender.unsent or sender.fin_unsent():
        # What is out is watched by its own timer.
        tcb.keepalive_at = now + idle
        return
    elapsed = now - max(sender.heard_at, tcb.receiver.last_data_at)
    if elapsed < idle:
        tcb.keepalive_at = now + idle - elapsed
        return
    user = options.tcp_user_timeout * MILLISECOND
    probes = options.tcp_keepcnt or settings.tcp_keepalive_probes
    if (user and elapsed >= user and sender.probes) or (not user and sender.probes >= probes):
        tcb.counters.TCPAbortOnTimeout += 1
        tcb.counters.TcpOutRsts += 1
        tcb.reply(tcb.reset_segment(sender.nxt, now))
        tcb.tally.reset_cause = "keepalive"
        tcb.fail(tcb.soft_error or "ETIMEDOUT", CloseKind.KEEPALIVE_TIMEOUT, "keepalive time-out", now)
        return
    tcb.probe_due = KEEPALIVE_PROBE
    sender.probes += 1
    tcb.keepalive_at = now + keepalive_interval(settings, options)
