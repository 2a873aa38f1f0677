"""The two queues of a listener: half-open connections (SYN_RECV) and those waiting for accept()."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.host import HostFacts, Listener
from lastack.model.record import ConnectionTable
from lastack.model.state import State

from .context import Context, Mask


def accept_queue(context: Context) -> Iterator[Finding]:
    """`accept-queue-full` and `accept-queue-filling`, one finding a listener, with the limit that really binds."""
    facts = context.facts
    for listener in context.listeners:
        if listener.queue <= listener.limit * context.thresholds.accept_queue_warning:
            continue
        full = listener.queue > listener.limit
        if not full and listener.queue < context.thresholds.accept_queue_few:
            continue
        room = listener.limit + 1
        unaccepted = context.state(State.ESTABLISHED, State.CLOSE_WAIT) & ~context.owned
        yield Finding(
            rule="accept-queue-full" if full else "accept-queue-filling",
            severity=Severity.ERROR if full else Severity.WARNING,
            summary=f"the accept queue of {owner_of(listener)} holds {listener.queue:,} of {room:,}"
            + (": further connections are dropped and clients wait, then time out" if full else ""),
            evidence=(
                Evidence("waiting for accept()", listener.queue, "connections", "sock_diag idiag_rqueue"),
                Evidence("limit at listen()", listener.limit, "", "sock_diag idiag_wqueue: min(backlog, somaxconn)"),
                Evidence("what binds", binding(listener, facts), "", "net.core.somaxconn"),
                *_overflows(facts),
            ),
            advice=_accept_advice(listener, facts),
            useless=_accept_useless(listener, facts),
            connections=context.table.select(unaccepted & _came_in_by(context.table, listener)),
        )


def overflowed(context: Context) -> Iterator[Finding]:
    """`accept-queue-overflowed`: it has happened, though no queue is full now."""
    count = context.facts.counters.get("ListenOverflows", 0)
    if count and not any(listener.queue > listener.limit for listener in context.facts.listeners):
        times = "time" if count == 1 else "times"
        yield Finding(
            rule="accept-queue-overflowed",
            severity=Severity.INFO,
            summary=f"an accept queue has overflowed {count:,} {times} so far; none is full now",
            evidence=tuple(_overflows(context.facts)),
            advice=(
                Advice(
                    "Look again under load; if it recurs, accept faster or listen with a longer backlog",
                    "a burst of backlog + 1 connections is held without loss",
                    "each waiting connection costs memory and time",
                ),
            ),
        )


def syn_queue(context: Context) -> Iterator[Finding]:
    """`syn-queue-full` and `syn-queue-filling`: half-open connections of one listener against its limit."""
    facts = context.facts
    pending = context.table.select(context.state(State.SYN_RECEIVED))
    cookies = bool(facts.number("tcp_syncookies"))
    for listeners in _by_name(context.listeners):
        listener = listeners[0]
        rows = pending.select(_came_in_by(pending, listener))
        limit = sum(syn_limit(each, facts) for each in listeners)
        if not len(rows) or len(rows) <= limit * context.thresholds.syn_queue_warning:
            continue
        full = len(rows) >= limit
        yield Finding(
            rule="syn-queue-full" if full else "syn-queue-filling",
            severity=Severity.ERROR if full and not cookies else Severity.WARNING,
            summary=f"{len(rows):,} half-open connections (SYN_RECV) at {owner_of(listener)}, limit {limit:,}: "
            + ("SYN cookies are sent beyond it" if cookies else "beyond it SYNs are dropped"),
            evidence=(
                Evidence("SYN_RECV", len(rows), "connections", "sock_diag"),
                Evidence("limit", limit, "", "sock_diag idiag_wqueue" + ("" if cookies else ", tcp_max_syn_backlog")),
                Evidence("client addresses", len(rows.groups("remote_addr")), "", "sock_diag"),
                *_counted(facts, "TCPReqQFullDrop", "TCPReqQFullDoCookies", "SyncookiesSent", "SyncookiesRecv"),
            ),
            advice=(
                Advice(
                    "Leave net.ipv4.tcp_syncookies at 1" if cookies else "Set net.ipv4.tcp_syncookies=1",
                    "honest clients get in though the queue is full",
                    "under cookies, options that do not fit a timestamp are lost (window scale without timestamps)",
                ),
                Advice(
                    "If the clients are honest, listen with a longer backlog; if their answers are lost on the way, "
                    "mend the path",
                    "the queue holds as many as its limit says",
                ),
            ),
            useless=(
                "tcp_max_syn_backlog, while SYN cookies are on: the listener's backlog is the limit",
                "tcp_synack_retries alone: the queue refills as fast as a flood sends",
            )
            if cookies
            else (),
            connections=rows,
        )


def syn_limit(listener: Listener, facts: HostFacts) -> int:
    """How many half-open connections fit: the backlog (and one more, on recent kernels).

    Without cookies three quarters of tcp_max_syn_backlog bound it too: the last quarter is for peers known from before
    (tcp_conn_request() in net/ipv4/tcp_input.c).
    """
    most = facts.number("tcp_max_syn_backlog")
    if most is None or facts.number("tcp_syncookies"):
        return listener.limit
    return min(listener.limit, most - (most >> 2))


def binding(listener: Listener, facts: HostFacts) -> str:
    """Which of the two bounds the queue: the backlog given to listen(), or somaxconn as it was then."""
    somaxconn = facts.number("somaxconn")
    if somaxconn is None:
        return "unknown: somaxconn cannot be read"
    if listener.limit < somaxconn:
        return f"the backlog given to listen(), or somaxconn as it was then ({somaxconn:,} now)"
    if listener.limit == somaxconn:
        return f"somaxconn ({somaxconn:,}), or a backlog equal to it"
    return f"somaxconn as it was at listen() ({listener.limit:,}; {somaxconn:,} now)"


def owner_of(listener: Listener) -> str:
    """`0.0.0.0:80 (nginx, pid 812, nginx.service)`."""
    parts = [
        listener.command,
        None if listener.pid is None else f"pid {listener.pid}",
        listener.unit,
        listener.container,
    ]
    named = ", ".join(part for part in parts if part)
    return f"{listener} ({named})" if named else str(listener)


def _accept_advice(listener: Listener, facts: HostFacts) -> tuple[Advice, ...]:
    somaxconn = facts.number("somaxconn") or listener.limit
    advice = [
        Advice(
            "Find why accept() falls behind: too few workers, blocked ones, or no descriptors left (EMFILE)",
            "the queue empties as fast as it is accepted",
        )
    ]
    if listener.limit < somaxconn:
        advice.append(
            Advice(
                f"For bursts: a larger backlog in the program's listen() (its own setting), then restart it; up to "
                f"{somaxconn:,} without touching somaxconn",
                f"holds {somaxconn + 1:,} instead of {listener.limit + 1:,}",
                "clients wait longer instead of failing early",
            )
        )
    else:
        advice.append(
            Advice(
                "For bursts: raise net.core.somaxconn and the program's backlog, then restart the program",
                "the queue holds the smaller of the two, plus one",
                "clients wait longer instead of failing early",
            )
        )
    return tuple(advice)


def _accept_useless(listener: Listener, facts: HostFacts) -> tuple[str, ...]:
    somaxconn = facts.number("somaxconn")
    useless = ["tcp_max_syn_backlog: it is about half-open connections, not about accept()"]
    larger = somaxconn is not None and listener.limit < somaxconn
    useless.append(
        "raising somaxconn: it is larger than this queue's limit already, which was fixed at listen()"
        if larger
        else "raising somaxconn without a restart: the limit was fixed at listen()"
    )
    return tuple(useless)


def _overflows(facts: HostFacts) -> Iterator[Evidence]:
    yield from _counted(facts, "ListenOverflows", "ListenDrops")


def _counted(facts: HostFacts, *names: str) -> Iterator[Evidence]:
    for name in names:
        if facts.counters.get(name):
            yield Evidence(f"{name} so far", facts.counters[name], "", "nstat")


def _came_in_by(table: ConnectionTable, listener: Listener) -> Mask:
    """Rows whose `listener` column names this one."""
    column = table.column("listener")
    codes = [code for code, name in enumerate(column.strings) if name == str(listener)]
    return np.asarray(table.valid("listener") & np.isin(column.values, codes), np.bool_)


def _by_name(listeners: tuple[Listener, ...]) -> list[list[Listener]]:
    """Listeners of one address and port together: with SO_REUSEPORT each has queues of its own."""
    named: dict[str, list[Listener]] = {}
    for listener in listeners:
        named.setdefault(str(listener), []).append(listener)
    return list(named.values())
