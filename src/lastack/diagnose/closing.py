"""FIN_WAIT_1, FIN_WAIT_2, CLOSING and LAST_ACK: closes that do not come to their end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from lastack.model.close import Timer
from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.host import HostFacts
from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, Nanos, spoken

from .ages import histogram
from .context import Context, Mask
from .doing import code, doing
from .joins import found_in, keys
from .owners import by_owner, closed_by, owners_of, whereabouts

_RTO_MIN: Final = SECOND // 5
_RTO: Final = _RTO_MIN + 8 * MILLISECOND
"""Of a near peer: the least, the round trip and a tick of the clock."""
_RTO_MAX: Final = 120 * SECOND
_ORPHAN_RETRIES: Final = 8
"""What tcp_orphan_retries = 0 stands for (tcp_orphan_retries() in net/ipv4/tcp_timer.c)."""


def fin_wait_2(context: Context) -> Iterator[Finding]:
    """`fin-wait-2-orphaned` and `fin-wait-2-owned`, joined with the CLOSE_WAIT of this host that they wait for."""
    waiting = context.state(State.FIN_WAIT_2)
    orphans = context.table.select(waiting & ~context.owned)
    if len(orphans) >= context.thresholds.fin_wait_2_notable:
        yield _orphaned(context, orphans)
    receiving = context.silence("last_data_received_ns") < context.thresholds.min_age_ns
    silent = waiting & context.owned & context.old & ~(context.table.valid("last_data_received_ns") & receiving)
    for owner, index in by_owner(context, silent):
        rows = context.table.select(index)
        yield Finding(
            rule="fin-wait-2-owned",
            severity=_at_least(len(rows), context.thresholds.fin_wait_2_warning),
            summary=f"{_count(rows)} in FIN_WAIT_2 held by {owner}: it has shut down writing and waits for the peer's "
            "FIN, for which there is no time limit",
            evidence=(
                Evidence("oldest, at least", spoken(int(rows.values("age_ns").max())), "", "tcp_info"),
                *_other_end(context, rows),
                *whereabouts(rows),
                *code(context, rows),
                *doing(context, rows),
            ),
            advice=(
                Advice(
                    "Set a read time-out after shutdown(SHUT_WR), then close()",
                    f"the kernel's tcp_fin_timeout ({_fin_timeout(context.facts)} s) runs from the close() on",
                    "an answer slower than the time-out is lost",
                ),
                Advice("Mend the peer: it has not closed (its side is in CLOSE_WAIT)", "ends at once"),
                Advice(
                    "Until then: lastack end --reset ends them",
                    "at once; their descriptors stay taken until the process closes them",
                    "the process gets ECONNABORTED, the peer a RST; an answer on its way is lost",
                ),
            ),
            useless=(
                "tcp_fin_timeout: it does nothing for a socket that a process still holds",
                "tcp_keepalive_time, where the peer's machine is alive: it answers the probes",
            ),
            connections=rows,
            histogram=histogram(rows.values("age_ns")),
        )


def _orphaned(context: Context, rows: ConnectionTable) -> Finding:
    seconds = _fin_timeout(context.facts)
    return Finding(
        rule="fin-wait-2-orphaned",
        severity=Severity.INFO,
        summary=f"{_count(rows)} in FIN_WAIT_2 that no process owns: this side has closed, the peer has not. They end "
        f"after tcp_fin_timeout ({seconds} s)",
        evidence=(
            Evidence("tcp_fin_timeout", seconds, "s", "sysctl"),
            *closed_by(rows),
            *_other_end(context, rows),
            *whereabouts(rows),
        ),
        advice=(
            Advice("Mend the peer: its application does not close (CLOSE_WAIT there)", "they end with its FIN"),
            Advice(
                "Lower tcp_fin_timeout (TCP_LINGER2 for one socket)",
                f"their number falls in proportion: half of {seconds} s, half of {len(rows):,}",
                "the peer's late data and FIN then meet a RST",
            ),
        ),
        useless=("tcp_tw_reuse, tcp_max_tw_buckets: these are not in TIME_WAIT",),
        connections=rows,
    )


def piles(context: Context) -> Iterator[Finding]:
    """`fin-wait-1-pile`, `last-ack-pile`, `closing-pile`: our FIN, or the data before it, is not acknowledged."""
    for state in (State.FIN_WAIT_1, State.LAST_ACK, State.CLOSING):
        rows = context.table.select(context.state(state) & _stuck(context))
        if len(rows) < context.thresholds.pile:
            continue
        blocked = rows.valid("timer") & (rows.values("timer") == Timer.PROBE)
        window_shut = int(np.count_nonzero(blocked))
        reason = (
            "the peers keep their receive window shut"
            if window_shut > context.thresholds.most * len(rows)
            else "the peers do not acknowledge the FIN"
        )
        yield Finding(
            rule=f"{state.name.lower().replace('_', '-')}-pile",
            severity=Severity.WARNING,
            summary=f"{_count(rows)} in {state.name}: {reason}",
            evidence=tuple(_pile_evidence(context, rows, window_shut)),
            advice=_pile_advice(context.facts),
            useless=(
                "tcp_fin_timeout: it starts in FIN_WAIT_2, which these have not reached",
                "tcp_tw_reuse, tcp_max_tw_buckets: these are not in TIME_WAIT",
            ),
            connections=rows,
        )


def _stuck(context: Context) -> Mask:
    """Old ones, ones whose FIN was sent again, and ones whose peer takes no data: since when that last left, tells.

    A peer that keeps its window shut answers every probe, which restarts the clock and the count of the others.
    """
    timer = context.table.valid("timer") & (context.table.values("timer") == Timer.PROBE)
    shut = timer & (context.silence("last_data_sent_ns") >= context.thresholds.min_age_ns)
    return np.asarray(context.old | (context.table.values("retransmits") > 0) | shut, np.bool_)


def _pile_evidence(context: Context, rows: ConnectionTable, window_shut: int) -> Iterator[Evidence]:
    again = rows.values("retransmits")[rows.valid("retransmits")]
    if len(again):
        yield Evidence("sent again, at most", int(again.max()), "times in a row", "sock_diag idiag_retrans")
    queued = rows.values("send_q")
    yield Evidence("not acknowledged", int(queued.sum()), "octets, their FINs included", "sock_diag idiag_wqueue")
    if window_shut:
        yield Evidence("behind a zero window", window_shut, "connections", "sock_diag idiag_timer")
    orphaned = int(np.count_nonzero(rows.valid("inode") & (rows.values("inode") == 0)))
    yield Evidence("owned by no process", orphaned, "connections", "sock_diag idiag_inode")
    yield from closed_by(rows)
    yield Evidence("given up after", spoken(orphan_patience(context.facts)), "", "tcp_orphan_retries")
    yield from whereabouts(rows)


def _pile_advice(facts: HostFacts) -> tuple[Advice, ...]:
    return (
        Advice(
            "Look at the path to these peers: gone without a word, or a firewall that drops the last segments",
            "an acknowledged FIN ends each at once",
        ),
        Advice(
            "Lower net.ipv4.tcp_orphan_retries",
            f"given up after about {spoken(_given_up(3))} with 3, {spoken(orphan_patience(facts))} now",
            "a peer on a lossy path loses the end of its data",
        ),
    )


def orphan_patience(facts: HostFacts) -> Nanos:
    """How long an orphan of a silent near peer is kept (tcp_orphan_retries; 0 means 8)."""
    return _given_up(facts.number("tcp_orphan_retries") or _ORPHAN_RETRIES)


def _given_up(retries: int) -> Nanos:
    """When the timer expires late enough after the first time (net/ipv4/tcp_timer.c: retransmits_timed_out())."""
    enough = _backoff(retries, _RTO_MIN)
    return next(at for n in range(retries + 2) if (at := _backoff(n, _RTO)) - _RTO >= enough)


def _backoff(retries: int, rto: Nanos) -> Nanos:
    return sum(min(rto << n, _RTO_MAX) for n in range(retries + 1))


def _other_end(context: Context, rows: ConnectionTable) -> Iterator[Evidence]:
    """Who on this very host holds the other end in CLOSE_WAIT, if somebody does."""
    waiting = context.table.select(context.state(State.CLOSE_WAIT))
    if not len(waiting):
        return
    theirs = keys(waiting, "remote_addr", "remote_port", "local_addr", "local_port")
    ours = keys(rows, "local_addr", "local_port", "remote_addr", "remote_port")
    found = waiting.select(found_in(theirs, ours))
    for owner, index in list(owners_of(found))[:2]:
        yield Evidence("other end, in CLOSE_WAIT on this host", f"{owner} ({len(index):,})", "", "sock_diag, joined")


def _fin_timeout(facts: HostFacts) -> int:
    seconds = facts.number("tcp_fin_timeout")
    return 60 if seconds is None else seconds


def _at_least(count: int, warning: int) -> Severity:
    return Severity.WARNING if count >= warning else Severity.INFO


def _count(rows: ConnectionTable) -> str:
    return f"{len(rows):,} connection{' is' if len(rows) == 1 else 's are'}"
