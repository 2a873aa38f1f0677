"""Closes that one side delays, or that never come to their end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lastack.model.close import CloseKind
from lastack.model.finding import Advice, Evidence, Finding, Severity
from lastack.model.state import State
from lastack.model.time import spoken

from .context import CAPTURE, CaptureContext, Group, clients, said, share, times, total

_WHO = {"remote": "the server", "local": "the client"}


def close_wait(context: CaptureContext) -> Iterator[Finding]:
    """`close-wait-slow` and `close-wait-leaked`: the peer has closed, the application has not."""
    for side in ("remote", "local"):
        slow = context.at_least(f"{side}_close_wait_ns", context.thresholds.slow_close_ns)
        still = context.state(side, State.CLOSE_WAIT)
        for group in context.by_server(slow & ~still):
            yield _slow(group, side)
        # How long the other side has waited in FIN_WAIT_2 is how long this one has been here.
        leaked = still & context.at_least("age_ns", context.thresholds.min_age_ns)
        for group in context.by_server(leaked):
            yield _leaked(group, side)


def _slow(group: Group, side: str) -> Finding:
    who = "It" if side == "remote" else "The client of it"
    return Finding(
        rule="close-wait-slow",
        severity=Severity.WARNING,
        summary=f"{group.name}: {_WHO[side]} took long to close after the other's FIN, in {said(len(group.rows))}",
        evidence=(
            times(group.rows, f"{side}_close_wait_ns", f"time of {_WHO[side]} in CLOSE_WAIT"),
            share(group, "closed late"),
            clients(group.rows),
        ),
        advice=(
            Advice(
                f"{who} should close when it reads the end of file: look for what it does in between",
                "the other side leaves FIN_WAIT_2 as soon as it does",
                "where the delay is a long answer after a half close, it is lawful",
            ),
        ),
        useless=("tcp_fin_timeout: on the side that waits it does nothing while a process holds the socket",),
        connections=group.rows,
    )


def _leaked(group: Group, side: str) -> Finding:
    ages = group.rows.values("age_ns")
    return Finding(
        rule="close-wait-leaked",
        severity=Severity.ERROR,
        summary=f"{group.name}: {_WHO[side]} never closed {said(len(group.rows))} after the other's FIN: CLOSE_WAIT to "
        "the end of the capture",
        evidence=(
            Evidence("since the FIN, at least", spoken(int(np.median(ages))) + " (median)", "", CAPTURE),
            share(group, "never closed"),
            clients(group.rows),
        ),
        advice=(
            Advice(
                f"Find the code of {_WHO[side]} that forgets close(): lastack check on that host names the process",
                "CLOSE_WAIT ends with close() or with the process; nothing else ends it",
            ),
        ),
        useless=("tcp_keepalive_*: it ends only those whose peer is gone", "tcp_fin_timeout: it is for FIN_WAIT_2"),
        connections=group.rows,
    )


def unanswered(context: CaptureContext) -> Iterator[Finding]:
    """`fin-unanswered`: FINs repeated and acknowledged by nobody."""
    repeated = context.at_least("fin_retransmits_out", 2) | context.at_least("fin_retransmits_in", 2)
    gone = context.known("close_kind", CloseKind.RETRANSMIT_TIMEOUT, CloseKind.HALF_CLOSED, CloseKind.OPEN)
    for group in context.by_server(repeated & gone):
        yield Finding(
            rule="fin-unanswered",
            severity=Severity.WARNING,
            summary=f"{said(len(group.rows))} with {group.name} could not close: the FIN was sent again and again, and "
            "never acknowledged",
            evidence=(
                share(group, "never acknowledged"),
                Evidence(
                    "FINs sent again", total(group.rows, "fin_retransmits_out", "fin_retransmits_in"), "", CAPTURE
                ),
            ),
            advice=(
                Advice(
                    "The peer, or the path to it, had gone before the close",
                    "tcp_orphan_retries bounds how long the closed socket is kept",
                ),
            ),
            connections=group.rows,
        )


def zero_window(context: CaptureContext) -> Iterator[Finding]:
    """`window-closed`: a reader that does not keep up."""
    for side, column in (("the client", "zero_windows_out"), ("the server", "zero_windows_in")):
        for group in context.by_server(context.at_least(column, context.thresholds.closed_windows)):
            yield Finding(
                rule="window-closed",
                severity=Severity.INFO,
                summary=f"{group.name}: {side} let its receive window shut in {said(len(group.rows))}: it reads more "
                "slowly than the other sends",
                evidence=(
                    share(group, "connections"),
                    Evidence("times that the window was shut", total(group.rows, column), "", CAPTURE),
                ),
                advice=(
                    Advice(f"See what keeps {side} from reading", "the sender waits, with nothing lost, until it does"),
                ),
                useless=("tcp_rmem: a larger buffer fills as well, only later",),
                connections=group.rows,
            )
