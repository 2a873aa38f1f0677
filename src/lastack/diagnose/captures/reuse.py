"""Four-tuples that are used again while the last connection's TIME_WAIT still runs."""

from __future__ import annotations

from collections.abc import Iterator

from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.time import TIME_WAIT_LENGTH, spoken

from .context import CAPTURE, CaptureContext, clients, said, share, times


def reused(context: CaptureContext) -> Iterator[Finding]:
    """`time-wait-reused`: within 60 s of the close."""
    gap = context.at_least("reuse_gap_ns", 0) & (context.table.values("reuse_gap_ns") < TIME_WAIT_LENGTH)
    for group in context.by_server(gap, context.thresholds.reuses):
        shortest = int(group.rows.values("reuse_gap_ns").min())
        yield Finding(
            rule="time-wait-reused",
            severity=Severity.INFO,
            summary=f"{said(len(group.rows))} to {group.name} had their four-tuple used again within 60 s of their "
            f"close, the first after {spoken(shortest)}",
            evidence=(
                times(group.rows, "reuse_gap_ns", "from the close to the next SYN"),
                share(group, "used again"),
                clients(group.rows),
            ),
            advice=(
                Advice(
                    "Nothing, where both sides have timestamps: an old duplicate is then told from the new (RFC 6191)",
                    "",
                ),
                Advice(
                    "If ports run short: keep connections open, or use more addresses or a larger ip_local_port_range",
                    "fewer four-tuples are needed twice a minute",
                ),
            ),
            connections=group.rows,
        )


def collisions(context: CaptureContext) -> Iterator[Finding]:
    """`time-wait-collision`: the server's TIME_WAIT answered a new SYN, or a RST ended a TIME_WAIT early."""
    for group in context.by_server(context.cause("time-wait-assassination", "challenge-ack")):
        yield Finding(
            rule="time-wait-collision",
            severity=Severity.WARNING,
            summary=f"{said(len(group.rows))} with {group.name} met what was left of an older connection of the same "
            "four-tuple",
            evidence=(
                share(group, "collisions"),
                Evidence("what it costs each", "a repeated SYN: a second, where the RST is let through", "", CAPTURE),
                clients(group.rows),
            ),
            advice=(
                Advice("Let clients choose their ports (no bind() to a fixed one)", "the same port comes up rarely"),
                Advice("Let the client close first", "TIME_WAIT is then where ports are chosen, and avoided"),
            ),
            useless=("tcp_tw_reuse on the server: it is for connections that a host opens itself",),
            connections=group.rows,
        )
