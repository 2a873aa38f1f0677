"""All the rules over captures, listed by hand, and the one function that runs them."""

from __future__ import annotations

from typing import Final

from lastack.diagnose.rule import Rule, findings
from lastack.diagnose.thresholds import Thresholds
from lastack.model.finding import Finding
from lastack.model.record import ConnectionTable

from . import closing, opening, resets, reuse
from .context import CaptureContext

CAPTURE_RULES: Final[tuple[Rule[CaptureContext], ...]] = (
    Rule(opening.refused, {"handshake-refused": "a RST answered the SYN"}),
    Rule(opening.timed_out, {"handshake-timeout": "SYNs that led to nothing"}),
    Rule(opening.accept_queue, {"accept-queue-full-outside": "SYN,ACKs repeated after the client's ACK had come"}),
    Rule(opening.slow, {"handshake-repeated": "opened only after the SYN was repeated"}),
    Rule(
        closing.close_wait,
        {
            "close-wait-slow": "a side took long to close after the other's FIN",
            "close-wait-leaked": "a side never closed after the other's FIN",
        },
    ),
    Rule(closing.unanswered, {"fin-unanswered": "FINs repeated, and acknowledged by nobody"}),
    Rule(resets.lost_data, {"reset-lost-data": "octets were never acknowledged when a RST ended it"}),
    Rule(
        resets.forgotten,
        {
            "idle-forgotten": "reset at the first segment after a silence",
            "keepalive-too-late": "the first keepalive probe came after the path had forgotten",
        },
    ),
    Rule(resets.dead_peers, {"peer-gone": "the other side no longer answered"}),
    Rule(reuse.collisions, {"time-wait-collision": "a new connection met what was left of an old one"}),
    Rule(resets.instead_of_close, {"reset-instead-of-close": "a side that ends with RST instead of FIN"}),
    Rule(reuse.reused, {"time-wait-reused": "a four-tuple used again within 60 s of its close"}),
    Rule(closing.zero_window, {"window-closed": "a reader that does not keep up"}),
)


def run(table: ConnectionTable, thresholds: Thresholds | None = None) -> list[Finding]:
    """Every finding of every rule about a capture's connections, gravest first, in the rules' order within."""
    return findings(CAPTURE_RULES, CaptureContext(table, thresholds or Thresholds()))
