"""RSTs: those that cost data, those that stand in for a close, and those of a network that forgot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from lastack.model.close import CloseKind
from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.record import ConnectionTable
from lastack.model.time import SECOND, spoken

from .context import CAPTURE, CaptureContext, Group, clients, said, share, silence, times, total

_WHY: Final = {
    "data-after-close": (
        "text reached a side that had closed",
        "Read to the end of file before close(), or shutdown(SHUT_WR) and read on",
    ),
    "abort-or-unread-data": (
        "a side closed with data unread, or with SO_LINGER 0",
        "Read what is there before close(); do not set SO_LINGER to 0",
    ),
    "abort": (
        "a side aborted: SO_LINGER 0, or its process died with data under way",
        "Close in order: shutdown(SHUT_WR), read to the end of file, close()",
    ),
    "middlebox": (
        "something between the two reset it; neither of them did",
        "Ask whoever runs the load balancer, NAT or firewall for its idle time-out",
    ),
}
_ELSE: Final = ("a RST ended it", "See what the side that reset it was doing: lastack show ID")


def lost_data(context: CaptureContext) -> Iterator[Finding]:
    """`reset-lost-data`: octets were under way, or never acknowledged, when the RST came."""
    lost = context.at_least("lost_out", 1) | context.at_least("lost_in", 1)
    for group in context.by_server(lost & ~_forgotten(context)):
        for (cause,), index in group.rows.groups("reset_cause"):
            rows = group.rows.select(index)
            reason, remedy = _WHY.get(str(cause), _ELSE)
            yield Finding(
                rule="reset-lost-data",
                severity=Severity.WARNING,
                summary=f"{said(len(rows))} with {group.name} lost data to a RST: {reason}",
                evidence=(*_lost(rows), share(group, "reset with data lost"), clients(rows)),
                advice=(Advice(remedy, "what was sent is then delivered, and acknowledged"),),
                connections=rows,
            )


def _lost(rows: ConnectionTable) -> Iterator[Evidence]:
    """How much, from which side."""
    for who, column in (("clients", "lost_out"), ("the server", "lost_in")):
        octets = total(rows, column)
        if octets:
            yield Evidence(f"octets of {who} never acknowledged", octets, "", CAPTURE)


def instead_of_close(context: CaptureContext) -> Iterator[Finding]:
    """`reset-instead-of-close`: a side that ends most of its connections with a RST."""
    aborts = context.cause("abort", "abort-or-unread-data") & ~context.at_least("lost_out", 1)
    aborts &= ~context.at_least("lost_in", 1)
    for kind, who in ((CloseKind.RESET_SENT, "clients"), (CloseKind.RESET_RECEIVED, "the server")):
        for group in context.by_server(aborts & context.known("close_kind", kind), context.thresholds.resets):
            if len(group.rows) < context.thresholds.most * group.total:
                continue
            yield Finding(
                rule="reset-instead-of-close",
                severity=Severity.INFO,
                summary=f"{group.name}: {who} end {said(len(group.rows))} with a RST instead of a FIN",
                evidence=(share(group, "ended by a RST"), clients(group.rows)),
                advice=(
                    Advice(
                        "If SO_LINGER 0 is set to have no TIME_WAIT: let the other side close first instead",
                        "the TIME_WAIT is then its, and nothing can be lost",
                        "a RST throws away what the other side has not read yet",
                    ),
                ),
                connections=group.rows,
            )


def forgotten(context: CaptureContext) -> Iterator[Finding]:
    """`idle-forgotten` and `keepalive-too-late`: reset after a silence, by a peer or a network that had forgotten."""
    for group in context.by_server(_forgotten(context)):
        rows = group.rows
        probed = (rows.values("keepalives_out") > 0) | (rows.values("keepalives_in") > 0)
        late, never = rows.select(probed), rows.select(~probed)
        if len(never):
            yield _idle(group._replace(rows=never))
        if len(late):
            yield _too_late(group._replace(rows=late))


def _forgotten(context: CaptureContext) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    idle = context.at_least("reset_silence_ns", context.thresholds.silence_ns)
    return np.asarray(context.cause("middlebox", "no-connection", "keepalive") & idle, np.bool_)


def _idle(group: Group) -> Finding:
    shortest = silence(group.rows)
    return Finding(
        rule="idle-forgotten",
        severity=Severity.ERROR,
        summary=f"{said(len(group.rows))} with {group.name} were reset at the first segment after a silence: who "
        "carried them had forgotten them",
        evidence=(
            times(group.rows, "reset_silence_ns", "silence before the RST"),
            Evidence("shortest", spoken(shortest), "", CAPTURE),
            share(group, "forgotten"),
            Evidence("keepalive probes seen on them", 0, "", CAPTURE),
        ),
        advice=(
            Advice(
                f"Set SO_KEEPALIVE with TCP_KEEPIDLE well below {spoken(shortest)}",
                "a probe in time keeps NAT, firewall and load balancer from forgetting",
            ),
            Advice(
                f"Or let the pool drop connections idle for more than {spoken(max(shortest // 2, SECOND))}",
                "none is used that may be forgotten",
            ),
        ),
        useless=("tcp_keepalive_time alone: it is for sockets that have set SO_KEEPALIVE",),
        connections=group.rows,
    )


def _too_late(group: Group) -> Finding:
    return Finding(
        rule="keepalive-too-late",
        severity=Severity.WARNING,
        summary=f"{said(len(group.rows))} with {group.name} had keepalive, and it came too late: the probe was "
        "answered with a RST, or with nothing",
        evidence=(
            times(group.rows, "reset_silence_ns", "silence before the RST"),
            Evidence("probes", total(group.rows, "keepalives_out", "keepalives_in"), "", CAPTURE),
        ),
        advice=(
            Advice(
                f"Probe earlier: TCP_KEEPIDLE below {spoken(silence(group.rows))}",
                "the path then never forgets, and nothing is reset",
            ),
        ),
        useless=("More probes (tcp_keepalive_probes): the first one already comes too late",),
        connections=group.rows,
    )


def dead_peers(context: CaptureContext) -> Iterator[Finding]:
    """`peer-gone`: segments were sent again and again, and nothing ever came back."""
    gone = context.known("close_kind", CloseKind.RETRANSMIT_TIMEOUT, CloseKind.KEEPALIVE_TIMEOUT)
    fins = context.at_least("fin_retransmits_out", 2) | context.at_least("fin_retransmits_in", 2)
    for group in context.by_server(gone & ~fins & ~_forgotten(context)):
        yield Finding(
            rule="peer-gone",
            severity=Severity.WARNING,
            summary=f"{said(len(group.rows))} with {group.name} ended because the other side no longer answered",
            evidence=(
                Evidence("segments sent again", total(group.rows, "retransmits_out", "retransmits_in"), "", CAPTURE),
                share(group, "unanswered"),
            ),
            advice=(
                Advice(
                    "Set TCP_USER_TIMEOUT where a quick answer matters",
                    "the application learns of it after that time instead of a quarter of an hour (tcp_retries2)",
                ),
            ),
            connections=group.rows,
        )
