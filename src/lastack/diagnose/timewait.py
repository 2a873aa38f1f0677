"""TIME_WAIT: ports it takes from a client, what it costs a server, and its overflow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from lastack.model.address import Endpoint, address_halves, is_loopback
from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import MILLISECOND, SECOND, TIME_WAIT_LENGTH, Nanos, spoken

from .ages import histogram
from .context import Context
from .owners import closed_by, likely_owner, whereabouts
from .ports import PortUse, births_per_second, port_use

OCTETS_EACH: Final = 256
"""Slab memory of one TIME_WAIT mini-socket (Linux 6.x, /proc/slabinfo tw_sock_TCP)."""

_WIDEST: Final = 65_535 - 1_024 + 1

_NOT_FIN_TIMEOUT: Final = "tcp_fin_timeout: it is the time of FIN_WAIT_2; TIME_WAIT is 60 s whatever it says"
_NOT_RECYCLE: Final = "tcp_tw_recycle: gone since Linux 4.12, and it cut off clients behind one NAT"
_NOT_REUSEADDR: Final = "SO_REUSEADDR: it lets a server bind its port again; connect() does not look at it"


def destinations(context: Context) -> Iterator[tuple[tuple[str, str, int], ConnectionTable, PortUse]]:
    """Every (source, destination, port) that this host connects to: its rows and the use of the port range."""
    outgoing = context.table.select(context.opened_here & context.in_range())
    size = context.range_size()
    for (source, destination, port), index in outgoing.groups("local_addr", "remote_addr", "remote_port"):
        rows = outgoing.select(index)
        waiting = rows.in_state(State.TIME_WAIT)
        yield (
            (str(source), str(destination), int(port or 0)),
            rows,
            port_use(
                _remaining(context, rows.select(waiting)),
                len(rows) - int(np.count_nonzero(waiting)),
                size,
                context.thresholds.births_window_ns,
                reuse_delay(context, str(source), str(destination)),
            ),
        )


def reuse_delay(context: Context, source: str, destination: str) -> Nanos | None:
    """Age from which connect() takes over a TIME_WAIT between the two (tcp_tw_reuse), or None where it does not."""
    reuse = context.facts.number("tcp_tw_reuse") or 0
    if not context.facts.number("tcp_timestamps"):
        return None
    local = is_loopback(*address_halves(source)) or is_loopback(*address_halves(destination))
    if reuse == 1 or (reuse == 2 and local):
        delay = context.facts.number("tcp_tw_reuse_delay")
        return SECOND if delay is None else delay * MILLISECOND
    return None


def ports(context: Context) -> Iterator[Finding]:
    """`time-wait-ports-filling` and `time-wait-ports-exhausted`, one finding a destination."""
    limits = context.thresholds
    for (source, destination, port), rows, use in destinations(context):
        soon = use.exhausted_in_ns is not None and use.exhausted_in_ns <= limits.exhaustion_soon_ns
        if use.waiting == 0 or use.share < limits.ports_warning:
            continue
        exhausted = use.blocking_share >= limits.ports_error or soon
        to = str(Endpoint(destination, port))
        yield Finding(
            rule="time-wait-ports-exhausted" if exhausted else "time-wait-ports-filling",
            severity=Severity.ERROR if exhausted else Severity.WARNING,
            summary=_ports_summary(use, source, to, exhausted),
            evidence=tuple(_ports_evidence(context, rows, use, source, to)),
            advice=_ports_advice(context, use, reuse_delay(context, source, destination) is not None),
            useless=(
                _NOT_FIN_TIMEOUT,
                _NOT_RECYCLE,
                _NOT_REUSEADDR,
                "tcp_max_tw_buckets lowered: frees ports only by giving up what TIME_WAIT protects from",
            ),
            connections=rows.select(rows.in_state(State.TIME_WAIT)),
        )


def server_side(context: Context) -> Iterator[Finding]:
    """`time-wait-server-side`: this host closes first. What it costs, and that it is harmless where it is."""
    waiting = context.table.select(context.state(State.TIME_WAIT) & context.accepted)
    for (listener, port), index in waiting.groups("listener", "local_port"):
        rows = waiting.select(index)
        place = listener or f"port {port} (nobody listens there now)"
        if len(rows) < context.thresholds.time_wait_notable:
            continue
        births = births_per_second(_remaining(context, rows), context.thresholds.births_window_ns)
        kib = len(rows) * OCTETS_EACH / 1024
        yield Finding(
            rule="time-wait-server-side",
            severity=Severity.INFO,
            summary=f"{len(rows):,} TIME_WAIT at {place}: this server closes first. Harmless: they take about "
            f"{kib:,.0f} KiB and no port, since all of them share the listening one",
            evidence=(
                Evidence("TIME_WAIT", len(rows), "connections", "sock_diag"),
                Evidence("made", round(births, 1), "a second", "their remaining timers"),
                Evidence("memory", len(rows) * OCTETS_EACH, "octets", "256 octets each"),
                *_bucket_evidence(context),
                *closed_by(rows),
                *whereabouts(rows),
            ),
            advice=(
                Advice("Nothing", "each ends 60 s after its close"),
                Advice(
                    "If you want fewer: keep connections open between requests, or let the client close first",
                    f"{births:,.0f} TIME_WAIT a second move to the clients, each of which pays for its own",
                    "the client's ports: see its own check",
                ),
            ),
            useless=(
                "tcp_tw_reuse: it acts on connect() only",
                "ip_local_port_range: an accepted connection takes no port of it",
                _NOT_FIN_TIMEOUT,
                _NOT_RECYCLE,
            ),
            connections=rows,
            histogram=histogram(rows.values("age_ns")),
        )


def buckets(context: Context) -> Iterator[Finding]:
    """`time-wait-buckets-overflow`: tcp_max_tw_buckets is reached, or nearly; new ones are not kept."""
    usage, overflowed = context.facts.time_wait, context.facts.counters.get("TCPTimeWaitOverflow", 0)
    if usage.share is None or usage.used is None or usage.limit is None:
        return
    if usage.share < context.thresholds.time_wait_full:
        return
    yield Finding(
        rule="time-wait-buckets-overflow",
        severity=Severity.ERROR if usage.used >= usage.limit else Severity.WARNING,
        summary=f"TIME_WAIT fills {usage.share:.0%} of tcp_max_tw_buckets"
        + (": further connections are closed without it" if usage.used >= usage.limit else ""),
        evidence=(
            Evidence("TIME_WAIT and mini-sockets", usage.used, "", "/proc/net/sockstat"),
            Evidence("tcp_max_tw_buckets", usage.limit, "", "sysctl"),
            Evidence("not kept so far", overflowed, "", "nstat TCPTimeWaitOverflow"),
        ),
        advice=(
            Advice(
                f"Raise tcp_max_tw_buckets, at least to {2 * usage.limit:,}",
                f"{usage.limit * OCTETS_EACH // 1024:,} KiB more at the most",
                "none worth naming",
            ),
            Advice("Or close less often: keep connections open", "every close saved is a TIME_WAIT saved"),
        ),
        useless=(
            "lowering it: the newest TIME_WAIT are dropped, the old stay; the peer's repeated FIN then meets a RST",
            _NOT_FIN_TIMEOUT,
        ),
        connections=context.table.select(context.state(State.TIME_WAIT)),
    )


def _remaining(context: Context, rows: ConnectionTable) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    left = rows.values("timer_expires_ns")[rows.valid("timer_expires_ns")] - context.facts.taken_ns
    return np.asarray(np.clip(left, 0, TIME_WAIT_LENGTH), np.int64)


def _ports_summary(use: PortUse, source: str, to: str, exhausted: bool) -> str:
    start = f"{use.share:.0%} of the ports from {source} to {to} are taken, {use.waiting:,} by TIME_WAIT"
    if not exhausted:
        return f"{start}: connect() is getting slow"
    if use.exhausted_in_ns is None:
        return f"{start}: connect() is slow, and a burst will find none left"
    if not use.exhausted_in_ns:
        return f"{start}: connect() fails with EADDRNOTAVAIL"
    return f"{start}: connect() fails with EADDRNOTAVAIL in {spoken(use.exhausted_in_ns)} at this rate"


def _ports_evidence(context: Context, rows: ConnectionTable, use: PortUse, source: str, to: str) -> Iterator[Evidence]:
    seen = list(closed_by(rows.select(rows.in_state(State.TIME_WAIT))))
    yield from seen
    if not seen:
        owner = likely_owner(context, rows)
        yield Evidence("likely made by", str(owner) if owner else "unknown: none is left open", "", "live siblings")
    yield Evidence("ports taken", f"{use.used:,} of {use.size:,}", "", "sock_diag, ip_local_port_range")
    yield Evidence("in TIME_WAIT", use.waiting, "connections", "sock_diag")
    yield Evidence("made", round(use.births, 1), "a second", "their remaining timers")
    yield Evidence("this range allows", round(use.size * SECOND / TIME_WAIT_LENGTH), "a second", "ports / 60 s")
    if use.exhausted_in_ns is not None:
        yield Evidence("until none is left", spoken(use.exhausted_in_ns), "", "rate and remaining timers")
    if use.blocking < use.used:
        said = f"{use.used - use.blocking:,} of them can be taken over now"
        yield Evidence("tcp_tw_reuse", said, "", "sysctl, ages")


def _ports_advice(context: Context, use: PortUse, reuse: bool) -> tuple[Advice, ...]:
    rate = use.size * SECOND // TIME_WAIT_LENGTH
    advice = [
        Advice(
            "Keep connections open and use them again (HTTP keep-alive, a pool)",
            f"one connection instead of {use.births:,.0f} a second; the pile is gone 60 s later",
            "the server must allow idle connections for longer than the pool keeps them",
        )
    ]
    if not reuse:
        advice.append(
            Advice(
                f"Set {_for_reuse(context)}",
                f"connect() takes a TIME_WAIT over after 1 s: {use.size:,} a second instead of {rate:,}",
                "needs TCP timestamps on both sides; acts on connect() only",
            )
        )
    if use.size < _WIDEST:
        advice.append(
            Advice(
                "Widen net.ipv4.ip_local_port_range to 1024 65535",
                f"{_WIDEST:,} ports: {_WIDEST * SECOND // TIME_WAIT_LENGTH:,} connections a second to one destination",
                "list the ports of your own services in ip_local_reserved_ports",
            )
        )
    advice.append(
        Advice(
            "Spread over more destination addresses or ports, or bind several source addresses with "
            "IP_BIND_ADDRESS_NO_PORT",
            f"every further pair adds {rate:,} connections a second",
        )
    )
    return tuple(advice)


def _for_reuse(context: Context) -> str:
    """What must be set for connect() to take a TIME_WAIT over, as far as it is not yet."""
    missing = []
    if context.facts.number("tcp_tw_reuse") != 1:
        missing.append("net.ipv4.tcp_tw_reuse=1")
    if context.facts.number("tcp_timestamps") == 0:
        missing.append("net.ipv4.tcp_timestamps=1")
    return " and ".join(missing)


def _bucket_evidence(context: Context) -> Iterator[Evidence]:
    usage = context.facts.time_wait
    if usage.used is not None and usage.limit is not None:
        yield Evidence("of tcp_max_tw_buckets", f"{usage.used:,} of {usage.limit:,}", "", "/proc/net/sockstat, sysctl")
