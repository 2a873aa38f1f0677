"""CLOSE_WAIT: the peer has closed and the application has not. Which of seven reasons, and whose.

The receive queue tells the bug apart (Linux counts an unread FIN as one octet): 0, the end of file was read and the
socket never closed; 1, it was never read; more, data is unread as well. A socket without inode was never accepted.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lastack.model.close import Timer
from lastack.model.finding import Evidence, Finding, Severity
from lastack.model.record import ConnectionTable
from lastack.model.state import State
from lastack.model.time import SECOND, spoken

from .ages import births_per_second, histogram
from .closewait_words import WORDS
from .context import Context, Mask
from .doing import code, doing, read_lately, runtimes
from .inherited import inherited
from .owners import Owner, by_owner, whereabouts
from .queues import owner_of
from .runtime_words import runtime_advice

NEVER_ACCEPTED = "close-wait-never-accepted"
OWNER_STOPPED = "close-wait-owner-stopped"
BUSY = "close-wait-busy"
INHERITED = "close-wait-inherited"
NOT_CLOSED = "close-wait-not-closed"
EOF_UNREAD = "close-wait-eof-unread"
DATA_UNREAD = "close-wait-data-unread"


def close_wait(context: Context) -> Iterator[Finding]:
    """A finding for every cause and owner (or listener) that has CLOSE_WAIT older than `min_age`."""
    found = causes(context)
    for cause in (NOT_CLOSED, EOF_UNREAD, DATA_UNREAD):
        for _, index in by_owner(context, found[cause]):
            busy = index[_end_by_themselves(context, index)]
            found[cause][busy], found[BUSY][busy] = False, True
    for cause, mask in found.items():
        for owner, index in by_owner(context, mask):
            rows = context.table.select(index)
            if not owner.pids and len(_ended(context, rows)) == len(rows):
                continue  # closed before their process could be looked up
            if cause == NEVER_ACCEPTED:  # nobody's yet: each listener is to blame for its own
                for _, came_in in rows.groups("listener"):
                    yield _finding(context, cause, owner, rows.select(came_in))
            else:
                yield _finding(context, cause, owner, rows)


def causes(context: Context) -> dict[str, Mask]:
    """The suspects by cause, each in one only: the first that applies."""
    left = suspects(context)
    queue = context.table.values("recv_q")
    found: dict[str, Mask] = {}
    for cause, applies in (
        (NEVER_ACCEPTED, context.table.valid("inode") & ~context.owned),
        (OWNER_STOPPED, _owner_stopped(context)),
        (BUSY, _still_sending(context)),
        (INHERITED, inherited(context, left)),
        (NOT_CLOSED, queue == 0),
        (EOF_UNREAD, queue == 1),
        (DATA_UNREAD, queue > 1),
    ):
        found[cause] = left & applies
        left = left & ~applies
    return found


def suspects(context: Context) -> Mask:
    """CLOSE_WAIT that have surely lasted `min_age`, and piles whose age keepalive answers hide.

    Every answered keepalive probe restarts the only clock the kernel shows, so with keepalive a CLOSE_WAIT looks young
    for ever. A few of those may be young indeed; a pile of one owner, silent for long, is not.
    """
    waiting = context.state(State.CLOSE_WAIT)
    sure = waiting & context.old
    hidden = (
        waiting
        & ~context.old
        & context.table.valid("timer")
        & (context.table.values("timer") == Timer.KEEPALIVE)
        & (context.age_most >= context.thresholds.min_age_ns)
    )
    for _, index in by_owner(context, hidden):
        if len(index) >= context.thresholds.close_wait_error:
            sure[index] = True
    return sure


def _owner_stopped(context: Context) -> Mask:
    stopped = [pid for pid, process in context.facts.processes.items() if process.stopped]
    return context.table.valid("pid") & np.isin(context.table.values("pid"), stopped)


def _still_sending(context: Context) -> Mask:
    """The application still answers: data is on its way, or was sent within `min_age`."""
    queued = context.table.valid("send_q") & (context.table.values("send_q") > 0)
    sent = context.table.valid("last_data_sent_ns")
    lately = sent & (context.silence("last_data_sent_ns") < context.thresholds.min_age_ns)
    return queued | lately


def _end_by_themselves(context: Context, index: NDArray[np.intp]) -> Mask:
    """Which of one owner's rows are like those that ended between two looks: not much older, and going at that pace.

    A slow server's CLOSE_WAIT end about as fast as they come; of a leak none end. Where a server that leaks is slow as
    well, those that end are young: what is far older than they stays a leak.
    """
    look = context.facts.second_look
    rows = context.table.select(index)
    ended = np.isin(rows.values("cookie"), list(_ended(context, rows)))
    if look is None or not ended.any():
        return ended
    # An answered keepalive probe makes an old one look young.
    ages = np.where(context.old[index], context.age[index], context.age_most[index])
    patience = context.thresholds.busy_patience * max(int(ages[ended].max()), SECOND)
    alike = ages <= patience
    all_gone_ns = int(np.count_nonzero(alike)) * look.after_ns / int(np.count_nonzero(ended))
    return np.asarray(alike & (all_gone_ns <= patience), np.bool_)


def _ended(context: Context, rows: ConnectionTable) -> frozenset[int]:
    """The cookies of those that were gone at the second look."""
    look = context.facts.second_look
    return frozenset() if look is None else look.ended.intersection(rows.values("cookie").tolist())


def _finding(context: Context, cause: str, owner: Owner, rows: ConnectionTable) -> Finding:
    words = WORDS[cause]
    who = str(owner) if cause != NEVER_ACCEPTED else _listener(context, rows)
    count = f"{len(rows):,} connection{'s' if len(rows) > 1 else ''}"
    return Finding(
        rule=cause,
        severity=_severity(context, cause, owner, rows),
        summary=words.summary.format(who=who, count=count, are="are" if len(rows) > 1 else "is"),
        evidence=(*whereabouts(rows), *_evidence(context, cause, owner, rows)),
        advice=(*runtime_advice(cause, runtimes(context, rows), rows), *words.advice),
        useless=words.useless,
        connections=rows,
        histogram=histogram(rows.values("age_ns")),
    )


def _severity(context: Context, cause: str, owner: Owner, rows: ConnectionTable) -> Severity:
    if cause == BUSY:
        return Severity.INFO
    if len(rows) >= context.thresholds.close_wait_error:
        return Severity.ERROR
    limits = [p.descriptor_limit for p in owner.processes(context.facts) if p.descriptor_limit]
    if cause != NEVER_ACCEPTED and limits and len(rows) / min(limits) >= context.thresholds.close_wait_share:
        return Severity.ERROR
    return Severity.WARNING


def _listener(context: Context, rows: ConnectionTable) -> str:
    """The listener that the rows came in by, with the process that should have called accept()."""
    name = rows.value("listener", 0)
    known = {str(listener): owner_of(listener) for listener in context.facts.listeners}
    return "its listener, gone since," if name is None else f"the listener {known.get(str(name), name)}"


def _evidence(context: Context, cause: str, owner: Owner, rows: ConnectionTable) -> Iterator[Evidence]:
    not_read = cause in (EOF_UNREAD, DATA_UNREAD)
    if not_read:  # where its threads are says why
        yield from code(context, rows)
    queue = rows.values("recv_q")
    low, high = int(queue.min()), int(queue.max())
    yield Evidence("receive queue", low if low == high else f"{low:,} to {high:,}", "octets", "sock_diag idiag_rqueue")
    yield Evidence("oldest, at least", spoken(int(rows.values("age_ns").max())), "", "tcp_info tcpi_last_ack_recv")
    hidden = int(np.count_nonzero(rows.values("age_ns") < context.thresholds.min_age_ns))
    if hidden:
        yield Evidence("age hidden by keepalive answers", hidden, "connections", "sock_diag idiag_timer")
    yield from _owner_evidence(context, cause, owner, rows)
    yield from read_lately(context, rows)
    yield from doing(context, rows)
    if not not_read:
        yield from code(context, rows)
    look = context.facts.second_look
    cookies = {int(cookie) for cookie in rows.values("cookie")}
    if look is not None and cookies & look.cookies:
        said = f"{len(cookies & look.ended):,} of {len(cookies & look.cookies):,} within {spoken(look.after_ns)}"
        yield Evidence("ended by themselves", said, "", "second sock_diag dump")


def _owner_evidence(context: Context, cause: str, owner: Owner, rows: ConnectionTable) -> Iterator[Evidence]:
    if cause == NEVER_ACCEPTED:
        return
    pids = rows.groups("pid")
    if len(pids) > 1:
        most = ", ".join(f"{key[0]} ({len(index):,})" for key, index in pids[:3] if key[0] is not None)
        yield Evidence("most in pid", most, "", "/proc/PID/fd")
    for process in owner.processes(context.facts)[:3]:
        if process.stopped:
            state = "frozen" if process.frozen else process.state
            yield Evidence(f"state of pid {process.pid}", state, "", "/proc/PID/stat")
    if cause == INHERITED:
        yield from _holder_evidence(context, rows)
    fullest = max(
        (p for p in owner.processes(context.facts) if p.descriptor_limit and p.descriptors is not None),
        key=lambda p: (p.descriptors or 0) / (p.descriptor_limit or 1),
        default=None,
    )
    if fullest is not None and fullest.descriptors is not None and fullest.descriptor_limit is not None:
        used = f"{fullest.descriptors:,} of {fullest.descriptor_limit:,}"
        yield Evidence(f"descriptors of pid {fullest.pid}", used, "", "/proc/PID/fd, RLIMIT_NOFILE")
        rate = _leaked(context, fullest.pid)
        free = fullest.descriptor_limit - fullest.descriptors
        if rate > 0:
            yield Evidence("CLOSE_WAIT come at", round(rate, 2 if rate < 10 else 0), "a second", "their ages")
            left = spoken(int(free / rate * SECOND))
            yield Evidence("until it can accept no more", left, "at this rate", "their ages, RLIMIT_NOFILE")


def _leaked(context: Context, pid: int) -> float:
    """CLOSE_WAIT of all causes that a process gets a second; 0 where they came in one burst, which tells no rate."""
    held = context.table.valid("pid") & (context.table.values("pid") == pid)
    ages = context.age[context.state(State.CLOSE_WAIT) & held]
    steady = len(ages) > 1 and int(ages.max() - ages.min()) >= context.thresholds.most * int(ages.max())
    return births_per_second(ages) if steady else 0.0


def _holder_evidence(context: Context, rows: ConnectionTable) -> Iterator[Evidence]:
    inode = int(rows.values("inode")[0])
    for holder in context.facts.holders.get(inode, ())[:4]:
        process = context.facts.processes.get(holder.pid)
        name = process.command if process else "?"
        parent = f", child of {process.ppid}" if process else ""
        yield Evidence("held open by", f"{name} (pid {holder.pid}, descriptor {holder.fd}{parent})", "", "/proc/PID/fd")
