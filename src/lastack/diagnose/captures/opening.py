"""Handshakes that did not come to their end, or only after repetitions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lastack.model.close import CloseKind
from lastack.model.finding import Advice, Evidence, Finding, Severity

from .context import CAPTURE, CaptureContext, clients, said, share, times, total


def refused(context: CaptureContext) -> Iterator[Finding]:
    """`handshake-refused`: a RST answered the SYN."""
    for group in context.by_server(context.known("close_kind", CloseKind.REFUSED)):
        all_of_them = len(group.rows) == group.total
        yield Finding(
            rule="handshake-refused",
            severity=Severity.ERROR if all_of_them else Severity.WARNING,
            summary=f"{group.name} refused {said(len(group.rows))}"
            + (": every one in the capture" if all_of_them and group.total > 1 else ""),
            evidence=(share(group, "refused"), clients(group.rows)),
            advice=(
                Advice(
                    "See whether somebody listens on that port and address (ss -ltn there)",
                    "a listener on 127.0.0.1 alone refuses everybody else",
                ),
                Advice("A firewall that rejects with a RST looks the same", "its counters say so"),
            ),
            useless=("A longer connect time-out: the answer comes at once, and it is no",),
            connections=group.rows,
        )


def timed_out(context: CaptureContext) -> Iterator[Finding]:
    """`handshake-timeout`: SYNs that led to nothing."""
    for group in context.by_server(context.known("close_kind", CloseKind.HANDSHAKE_TIMEOUT)):
        rows = group.rows
        answered = int(np.count_nonzero(rows.values("syn_in")))
        where = (
            "the answers are in the capture, what follows them is not: they do not reach the client, or it does not "
            "believe them"
            if answered > len(rows) // 2
            else "nothing came back: a firewall that drops, a full SYN or accept queue, a host that is not there"
        )
        yield Finding(
            rule="handshake-timeout",
            severity=Severity.ERROR if len(rows) == group.total else Severity.WARNING,
            summary=f"{said(len(rows))} to {group.name} never opened: {where}",
            evidence=(
                share(group, "never opened"),
                Evidence("SYNs sent for them", total(rows, "syn_out"), "", CAPTURE),
                Evidence("with a SYN,ACK in the capture", answered, "", CAPTURE),
                clients(rows),
            ),
            advice=(
                Advice(
                    "Look at ListenOverflows and ListenDrops on the server (nstat -az)",
                    "if they grow, its accept queue is full: the application accepts too slowly",
                ),
                Advice("Capture on the server as well", "shows which side of the path loses them"),
            ),
            connections=rows,
        )


def accept_queue(context: CaptureContext) -> Iterator[Finding]:
    """`accept-queue-full-outside`: SYN,ACKs repeated after the client's ACK, as a full accept queue has it."""
    table = context.table
    believed = ~context.known("close_kind", CloseKind.HANDSHAKE_TIMEOUT, CloseKind.REFUSED)
    # The client sent one SYN and went on, so it had the first SYN,ACK: that the server repeats it means that it
    # dropped the ACK, which Linux does while the accept queue is full (tcp_check_req).
    again = context.at_least("syn_in", 2) & (table.values("syn_out") == 1) & believed & (table.values("octets_out") > 0)
    for group in context.by_server(again, context.thresholds.repeated_answers):
        yield Finding(
            rule="accept-queue-full-outside",
            severity=Severity.WARNING,
            summary=f"{group.name} repeated its SYN,ACK to {said(len(group.rows), 'client')} that had acknowledged it: "
            "its accept queue looks full",
            evidence=(
                share(group, "connections with a repeated SYN,ACK"),
                Evidence("SYN,ACKs", total(group.rows, "syn_in"), "", CAPTURE),
                Evidence("segments that clients had to send again", total(group.rows, "retransmits_out"), "", CAPTURE),
            ),
            advice=(
                Advice(
                    "Make the application accept faster: more workers, nothing slow in the accepting thread",
                    "connections open at once instead of after one, three, seven seconds",
                ),
                Advice(
                    "Raise the backlog of listen() and net.core.somaxconn, then restart the service",
                    "takes longer bursts",
                    "does not help a server that is too slow on average",
                ),
            ),
            useless=("tcp_max_syn_backlog: it bounds another queue, that of SYNs",),
            connections=group.rows,
        )


def slow(context: CaptureContext) -> Iterator[Finding]:
    """`handshake-repeated`: SYNs that had to be sent again before the connection opened."""
    opened = ~context.known("close_kind", CloseKind.HANDSHAKE_TIMEOUT, CloseKind.REFUSED)
    again = context.at_least("syn_out", 2) & opened & context.at_least("syn_in", 1)
    for group in context.by_server(again, context.thresholds.repeated_answers):
        yield Finding(
            rule="handshake-repeated",
            severity=Severity.WARNING,
            summary=f"{said(len(group.rows))} to {group.name} opened only after their SYN was repeated: each waited a "
            "second at least",
            evidence=(share(group, "opened late"), clients(group.rows), *_round_trip(context, group.name)),
            advice=(
                Advice(
                    "Look at TCPReqQFullDrop, ListenDrops and at the path's losses",
                    "a first SYN that is dropped costs a second, a second one three",
                ),
            ),
            useless=("tcp_synack_retries: it is the SYN that was not answered",),
            connections=group.rows,
        )


def _round_trip(context: CaptureContext, name: str) -> tuple[Evidence, ...]:
    """What a handshake takes there that needs no repetition."""
    for group in context.by_server(context.table.valid("handshake_rtt_ns")):
        if group.name == name:
            return (times(group.rows, "handshake_rtt_ns", "round trip of the others' handshake"),)
    return ()
