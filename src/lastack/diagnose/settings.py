"""Settings that cannot do what people set them for, held against what is really piling up on this host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from lastack.model.close import Timer
from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.state import State

from .context import Context
from .queues import binding

_FIN_TIMEOUT_DEFAULT: Final = 60
_KEEPALIVE_DEFAULT: Final = 7_200
_SOMAXCONN_DEFAULTS: Final = (128, 4_096)
"""Before and since Linux 5.4."""


def fin_timeout(context: Context) -> Iterator[Finding]:
    """`setting-fin-timeout-for-time-wait`: lowered, as if it shortened TIME_WAIT. `setting-fin-timeout-above-60`."""
    seconds = context.facts.number("tcp_fin_timeout")
    if seconds is None:
        return
    waiting = context.state(State.TIME_WAIT)
    orphans = context.state(State.FIN_WAIT_2) & ~context.owned
    count, others = int(np.count_nonzero(waiting)), int(np.count_nonzero(orphans))
    setting = Evidence("tcp_fin_timeout", seconds, "s", "sysctl")
    if seconds < _FIN_TIMEOUT_DEFAULT and count >= context.thresholds.time_wait_notable:
        yield Finding(
            rule="setting-fin-timeout-for-time-wait",
            severity=Severity.INFO,
            summary=f"tcp_fin_timeout is {seconds} s, and there are {count:,} TIME_WAIT all the same: it shortens "
            "FIN_WAIT_2 only; TIME_WAIT is 60 s, a constant of the kernel",
            evidence=(
                setting,
                Evidence("TIME_WAIT", count, "connections", "sock_diag"),
                Evidence("FIN_WAIT_2 that it does act on", others, "connections", "sock_diag"),
            ),
            advice=(
                Advice(
                    f"Set it back to {_FIN_TIMEOUT_DEFAULT}, unless it is meant for FIN_WAIT_2",
                    "no fewer and no more TIME_WAIT",
                    "peers slower than it to send their FIN get it back",
                ),
            ),
            connections=context.table.select(waiting),
        )
    if seconds > _FIN_TIMEOUT_DEFAULT and others:
        yield Finding(
            rule="setting-fin-timeout-above-60",
            severity=Severity.INFO,
            summary=f"tcp_fin_timeout is {seconds} s: each of {others:,} orphaned FIN_WAIT_2 stays a full socket for "
            f"{seconds - _FIN_TIMEOUT_DEFAULT} s before it becomes a small one for the last 60 s",
            evidence=(setting, Evidence("orphaned FIN_WAIT_2", others, "connections", "sock_diag")),
            advice=(
                Advice(
                    f"Set it to {_FIN_TIMEOUT_DEFAULT} or less",
                    "an orphan takes 256 octets from its close on, and not several KiB",
                    "peers that close later than that meet a RST",
                ),
            ),
            connections=context.table.select(orphans),
        )


def recycle(context: Context) -> Iterator[Finding]:
    """`setting-tw-recycle`: in force on an old kernel, or asked for of one that no longer has it."""
    in_force = context.facts.number("tcp_tw_recycle")
    configured = context.facts.configured.get("net.ipv4.tcp_tw_recycle")
    if in_force:
        yield Finding(
            rule="setting-tw-recycle",
            severity=Severity.ERROR,
            summary="tcp_tw_recycle is on: of several clients behind one NAT, those whose clocks are behind are "
            "refused without a word",
            evidence=(
                Evidence("tcp_tw_recycle", in_force, "", "sysctl"),
                Evidence("PAWSPassive so far", context.facts.counters.get("PAWSPassive", 0), "SYNs", "nstat"),
            ),
            advice=(Advice("Set net.ipv4.tcp_tw_recycle=0", "the refused clients get in", "more TIME_WAIT; harmless"),),
        )
    elif in_force is None and configured and configured.value not in ("", "0"):
        yield Finding(
            rule="setting-tw-recycle",
            severity=Severity.INFO,
            summary=f"tcp_tw_recycle is set in {configured.path}, which this kernel does not have: it does nothing",
            evidence=(
                Evidence("configured", configured.value, "", configured.path),
                Evidence("kernel", context.facts.kernel, "", "uname; gone since 4.12"),
            ),
            advice=(Advice("Take the line out", "sysctl reports no error for it any more"),),
        )


def reuse(context: Context) -> Iterator[Finding]:
    """`setting-tw-reuse-without-timestamps` and `setting-tw-reuse-server-side`."""
    if context.facts.number("tcp_tw_reuse") != 1:
        return
    waiting = context.state(State.TIME_WAIT)
    outgoing = int(np.count_nonzero(waiting & context.opened_here))
    accepted = int(np.count_nonzero(waiting & context.accepted))
    notable = context.thresholds.time_wait_notable
    setting = Evidence("tcp_tw_reuse", 1, "", "sysctl")
    if context.facts.number("tcp_timestamps") == 0 and outgoing:
        yield Finding(
            rule="setting-tw-reuse-without-timestamps",
            severity=Severity.WARNING,
            summary="tcp_tw_reuse is on and tcp_timestamps off: without timestamps no TIME_WAIT is ever reused",
            evidence=(
                setting,
                Evidence("tcp_timestamps", 0, "", "sysctl"),
                Evidence("TIME_WAIT of outgoing connections", outgoing, "", "sock_diag"),
            ),
            advice=(
                Advice(
                    "Set net.ipv4.tcp_timestamps=1 (the default)",
                    "connect() takes a TIME_WAIT over after 1 s",
                    "12 octets a segment",
                ),
            ),
            connections=context.table.select(waiting & context.opened_here),
        )
    elif accepted >= notable and accepted > context.thresholds.dominant * outgoing:
        yield Finding(
            rule="setting-tw-reuse-server-side",
            severity=Severity.INFO,
            summary=f"tcp_tw_reuse is on, and {accepted:,} of the TIME_WAIT are accepted connections: it acts on "
            "connect() only",
            evidence=(
                setting,
                Evidence("TIME_WAIT of accepted connections", accepted, "", "sock_diag"),
                Evidence("TIME_WAIT of outgoing connections", outgoing, "", "sock_diag"),
            ),
            advice=(Advice("Nothing: these take no ports", "each ends 60 s after its close"),),
            connections=context.table.select(waiting & context.accepted),
        )


def somaxconn(context: Context) -> Iterator[Finding]:
    """`setting-somaxconn-after-listen`: raised, and the listener under pressure does not know of it."""
    now = context.facts.number("somaxconn")
    if now in _SOMAXCONN_DEFAULTS and "net.core.somaxconn" not in context.facts.configured:
        return  # nobody has raised it
    for listener in context.listeners:
        pressed = listener.queue > listener.limit * context.thresholds.accept_queue_warning
        if now is None or not pressed or listener.limit >= now:
            continue
        yield Finding(
            rule="setting-somaxconn-after-listen",
            severity=Severity.INFO,
            summary=f"somaxconn is {now:,}, but the queue of {listener} is bounded at {listener.limit:,}: the limit "
            "was fixed when it called listen()",
            evidence=(
                Evidence("somaxconn", now, "", "sysctl"),
                Evidence("limit of this listener", listener.limit, "", "sock_diag idiag_wqueue"),
                Evidence("what binds", binding(listener, context.facts), "", "sock_diag, sysctl"),
            ),
            advice=(
                Advice(
                    "Raise the program's own backlog and restart it (or have it call listen() again)",
                    f"up to {now + 1:,} connections wait instead of {listener.limit + 1:,}",
                ),
            ),
        )


def keepalive(context: Context) -> Iterator[Finding]:
    """`setting-keepalive-unused`: tcp_keepalive_time was lowered, and the idle connections have no SO_KEEPALIVE."""
    seconds = context.facts.number("tcp_keepalive_time")
    if seconds is None or seconds >= _KEEPALIVE_DEFAULT:
        return
    idle = context.state(State.ESTABLISHED, State.CLOSE_WAIT) & (context.idle_for >= context.thresholds.idle_ns)
    without = idle & context.table.valid("timer") & (context.table.values("timer") == Timer.OFF)
    count, total = int(np.count_nonzero(without)), int(np.count_nonzero(idle))
    if count and count >= context.thresholds.most * total:
        yield Finding(
            rule="setting-keepalive-unused",
            severity=Severity.INFO,
            summary=f"tcp_keepalive_time is {seconds:,} s, but {count:,} of {total:,} idle connections have no "
            "keepalive: the setting acts only where the program sets SO_KEEPALIVE",
            evidence=(
                Evidence("tcp_keepalive_time", seconds, "s", "sysctl"),
                Evidence("idle without a keepalive timer", count, "connections", "sock_diag idiag_timer"),
            ),
            advice=(Advice("Have the programs set SO_KEEPALIVE", f"dead peers are probed after {seconds:,} s"),),
            connections=context.table.select(without),
        )
