"""All the rules over captures, listed by hand, and the one function that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from lastack.diagnose.thresholds import Thresholds
from lastack.model.finding import Finding
from lastack.model.record import ConnectionTable

from . import closing, opening, resets, reuse
from .context import CaptureContext


class CaptureRule(NamedTuple):
    """A function over a capture's connections, and the ids of its findings with what each of them says."""

    check: Callable[[CaptureContext], Iterator[Finding]]
    ids: dict[str, str]


CAPTURE_RULES: Final[tuple[CaptureRule, ...]] = (
    CaptureRule(opening.refused, {"handshake-refused": "a RST answered the SYN"}),
    CaptureRule(opening.timed_out, {"handshake-timeout": "SYNs that led to nothing"}),
    CaptureRule(
        opening.accept_queue, {"accept-queue-full-outside": "SYN,ACKs repeated after the client's ACK had come"}
    ),
    CaptureRule(opening.slow, {"handshake-repeated": "opened only after the SYN was repeated"}),
    CaptureRule(
        closing.close_wait,
        {
            "close-wait-slow": "a side took long to close after the other's FIN",
            "close-wait-leaked": "a side never closed after the other's FIN",
        },
    ),
    CaptureRule(closing.unanswered, {"fin-unanswered": "FINs repeated, and acknowledged by nobody"}),
    CaptureRule(resets.lost_data, {"reset-lost-data": "octets were never acknowledged when a RST ended it"}),
    CaptureRule(
        resets.forgotten,
        {
            "idle-forgotten": "reset at the first segment after a silence",
            "keepalive-too-late": "the first keepalive probe came after the path had forgotten",
        },
    ),
    CaptureRule(resets.dead_peers, {"peer-gone": "the other side no longer answered"}),
    CaptureRule(reuse.collisions, {"time-wait-collision": "a new connection met what was left of an old one"}),
    CaptureRule(resets.instead_of_close, {"reset-instead-of-close": "a side that ends with RST instead of FIN"}),
    CaptureRule(reuse.reused, {"time-wait-reused": "a four-tuple used again within 60 s of its close"}),
    CaptureRule(closing.zero_window, {"window-closed": "a reader that does not keep up"}),
)


def run(table: ConnectionTable, thresholds: Thresholds | None = None) -> list[Finding]:
    """Every finding of every rule about a capture's connections, gravest first, in the rules' order within."""
    context = CaptureContext(table, thresholds or Thresholds())
    findings = [finding for rule in CAPTURE_RULES for finding in rule.check(context)]
    return sorted(findings, key=lambda finding: -finding.severity)
