"""Limits that end connections when they are reached: descriptors, orphans, TCP's memory, conntrack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.host import Usage
from lastack.model.state import State

from .context import Context


def descriptors(context: Context) -> Iterator[Finding]:
    """`descriptors-near-limit`: a process that holds connections has few descriptors left of RLIMIT_NOFILE."""
    for process in context.facts.processes.values():
        used, limit = process.descriptors, process.descriptor_limit
        if used is None or not limit or used / limit < context.thresholds.descriptors_warning:
            continue
        rows = context.table.select(
            context.owned & context.table.valid("pid") & (context.table.values("pid") == process.pid)
        )
        waiting = int(np.count_nonzero(rows.in_state(State.CLOSE_WAIT)))
        if not len(rows) and not any(process.pid in listener.pids for listener in context.listeners):
            continue
        place = f"pid {process.pid}" + "".join(f", {part}" for part in (process.unit, process.container) if part)
        yield Finding(
            rule="descriptors-near-limit",
            severity=_severity(used / limit, context.thresholds.descriptors_error),
            summary=f"{process.command} ({place}) has {used:,} of {limit:,} descriptors open: at the limit accept() "
            "fails with EMFILE and the accept queue fills",
            evidence=(
                Evidence("descriptors", f"{used:,} of {limit:,}", "", "/proc/PID/fd, RLIMIT_NOFILE"),
                Evidence("connections among them", len(rows), "", "sock_diag"),
                Evidence("in CLOSE_WAIT", waiting, "connections", "sock_diag"),
            ),
            advice=(
                Advice("Mend the CLOSE_WAIT leak first", f"frees {waiting:,} descriptors, and keeps them free")
                if waiting >= context.thresholds.most * len(rows) > 0
                else Advice("Close idle connections sooner", "descriptors come back as they close"),
                Advice(
                    "Raise the limit (LimitNOFILE= of the unit, ulimit -n)",
                    "puts the day off",
                    "a leak fills any limit",
                ),
            ),
            useless=("fs.file-max: the limit that binds is the process's own",),
            connections=rows,
        )


class _Shared(NamedTuple):
    """A limit that all connections of the machine share, and what is said when it is near."""

    rule: str
    what: str
    limit: str
    source: str
    then: str
    advice: tuple[Advice, ...]
    useless: tuple[str, ...]


_ORPHANS: Final = _Shared(
    "orphans-near-limit",
    "orphaned connections (closed by their processes, not yet ended)",
    "tcp_max_orphans",
    "/proc/net/sockstat, sysctl",
    "beyond it the kernel resets them (TCPAbortOnMemory) and data under way is lost",
    (
        Advice(
            "Find what they wait for: FIN_WAIT_1 and LAST_ACK of silent peers; lower tcp_orphan_retries",
            "given up in seconds instead of minutes",
            "a peer on a lossy path loses the end of its data",
        ),
        Advice("Or raise tcp_max_orphans", "each may hold up to 64 KiB of unswappable memory"),
    ),
    ("tcp_max_tw_buckets: TIME_WAIT are not orphans",),
)

_MEMORY: Final = _Shared(
    "tcp-memory-near-limit",
    "pages of TCP buffers",
    "tcp_mem's third number",
    "/proc/net/sockstat, sysctl",
    "beyond it segments are dropped, windows shrink and senders block; orphans are reset (TCPAbortOnMemory)",
    (
        Advice(
            "Find who does not read: connections with large receive queues (recv-q > 100000)",
            "their buffers come back when read or closed",
        ),
        Advice("Or raise net.ipv4.tcp_mem", "more memory for TCP, less for everything else"),
    ),
    ("fewer TIME_WAIT: they hold no buffers",),
)

_CONNTRACK: Final = _Shared(
    "conntrack-near-limit",
    "entries in the firewall's connection table",
    "nf_conntrack_max",
    "nf_conntrack_count, nf_conntrack_max",
    "when it is full, packets of new connections are dropped ('table full' in the kernel log)",
    (
        Advice("Raise net.netfilter.nf_conntrack_max (and its buckets)", "about 320 octets an entry"),
        Advice(
            "Or lower nf_conntrack_tcp_timeout_time_wait and _close_wait, or do not track what needs no NAT",
            "entries end sooner; the kernel's own TIME_WAIT is not touched",
        ),
    ),
    ("tcp_fin_timeout, tcp_tw_reuse: conntrack keeps its own times",),
)


def orphans(context: Context) -> Iterator[Finding]:
    """`orphans-near-limit`: closed by their processes, not yet ended; above the limit the kernel resets them."""
    yield from _near(context, context.facts.orphans, context.thresholds.orphans_warning, _ORPHANS)


def memory(context: Context) -> Iterator[Finding]:
    """`tcp-memory-near-limit`: pages of all TCP buffers against tcp_mem."""
    yield from _near(context, context.facts.tcp_memory_pages, context.thresholds.memory_warning, _MEMORY)


def conntrack(context: Context) -> Iterator[Finding]:
    """`conntrack-near-limit`: the firewall's table; when it is full, new connections are dropped."""
    yield from _near(context, context.facts.conntrack, context.thresholds.conntrack_warning, _CONNTRACK)


def _near(context: Context, usage: Usage, warning: float, words: _Shared) -> Iterator[Finding]:
    share = usage.share
    if share is None or share < warning:
        return
    yield Finding(
        rule=words.rule,
        severity=_severity(share, context.thresholds.limit_error),
        summary=f"{usage.used:,} {words.what}, {share:.0%} of {words.limit}: {words.then}",
        evidence=(
            Evidence("used", usage.used or 0, "", words.source),
            Evidence(words.limit, usage.limit or 0, "", words.source),
        ),
        advice=words.advice,
        useless=words.useless,
    )


def _severity(share: float, error: float) -> Severity:
    return Severity.ERROR if share >= error else Severity.WARNING
